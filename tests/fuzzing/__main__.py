"""``python tests/fuzzing``: random inputs to every reader of foreign files and texts, each judged.

A reader must answer or refuse in one sentence, within 10 seconds, and write in its own directory only. Every target has
a process of its own. An input follows from the seed, the target and its number, so that

    python tests/fuzzing --seed 7 --only reports --input 4711

repeats it. The files of failing inputs are kept in the directory of ``--keep``. The last line counts the inputs.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "observability")]

from target import TARGETS, Target  # noqa: E402

MODULES = ("text_targets", "task_targets", "run_targets")
HANG_SECONDS = 10.0
START_SECONDS = 120.0
BEAT_SECONDS = 0.5
FIRST = 20
"""Inputs of every target in each round, before the time is shared."""


def main() -> int:
    """Fuzz all targets; 1 where something was found."""
    given = _options()
    if given.child:
        return _child(given)
    until = time.monotonic() + 60 * given.minutes
    _load()
    names, total, found = given.only or list(TARGETS), 0, 0
    given.keep.mkdir(parents=True, exist_ok=True)
    print(f"seed {given.seed}, {len(names)} targets", flush=True)
    for at, name in enumerate(names):
        seconds = max(0.0, until - time.monotonic()) / (len(names) - at)
        result = _watched(name, given, seconds)
        total += result["inputs"]
        found += len(result["failures"])
        _show(name, result, given)
    print(f"{total:,} inputs, {len(names)} targets, {found} distinct failures, seed {given.seed}")
    return int(found > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/fuzzing", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="shared by all targets (default: 10)")
    parser.add_argument("--inputs", type=int, help="most inputs of a target (default: no bound)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="default: a random one")
    parser.add_argument("--only", nargs="*", metavar="TARGET", help="default: all targets")
    parser.add_argument("--input", type=int, metavar="NUMBER", help="this input alone; needs --only")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="default: fuzz-failures")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--module", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _load(modules: Sequence[str] = MODULES) -> None:
    for module in modules:
        import_module(module)


# -- the watching process ----------------------------------------------------------------------------------------------


def _watched(name: str, given: argparse.Namespace, seconds: float) -> dict:
    """The results of a target in a child process, which is killed when an input takes too long."""
    with tempfile.TemporaryDirectory(prefix=f"rekindle-fuzz-{name}-") as folder:
        result: dict[str, Any] = {"inputs": 0, "refused": 0, "slowest": 0.0, "failures": {}}
        start = given.input or 0
        end = time.monotonic() + seconds
        while True:
            child = _started(name, given, Path(folder), start, max(0.0, end - time.monotonic()))
            hung = _wait(child, Path(folder) / "beat")
            part = _result(Path(folder))
            result = _merged(result, part)
            if hung is None and child.returncode == 0:
                return result
            stopped = part["at"]
            what = f"takes more than {HANG_SECONDS:g} s" if hung else f"ended its process ({child.returncode})"
            result["failures"][what] = stopped
            shutil.copytree(Path(folder) / "files", given.keep / f"{name}-{stopped}", dirs_exist_ok=True)
            start = stopped + 1
            if given.input is not None or time.monotonic() > end:
                return result


def _started(name: str, given: argparse.Namespace, folder: Path, start: int, seconds: float) -> subprocess.Popen:
    (folder / "beat").write_text("")
    options = [
        "--child",
        str(folder),
        "--only",
        name,
        "--module",
        TARGETS[name].prepare.__module__,
        "--seed",
        str(given.seed),
        "--input",
        str(start),
    ]
    options += ["--seconds", str(seconds), "--keep", str(given.keep)]
    most = 1 if given.input is not None else given.inputs
    options += [] if most is None else ["--inputs", str(most)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "REKINDLE_CACHE": str(folder / "files" / "cache")}
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).parent), *options], env=environment, start_new_session=True
    )


def _wait(child: subprocess.Popen, beat: Path) -> bool | None:
    """Wait for a child; True where it was killed because it did not go on."""
    seen, since, limit = "", _lived(child), START_SECONDS
    while child.poll() is None:
        time.sleep(BEAT_SECONDS)
        now = beat.read_text()
        if now != seen:
            seen, since, limit = now, _lived(child), HANG_SECONDS
        elif _lived(child) - since > limit and child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return True
    return None


def _lived(child: subprocess.Popen) -> float:
    """Seconds, without those in which the child was ready to run and other processes had the processors."""
    try:
        waited = int(Path(f"/proc/{child.pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        waited = 0.0
    return time.monotonic() - waited


def _result(folder: Path) -> dict:
    """What a child has found, also where it was killed."""
    found = json.loads((folder / "found.json").read_text()) if (folder / "found.json").exists() else {}
    at = int((folder / "beat").read_text() or 0)
    return {"inputs": 0, "refused": 0, "slowest": 0.0, "failures": {}, **found, "at": at}


def _merged(one: dict, other: dict) -> dict:
    return {
        "inputs": one["inputs"] + other["inputs"],
        "refused": one["refused"] + other["refused"],
        "slowest": max(one["slowest"], other["slowest"]),
        "failures": {**other["failures"], **one["failures"]},
    }


def _show(name: str, result: dict, given: argparse.Namespace) -> None:
    print(
        f"{name:20s} {result['inputs']:9,} inputs, {result['refused']:9,} refused in a sentence, slowest "
        f"{1000 * result['slowest']:6.0f} ms of CPU, {len(result['failures'])} failures",
        flush=True,
    )
    for where, number in result["failures"].items():
        print(f"   {where}\n      python tests/fuzzing --seed {given.seed} --only {name} --input {number}", flush=True)


# -- the child ---------------------------------------------------------------------------------------------------------


def _child(given: argparse.Namespace) -> int:
    from judging import Findings, Watch, limit_memory

    _load([given.module])
    folder = Path(given.child)
    files = folder / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir()
    limit_memory()
    target = TARGETS[given.only[0]]
    findings, watch, attempt = Findings(), Watch(files), target.prepare(files)
    beat = os.open(folder / "beat", os.O_WRONLY)
    number, end = given.input or 0, time.monotonic() + given.seconds
    saved = 0.0
    while findings.inputs < FIRST or time.monotonic() < end:
        if given.inputs is not None and findings.inputs >= given.inputs:
            break
        os.pwrite(beat, f"{number:12d}".encode(), 0)
        _one(target, attempt, number, given, watch, findings, files)
        number += 1
        if time.monotonic() - saved > BEAT_SECONDS:
            _save(folder, findings)
            saved = time.monotonic()
    _save(folder, findings)
    return 0


def _one(target: Target, attempt, number: int, given: argparse.Namespace, watch, findings, files: Path) -> None:
    from judging import judge
    from mutation import Inputs

    where = judge(target, attempt, Inputs(f"{given.seed}/{target.name}/{number}"), watch, findings)
    if where is not None and findings.failed(where, number):
        shutil.copytree(files, given.keep / f"{target.name}-{number}", dirs_exist_ok=True)


def _save(folder: Path, findings) -> None:
    found = {"inputs": findings.inputs, "refused": findings.refused, "slowest": findings.slowest}
    partial = folder / "found.part"
    partial.write_text(json.dumps(found | {"failures": findings.failures}))
    partial.replace(folder / "found.json")


if __name__ == "__main__":
    sys.exit(main())
