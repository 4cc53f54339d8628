"""Time, memory and size of the reports of large runs: a million rollouts, in groups of 8 and one by one.

    python benchmarks/report_scale.py --out FOLDER [--rollouts 1000000] [--sizes 8,1]

Makes a run directory per group size (ledger, metrics, 300,000 samples, tasks) and measures ``rekindle report`` on it in
a process of its own: wall-clock and CPU seconds, the largest resident memory, and the bytes of the page.
"""

import argparse
import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rekindle.scheduling.ledger import Ledger

PROMPTS = 100_000
GROUPS_PER_STEP = 64
SAMPLES = 300_000
CONFIG = """recipe = "recycle"

[task]
source = "jsonl"
name = "synthetic"

[pool]
kind = "recycling"

[train]
steps = {steps}
groups_per_step = {batch}
group_size = {size}
"""


def write_run(directory: Path, rollouts: int, size: int, seed: int = 0) -> None:
    """A run directory of so many rollouts in groups of ``size``, whose files agree."""
    directory.mkdir(parents=True, exist_ok=True)
    groups = rollouts // size
    batch = max(GROUPS_PER_STEP, groups // 4000)
    steps = -(-groups // batch)
    (directory / "config.toml").write_text(CONFIG.format(steps=steps, batch=batch, size=size))
    (directory / "run.json").write_text(json.dumps({"ending": {"name": "done", "why": ""}, "held_out": 500}))
    rng = np.random.default_rng(seed)
    prompt = rng.integers(0, PROMPTS, groups)
    step = np.arange(groups) // batch + 1
    skill = step / steps * 4 - 2 - rng.normal(0, 2, PROMPTS)[prompt]
    wins = rng.binomial(size, 1 / (1 + np.exp(-skill)))
    write_ledger(directory, prompt, step, wins, size)
    write_metrics(directory, step, wins, size, rng)
    write_samples(directory, steps)
    with (directory / "tasks.jsonl").open("w") as file:
        for number in range(PROMPTS):
            task = {"set": "pool", "id": f"task/{number}", "prompt": "0", "answer": "0", "level": str(number % 5)}
            file.write(json.dumps({**task, "text": f"Task {number}: " + "how many are there? " * 10}) + "\n")


def write_ledger(directory: Path, prompt: np.ndarray, step: np.ndarray, wins: np.ndarray, size: int) -> None:
    """A row per group."""
    path = directory / "ledger.sqlite"
    path.unlink(missing_ok=True)
    Ledger(path).close()
    ledger = sqlite3.connect(path)
    rows = _rows(prompt.tolist(), step.tolist(), wins.tolist(), size)
    ledger.executemany(f"insert into groups values ({', '.join('?' * 16)})", rows)
    ledger.commit()
    ledger.close()


def _rows(prompts: list[int], steps: list[int], wins: list[int], size: int) -> Iterator[tuple[object, ...]]:
    first: dict[int, str] = {}
    last: dict[int, str] = {}
    for number, (prompt, step, right) in enumerate(zip(prompts, steps, wins, strict=True)):
        outcome = "all_correct" if right == size else "mixed" if right else "all_wrong"
        fate = "trained" if outcome == "mixed" or size == 1 else "recycled"
        before = (last.get(prompt), first.get(prompt))
        yield (number, step, step - 1, f"task/{prompt}", "solver", size, 1.0, right, outcome, *before, fate, 50 * size,
               200 * size, 0.5, 0)  # fmt: skip
        first.setdefault(prompt, outcome)
        last[prompt] = outcome


def write_metrics(directory: Path, step: np.ndarray, wins: np.ndarray, size: int, rng: np.random.Generator) -> None:
    """A line per step, with the keys of a real run that the report draws."""
    steps = int(step[-1])
    groups, right = np.bincount(step), np.bincount(step, wins)
    with (directory / "metrics.jsonl").open("w") as file:
        total = 0
        for number in range(steps + 1):
            rollouts = int(groups[number]) * size if number else 0
            total += rollouts
            spent = {"rollouts": total, "generated_tokens": 200 * total, "prompt_tokens": 50 * total,
                     "seconds": 10.0 * number, "flops": 1e9 * total, "flops_sgpo": 4e9 * total}  # fmt: skip
            line = {"step": number, "version": number, **{f"total_{key}": value for key, value in spent.items()}}
            if number:
                noise = rng.normal(1, 0.05, 8).tolist()
                line |= {
                    "rollouts": rollouts, "generated_tokens": 200 * rollouts, "seconds": 10.0 * noise[0],
                    "reward/mean": right[number] / max(1, rollouts), "entropy": noise[1], "lr": 1e-6 * noise[2],
                    "kl": 0.01 * noise[3], "clip_fraction": 0.1 * noise[4], "completion/length_mean": 200 * noise[5],
                    "completion/truncated": 0.05 * noise[6], "grad_norm": noise[7], "time/generate": 6.0,
                    "time/train": 3.0,
                }  # fmt: skip
            if number % max(1, steps // 50) == 0:
                line |= {"eval/accuracy": 0.3 + 0.4 * number / steps, "eval/greedy": 0.4 + 0.4 * number / steps}
            file.write(json.dumps(line) + "\n")


def write_samples(directory: Path, steps: int) -> None:
    """Samples of every step, some of them of a megabyte."""
    with (directory / "samples.jsonl").open("w") as file:
        for number in range(SAMPLES):
            length = 1_000_000 if number % (SAMPLES // 20) == 7 else 800
            line = {
                "step": 1 + number * steps // SAMPLES, "split": "train", "role": "solver", "truncated": number % 9 == 0,
                "task_id": f"task/{number % PROMPTS}", "reward": number % 2, "temperature": 1.0, "outcome": "mixed",
                "generated_tokens": length // 4, "fate": "trained", "prompt": "How many are there?",
                "completion": ("<think> reasoning & more </think> " * (length // 34 + 1))[:length],
            }  # fmt: skip
            file.write(json.dumps(line) + "\n")


def measured(directory: Path) -> dict[str, float]:
    """Seconds, CPU seconds, megabytes of memory and megabytes of the page of ``rekindle report``."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "rekindle", "report", str(directory)], check=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = after.ru_maxrss / 1024
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "memory_mb": memory,
        "page_mb": (directory / "report.html").stat().st_size / 1e6,
    }


def main() -> None:
    """Make the runs, and print a line of measurements for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--rollouts", type=int, default=1_000_000)
    parser.add_argument("--sizes", default="8,1", help="group sizes")
    options = parser.parse_args()
    for size in map(int, options.sizes.split(",")):
        directory = options.out / f"groups_of_{size}"
        write_run(directory, options.rollouts, size)
        found = measured(directory)
        print(
            f"{options.rollouts // size:,} groups of {size}: {found['seconds']:.0f} s, "
            f"{found['cpu_seconds']:.0f} s of CPU, "
            f"{found['memory_mb']:.0f} MB, page {found['page_mb']:.1f} MB"
        )


if __name__ == "__main__":
    main()
