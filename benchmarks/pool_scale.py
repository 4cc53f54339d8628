"""Scheduling cost and memory from a thousand to ten million prompts: ask + tell per group, and the process's memory.

    python benchmarks/pool_scale.py [--out FILE.json]

Each size runs in its own process. A step asks for 128 groups (B = 64, k = 2); half of them are told to be mixed. The
CPU time covers ask, tell, take and advance, including draws and resets of the pool; the median of 50 steps is reported.
Limits: 50 microseconds per group, and 1 GB at ten million prompts.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rekindle import History, Rollout, Scheduler
from rekindle.scheduling.pools import CyclingPool, RecyclingPool
from rekindle.scheduling.pools.pool import Pool

SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)
POOLS: dict[str, Callable[[History], Pool]] = {
    "recycling": RecyclingPool,
    "soft recycling": lambda history: RecyclingPool(history, alpha=0.1),
    "cycling": CyclingPool,
}


def measure(kind: str, prompts: int) -> dict[str, str | float]:
    """Measure one size in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scheduler = Scheduler(
        POOLS[kind](History(f"train/{row}" for row in range(prompts))), groups_per_step=64, oversample=2
    )
    mixed, unanimous = (
        [Rollout(token_ids=[1, 2], loss_mask=[False, True], logprobs=[0.0, -1.0], reward=reward) for reward in rewards]
        for rewards in ((0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 0.0, 0.0))
    )
    costs = []
    for version in range(1, 51):
        began, groups = time.process_time(), 0
        while (request := scheduler.ask()) is not None:
            scheduler.tell(request.id, mixed if request.row % 2 else unanimous)
            groups += 1
        scheduler.take()
        scheduler.advance(version)
        costs.append((time.process_time() - began) / groups * 1e6)
        scheduler.drain_records()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "pool": kind,
        "prompts": prompts,
        "microseconds_per_group": round(statistics.median(costs), 1),
        "slowest_step": round(max(costs), 1),
        "peak_megabytes": round(peak / 1024),
        "of_which_before": round(before / 1024),
    }


def main() -> None:
    """Measure every size in a fresh process, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=2, metavar=("POOL", "PROMPTS"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    rows = []
    for kind in POOLS:
        for prompts in SIZES:
            command = [sys.executable, __file__, "--one", kind, str(prompts)]
            rows.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
            row = rows[-1]
            print(
                f"{kind:<15} {prompts:>10,} prompts  {row['microseconds_per_group']:6.1f} us a group  "
                f"(slowest step {row['slowest_step']:6.1f})  peak {row['peak_megabytes']:4d} MB"
            )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
