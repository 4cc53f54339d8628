"""Cost of a resumption on the embedded default: an interrupted `make quickstart`, until its first new step.

    OMP_NUM_THREADS=1 python benchmarks/resume_cost.py [--repeats 5] [--out FILE.json]

Starts the run as a user does, interrupts it after a few steps, and resumes copies of it, each in a process of its own
that ends after its first new step. The cost is what that process spends beyond an ordinary step of the run (median).
Processor seconds are medians, seconds of the wall clock minima, because other work on the machine stretches these. The
imports of torch and transformers alone are timed as well: less is not possible.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

EMBEDDED = Path(__file__).parents[1] / "examples" / "spell_backward.toml"
LIBRARIES = "import gc; gc.disable(); import torch, transformers.models.llama.modeling_llama"
STEPS = 3
PARTS = {
    "imports": ("rekindle.session", "_import_libraries"),
    "checks of the files and tasks": ("rekindle.session", "Session.look"),
    "model": ("rekindle.assembly.opening", "load_policy"),
    "kernels (within model)": ("rekindle.models.policy", "measure_kernels"),
    "tasks compared": ("rekindle.assembly.run", "_of_the_run"),
    "checkpoint": ("rekindle.assembly.run", "_resumed_files"),
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.resume:
        resumed(options.resume)
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        interrupted(run)
        ordinary = statistics.median(one["cpu_seconds"] for one in metrics(run) if not one["time/evaluate"])
        trials = [trial(run, Path(place) / f"copy-{number}", ordinary) for number in range(options.repeats)]
    alone = [spent([sys.executable, "-c", f"{LIBRARIES}; import os; os._exit(0)"]) for _ in range(options.repeats)]
    names = ["cost", *PARTS]
    found = {
        "processor seconds": {name: round(statistics.median(one[name][1] for one in trials), 2) for name in names},
        "least processor seconds": round(min(one["cost"][1] for one in trials), 2),
        "least seconds of the wall clock": round(min(one["cost"][0] for one in trials), 2),
        "torch and transformers alone": [min(one[0] for one in alone), statistics.median(one[1] for one in alone)],
        "an ordinary step": round(ordinary, 2),
        "load": os.getloadavg(),
    }
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.write_text(f"{text}\n")


def command(run: Path) -> list[str]:
    """Arguments of `rekindle` for the run of `make quickstart`."""
    return ["train", str(EMBEDDED), "--recipe", "recycle", "--resume", "--out", str(run)]


def interrupted(run: Path) -> None:
    """Make the run, and interrupt it after a few steps."""
    process = subprocess.Popen([sys.executable, "-m", "rekindle", *command(run)], stderr=subprocess.DEVNULL)
    while len(metrics(run)) <= STEPS:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130


def metrics(run: Path) -> list[dict[str, Any]]:
    """Metrics of the steps so far."""
    file = run / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def trial(run: Path, copy: Path, ordinary: float) -> Mapping[str, list[float]]:
    """Seconds of a resumption and of its parts, each [wall clock, processor]."""
    shutil.copytree(run, copy)
    began = time.monotonic()
    said = subprocess.run(
        [sys.executable, __file__, "--resume", str(copy)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout
    found: dict[str, list[float]] = json.loads(said)
    ended, cpu = found.pop("step")
    return found | {"cost": [ended - began - ordinary, cpu - ordinary]}


def resumed(run: Path) -> None:
    """Resume the run, show the seconds of its parts when the first new step has ended, and leave."""
    import importlib

    import rekindle.cli
    from rekindle.observability import progress

    spends: dict[str, list[float]] = {}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                spends[name] = [time.perf_counter() - wall, time.process_time() - cpu]

        return wrapped

    def instrument(name: str) -> None:
        module, path = PARTS[name]
        owner: Any = importlib.import_module(module)
        *outer, last = path.split(".")
        for one in outer:
            owner = getattr(owner, one)
        setattr(owner, last, timed(name, getattr(owner, last)))

    def instrumented(imports: Callable[[], None]) -> Callable[[], None]:
        def wrapped() -> None:
            timed("imports", imports)()
            for name, (module, _) in PARTS.items():
                if module != "rekindle.session":
                    instrument(name)

        return wrapped

    def step(_: object, values: Mapping[str, Any]) -> None:
        extra = values["time/evaluate"] * values["cpu_seconds"] / values["seconds"]  # of an evaluation in this step
        own, children = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
        spends["step"] = [time.monotonic(), own + children.ru_utime + children.ru_stime - extra]
        print(json.dumps(spends), flush=True)
        os._exit(0)

    import rekindle.session as session

    instrument("checks of the files and tasks")
    setattr(session, "_import_libraries", instrumented(session._import_libraries))  # noqa: B010
    setattr(progress.Progress, "step", step)  # noqa: B010
    rekindle.cli.main(command(run))


def spent(arguments: list[str]) -> list[float]:
    """Seconds of a process: [wall clock, processor]."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(arguments, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [round(wall, 2), round(cpu, 2)]


if __name__ == "__main__":
    main()
