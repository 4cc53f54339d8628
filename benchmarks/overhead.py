"""The cost of scheduling: its share of the seconds of a step, in finished runs.

    python benchmarks/overhead.py --runs runs/methods [--out benchmarks/overhead.json] [--docs]

Scheduling is `time/schedule` of every step: ask, tell, take and the advantages. Its share is of the
step's seconds without evaluation. Reads the runs of benchmarks/methods.py, each recipe's seeds together.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import arms
from rekindle import load_run
from rekindle.recipes import on_given_tasks

RESULTS = arms.ROOT / "benchmarks" / "overhead.json"
PAGE = Path("benchmarks.md")
BLOCK = "overhead"
TARGET = 0.02

Overhead = Mapping[str, Any]
"""``recipes``: recipe -> numbers; ``made``: dates, revisions and machines."""


def overhead(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median over the steps of scheduling's share and milliseconds, and the share of all steps together."""
    spent = [step["time/schedule"] for step in steps]
    whole = [step["seconds"] - step["time/evaluate"] for step in steps]
    return {
        "steps": len(steps),
        "median_share": statistics.median(part / all_of_it for part, all_of_it in zip(spent, whole, strict=True)),
        "total_share": sum(spent) / sum(whole),
        "milliseconds": 1000 * statistics.median(spent),
    }


def measure(runs: Path) -> dict[str, Any]:
    """Measure every recipe with runs in the directory; ``made`` is of all runs."""
    measured: dict[str, Any] = {"made": [], "recipes": {}}
    for recipe in on_given_tasks():
        found = sorted(place for place in runs.glob(f"{recipe}-[0-9]*") if place.is_dir())
        loaded = list(map(load_run, found))
        measured["made"] += [made for run in loaded if (made := arms.made(run)) not in measured["made"]]
        if steps := [line for run in loaded for line in run.metrics[1:]]:
            measured["recipes"][recipe] = overhead(steps)
    return measured


def table(measured: Overhead) -> str:
    """One row per recipe, and the recipes above the target."""
    lines = [
        "| recipe | scheduling, median share of a step | share of all steps | median ms a step | steps |",
        "|---|---|---|---|---|",
    ]
    for recipe, one in measured["recipes"].items():
        cells = (f"{one['median_share']:.2%}", f"{one['total_share']:.2%}", f"{one['milliseconds']:.1f}")
        lines.append(f"| `{recipe}` | {' | '.join(cells)} | {one['steps']:,.0f} |")
    above = [f"`{recipe}`" for recipe, one in measured["recipes"].items() if one["median_share"] > TARGET]
    verdict = f"Above it: {', '.join(above)}." if above else "No recipe is above it."
    words = f"The target is a median of at most {TARGET:.0%}. {verdict} {arms.made_words(measured['made'])}"
    return "\n".join([*lines, "", words]) + "\n"


def main() -> None:
    """Read the runs, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="of benchmarks/methods.py; absent: use the results there are")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, nargs="?", const=arms.ROOT / "docs", help="write the page's block")
    options = parser.parse_args()
    if options.runs:
        measured = measure(options.runs)
        if not measured["recipes"]:
            parser.error(f"{options.runs} has no runs; make them with benchmarks/methods.py --runs {options.runs}")
        options.out.write_text(json.dumps(measured, indent=1) + "\n")
    elif not options.out.exists():
        parser.error(f"{options.out} does not exist; give --runs DIR")
    measured = arms.read_results(options.out)
    print(table(measured))
    if options.docs:
        arms.replace_block(options.docs / PAGE, BLOCK, table(measured))


if __name__ == "__main__":
    main()
