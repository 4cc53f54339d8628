"""Seconds and memory of a ledger of a million rows as a data frame of pandas or Polars, and as a Parquet file.

    python benchmarks/run_tables.py [--rows 1000000]

Each is made in a process of its own. CPU seconds are those of the conversion; memory is what the process
needed at most, the libraries included.
"""

import argparse
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rekindle.observability.parquet import write_parquet
from rekindle.observability.runs import Run, load_run
from rekindle.scheduling.ledger import Ledger
from rekindle.types import Fate, Outcome

STEP, PROMPTS = 256, 100_000
"""Groups of a step, and prompts of the pool."""
MADE: dict[str, Callable[[Run, Path], object]] = {
    "pandas": lambda run, _: run.to_pandas("ledger"),
    "polars": lambda run, _: run.to_polars("ledger"),
    "parquet": lambda run, place: write_parquet(run, "ledger", place / "ledger.parquet"),
}


def rows(count: int) -> Iterator[tuple[object, ...]]:
    """Rows of a run of groups of eight rollouts, in the order of the ledger's columns."""
    draw = random.Random(0)
    outcomes, fates = list(map(str, Outcome)), list(map(str, Fate))
    for number in range(1, count + 1):
        task, wins, (now, before, first) = draw.randrange(PROMPTS), draw.randrange(9), draw.choices(outcomes, k=3)
        step, fate = number // STEP + 1, draw.choice(fates)
        yield (
            number,
            step,
            step - 1,
            f"deepmath/{task}",
            "solver",
            8,
            1.0,
            wins,
            now,
            before,
            first,
            fate,
            900,
            8000,
            0.5,
            0,
        )


def make(directory: Path, count: int) -> None:
    """Write a run whose ledger has ``count`` rows."""
    (directory / "config.toml").write_text('recipe = "recycle"\n')
    Ledger(directory / "ledger.sqlite").close()
    ledger = sqlite3.connect(directory / "ledger.sqlite")
    ledger.executemany(f"insert into groups values ({', '.join('?' * 16)})", rows(count))
    ledger.commit()
    ledger.close()


def measure(kind: str, directory: Path) -> None:
    """Print the measurement of one kind, in this process."""
    began = time.process_time()
    MADE[kind](load_run(directory), directory)
    seconds, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{kind:<8} {seconds:5.1f} s  {peak / 1024:5.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=MADE, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kind:
        measure(options.kind, options.directory)
        return
    with tempfile.TemporaryDirectory() as directory:
        make(Path(directory), options.rows)
        for kind in MADE:
            subprocess.run([sys.executable, __file__, "--kind", kind, "--directory", directory], check=True)


if __name__ == "__main__":
    main()
