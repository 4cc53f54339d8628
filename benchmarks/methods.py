"""Every recipe compared with GRPO on the embedded task, at equal generated tokens, over seeds.

    python benchmarks/methods.py --runs runs/methods [--jobs 2] [--seeds 5] [--only erpo,sgpo] [--set KEY=VALUE]
    python benchmarks/methods.py --docs

The first command runs what is missing, each run by the command of the documentation,
`rekindle train benchmarks/methods.toml --recipe NAME --seed N`, and writes methods.json; the second writes the measured
blocks and curves of docs/methods from it.

The rules of the measurement:

- A run ends when it has generated `train.tokens` tokens, including a profile's. All other costs are counted.
- Accuracy is the mean of the evaluations in the last 15 % of the tokens generated in training, at least of the last
  four, on 256 held-out prompts, because single evaluations vary. The start policy's evaluation is never among them.
- The FLOPs to reach a level are those spent when the mean of three consecutive evaluations is first at least the level.
- Differences to GRPO are paired by seed, with 95 % t-intervals; an interval with 0 in it is "no difference seen".
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import arms
import method_pages
from rekindle import load_run
from rekindle.comparison.curves import Curve, cost_to_reach
from rekindle.observability.runs import Run
from rekindle.recipes import RECIPES, on_given_tasks

RESULTS = arms.ROOT / "benchmarks" / "methods.json"
BASE = "grpo"
LATE_SHARE, LATE_LEAST = 0.15, 4
LEVELS = ("0.70", "0.75")

Line = Mapping[str, Any]


def late_evaluations(evaluated: Sequence[Line]) -> Sequence[Line]:
    """The evaluations averaged for a run's accuracy; the first of ``evaluated`` is that of the start policy."""
    begin, end = (evaluated[index]["total_generated_tokens"] for index in (0, -1))
    after = end - LATE_SHARE * (end - begin)
    late = [line for line in evaluated[1:] if line["total_generated_tokens"] > after]
    return late if len(late) >= LATE_LEAST else evaluated[1:][-LATE_LEAST:]


def flops_to_reach(evaluated: Sequence[Line], level: float) -> float | None:
    """FLOPs spent when the mean of three consecutive evaluations first reaches ``level``; None if never."""
    spent, accuracies = ([float(line[key]) for line in evaluated] for key in ("total_flops", "eval/accuracy"))
    return cost_to_reach(Curve(spent, accuracies), level)


def measure(directory: Path) -> dict[str, Any]:
    """The numbers of one run."""
    run = load_run(directory)
    if not run.metrics[-1]["step"]:
        raise SystemExit(f"{directory} made no step: a profile spent all tokens; raise train.tokens")
    evaluated = arms.evaluations(run)
    late = late_evaluations(evaluated)
    clipped = [line["clip_fraction"] for line in run.metrics if line.get("clip_fraction") is not None]
    return {
        **arms.made(run),
        **arms.counted(run),
        **_visits(run),
        "start": evaluated[0]["eval/accuracy"],
        "accuracy": statistics.fmean(line["eval/accuracy"] for line in late),
        "greedy": statistics.fmean(line["eval/greedy"] for line in late),
        "evaluations": len(late),
        "clip_fraction": statistics.fmean(clipped) if clipped else None,
        "hot_groups": sum(line["groups/hot"] for line in run.metrics),
        "revived_groups": sum(line["groups/revived"] for line in run.metrics),
        "phases": run.metrics[-1].get("pool/phase"),
        "skipped": sum(line.get("pool/skipped", 0) for line in run.metrics),
        "reach": {level: flops_to_reach(evaluated, float(level)) for level in LEVELS},
        "curve": [(line["total_generated_tokens"], round(line["eval/accuracy"], 4)) for line in evaluated],
    }


def _visits(run: Run) -> dict[str, float | None]:
    """Rollouts per visit of a prompt, and the share of visits trained on with differing rewards.

    A visit comprises all requests for a prompt in one step, including top-ups.
    """
    sql = """
        select count(*) visits, avg(rollouts) rollouts, avg(has_signal) has_signal from (
            select sum(n) rollouts, max(fate = 'trained' and outcome = 'mixed') has_signal
            from groups where fate != 'failed' group by step, task_id)
    """
    (row,) = run.query(sql)
    return {"visit_rollouts": row["rollouts"], "signal_share": row["has_signal"] if row["rollouts"] > 1 else None}


def collect(runs: Path, recipes: Sequence[str], seeds: int, overrides: Sequence[str], jobs: int) -> dict[str, Any]:
    """Run these recipes where missing, and measure them."""
    extra = [word for override in overrides for word in ("--set", override)]
    directories = {(recipe, seed): runs / f"{recipe}-{seed}" for seed in range(seeds) for recipe in recipes}
    commands = [
        (["benchmarks/methods.toml", "--recipe", recipe, "--seed", str(seed), *extra], directory)
        for (recipe, seed), directory in directories.items()
    ]
    arms.run_all(commands, jobs)
    return {recipe: [measure(directories[recipe, seed]) for seed in range(seeds)] for recipe in recipes}


def write(path: Path, results: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write JSON with one line per run, because a curve has eighty points."""
    ordered = [recipe for recipe in RECIPES if recipe in results]
    parts = [f'"{recipe}": [\n' + ",\n".join(map(json.dumps, results[recipe])) + "\n]" for recipe in ordered]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def starts(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> set[float]:
    """Accuracies of the start policies; runs of different ones are not paired."""
    return {run["start"] for runs in results.values() for run in runs}


def main() -> None:
    """Run what is missing and write the results, or write the pages from the results, or both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="make the runs here; those that are finished are kept")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one thread each")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", help="recipes to run, separated by commas; GRPO always comes first")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument(
        "--docs", type=Path, nargs="?", const=arms.ROOT / "docs", help="write the measured blocks of the pages"
    )
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else on_given_tasks()
    if unknown := [recipe for recipe in chosen if recipe not in RECIPES]:
        parser.error(f"unknown recipes: {', '.join(unknown)}; known are {', '.join(RECIPES)}")
    results = arms.read_results(options.out) if options.out.exists() else {}
    if options.runs:
        recipes = [BASE, *(recipe for recipe in chosen if recipe != BASE)]
        found = collect(options.runs, recipes, options.seeds, options.overrides, options.jobs)
        if starts(found) != starts(results or found):
            parser.error(f"these runs begin with another start policy than those of {options.out}; give another --out")
        results |= found
        write(options.out, results)
    if not results:
        parser.error(f"{options.out} does not exist; make the runs first with --runs DIR")
    print(method_pages.overview(results, dict.fromkeys(results, "")))
    if options.docs:
        method_pages.write(options.docs, results)


if __name__ == "__main__":
    main()
