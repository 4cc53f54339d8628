"""Bit-for-bit comparison of two revisions: digests of the first steps of every recipe at seed 0.

    python benchmarks/same_runs.py record --out before.json              # with the code that is installed
    python benchmarks/same_runs.py record --src OTHER/src --out after.json   # with the code of another checkout
    python benchmarks/same_runs.py compare before.json after.json

Each run goes through the command line, so changes of configuration, assembly and loop are found as well as changes of
the maths. Digests cover the metrics without times, the ledger without seconds, and the tensors of the last checkpoint.
Metrics keys that only one side has are listed, but do not count as a difference.
"""

import argparse
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
Run = tuple[str, str | None, int | None]
WHOLE: dict[str, Run] = {
    "whole/recycle": ("examples/spell_backward.toml", "recycle", None),
    "whole/search_agent": ("examples/search_agent.toml", None, None),
    "whole/self_play": ("examples/self_play.toml", None, None),
}
TIMES = ("seconds", "cpu_seconds", "total_seconds", "total_cpu_seconds", "time/")


def planned(python: list[str], env: dict[str, str], steps: int, whole: bool) -> dict[str, Run]:
    """Name of the run -> (configuration file, recipe or None for the file's own, steps or None for all)."""
    if whole:
        return WHOLE
    listed = subprocess.run([*python, "recipes"], env=env, check=True, capture_output=True, text=True).stdout
    names = [line.split()[0] for line in listed.splitlines() if line and not line[0].isspace()]
    runs: dict[str, Run] = {
        name: ("examples/spell_backward.toml", name, steps) for name in names if not name.startswith("self_play")
    }
    runs["search_agent/grpo"] = ("examples/search_agent.toml", "grpo", steps)
    runs["search_agent/recycle"] = ("examples/search_agent.toml", "recycle", steps)
    runs["self_play"] = ("examples/self_play.toml", None, steps)
    return runs


def digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def metric_digests(run: Path) -> dict[str, str]:
    """One digest per metrics key, so that a difference names its key."""
    columns: dict[str, list[object]] = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        for key, value in row.items():
            if not key.startswith(TIMES):
                columns.setdefault(key, []).append([row["step"], value])
    return {key: digest(values) for key, values in sorted(columns.items())}


def ledger_digest(run: Path) -> str:
    base = sqlite3.connect(f"file:{run / 'ledger.sqlite'}?mode=ro", uri=True)
    names = [row[1] for row in base.execute("PRAGMA table_info(groups)") if row[1] != "seconds"]
    rows = base.execute(f"SELECT {', '.join(names)} FROM groups ORDER BY request_id").fetchall()
    base.close()
    return digest([names, rows])


def weights_digest(run: Path, renamed: dict[str, str]) -> str:
    """Every tensor of the last checkpoint: model, optimizer, and the scheduler's history under its former names."""
    from safetensors import safe_open

    checkpoint = max((run / "checkpoints").glob("step-*"), key=lambda place: int(place.name.split("-")[1]))
    seen = hashlib.sha256()
    for file in sorted(checkpoint.rglob("*.safetensors")):
        with safe_open(str(file), framework="pt") as tensors:
            stored = {_former(name, renamed): name for name in list(tensors.keys())}
            for name in sorted(stored):
                seen.update(name.encode())
                seen.update(tensors.get_tensor(stored[name]).view(-1).float().numpy().tobytes())
    return seen.hexdigest()[:16]


def _former(name: str, renamed: dict[str, str]) -> str:
    *path, last = name.split(".")
    return ".".join([*path, renamed.get(last, last)])


def record(args: argparse.Namespace) -> None:
    root = args.src.resolve().parent if args.src else HERE.parent
    env = dict(os.environ, OMP_NUM_THREADS="1")
    if args.src:
        env["PYTHONPATH"] = str(args.src.resolve())
    if args.cache:
        env["REKINDLE_CACHE"] = str(args.cache.resolve())
    python = [sys.executable, "-m", "rekindle"]
    runs = planned(python, env, args.steps, args.whole)
    done: dict[str, dict[str, object]] = json.loads(args.out.read_text()) if args.out.exists() else {}
    for name, (file, recipe, steps) in runs.items():
        if name in done or (args.only and name not in args.only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            command = [*python, "train", str(root / file), "--out", str(run), "--seed", "0"]
            command += ["--recipe", recipe] if recipe else []
            command += ["--set", f"train.steps={steps}"] if steps else []
            ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            if ended.returncode:
                print(f"{name}: exit {ended.returncode}: {ended.stderr[-500:]}", flush=True)
                continue
            done[name] = {
                "metrics": metric_digests(run),
                "ledger": ledger_digest(run),
                "weights": weights_digest(run, dict(pair.split("=") for pair in args.renamed)),
            }
        args.out.write_text(json.dumps(done, indent=1) + "\n")
        print(name, done[name]["weights"], flush=True)


def differences(name: str, before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """Sentences about one run."""
    told = [f"{name}: the {what} differ" for what in ("ledger", "weights") if before[what] != after[what]]
    old, new = before["metrics"], after["metrics"]
    told += [f"{name}: metric {key} differs" for key in sorted(old.keys() & new.keys()) if old[key] != new[key]]
    return told


def compare(args: argparse.Namespace) -> int:
    before, after = (json.loads(file.read_text()) for file in (args.before, args.after))
    shared = sorted(before.keys() & after.keys())
    told = [sentence for name in shared for sentence in differences(name, before[name], after[name])]
    for sentence in told:
        print(sentence)
    for side, missing in (("before", after.keys() - before.keys()), ("after", before.keys() - after.keys())):
        if missing:
            print(f"not {side}: {', '.join(sorted(missing))}")
    keys = {key for name in shared for key in before[name]["metrics"].keys() ^ after[name]["metrics"].keys()}
    if keys:
        print(f"metrics that only one side knows: {', '.join(sorted(keys))}")
    print(f"{len(shared)} runs compared: {len(told)} differences")
    return 1 if told else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record")
    recording.add_argument("--out", type=Path, required=True)
    recording.add_argument("--src", type=Path, help="the src folder of another checkout")
    recording.add_argument("--cache", type=Path, help="where start policies are kept; an empty folder makes them anew")
    recording.add_argument("--steps", type=int, default=20)
    recording.add_argument("--whole", action="store_true", help="the three examples to their end instead")
    recording.add_argument("--renamed", nargs="*", default=[], metavar="NEW=OLD", help="columns of the history")
    recording.add_argument("--only", nargs="*", help="just these runs")
    recording.set_defaults(act=record)
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.set_defaults(act=compare)
    args = parser.parse_args()
    return args.act(args) or 0


if __name__ == "__main__":
    sys.exit(main())
