"""Accuracy of the embedded search agent after GRPO, with two controls for the cause of the gain.

    python benchmarks/search_agent.py --runs runs/search_agent [--jobs 1] [--seeds 5]
    python benchmarks/search_agent.py --docs

Every seed has a warm start of its own, from which all arms begin. Accuracy is that on the held-out world, the mean over
its questions of 1 to 4 hops; the end is the mean of the last three evaluations. Two controls: GRPO that also trains on
tool tokens, and the start policy sampled at lower temperatures without any training.
"""

import argparse
import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import arms
from rekindle import load_run
from rekindle.observability.runs import Run
from rekindle.statistics.words import cell, paired

RESULTS = arms.ROOT / "benchmarks" / "search_agent.json"
EXAMPLE = "examples/search_agent.toml"
PAGE = arms.ROOT / "docs" / "howto" / "search_agent.md"
CURVES = arms.ROOT / "docs" / "images" / "search_agent.svg"
ARMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "GRPO": ("grpo", ()),
    "GRPO, tool tokens trained": ("grpo", ("loss.tool_tokens=trained",)),
    "query recycling": ("recycle", ()),
}
COLOURS = ("#2f6fb5", "#b5482f", "#2f9e6f")
TEMPERATURES = (1.0, 0.7, 0.5, 0.3, 0.0)
LAST = 3


def command(arm: str, seed: int) -> list[str]:
    """Arguments of ``rekindle train``, as on the page."""
    recipe, settings = ARMS[arm]
    sets = [part for setting in (*settings, f"warm_start.seed={seed}") for part in ("--set", setting)]
    return [EXAMPLE, "--recipe", recipe, *sets, "--seed", str(seed)]


def directory(runs: Path, arm: str, seed: int) -> Path:
    """Directory of one run."""
    return runs / f"{arm.replace(', ', '-').replace(' ', '_')}-{seed}"


def measured(run: Run) -> dict[str, Any]:
    """The numbers of one run."""
    lines = arms.evaluations(run)
    start, end = lines[:1], lines[-LAST:]
    return {
        **arms.made(run),
        "start": arms.accuracies(start),
        "end": arms.accuracies(end),
        "curve": [(line["total_rollouts"], line["eval/accuracy"]) for line in lines],
        "zero_variance": [_zero_variance(part) for part in arms.quarters(run.metrics[1:])],
        "seconds": run.metrics[-1]["total_seconds"],
        "all_cpu_seconds": run.metrics[-1]["total_cpu_seconds"],
        "tool_tokens": run.metrics[-1]["total_tool_tokens"],
        **arms.counted(run),
    }


def _zero_variance(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Share of groups without signal, by hops."""
    shares = {}
    for hops in arms.HOPS:
        seen = [line for line in lines if f"level_{hops}/groups" in line]
        groups = [(line[f"level_{hops}/groups"], line[f"level_{hops}/zero_variance"]) for line in seen]
        shares[str(hops)] = sum(count * share for count, share in groups) / sum(count for count, _ in groups)
    return shares


def sharpened(seed: int) -> dict[str, float]:
    """Accuracy of the start policy by temperature, over the held-out questions."""
    from rekindle.recipes import resolve
    from rekindle.warm_starts.stage import start_workbench

    config = resolve(arms.ROOT / EXAMPLE, "grpo", [f"warm_start.seed={seed}"], seed)
    with start_workbench(config, lambda _: None) as bench:
        return {f"{one:g}": bench.evaluate(1 if one == 0 else 4, one).accuracy for one in TEMPERATURES}


def collect(runs: Path, seeds: int, jobs: int) -> dict[str, Any]:
    """Run what is missing, and measure all runs."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    arms.run_all([(command(arm, seed), directory(runs, arm, seed)) for seed in range(seeds) for arm in ARMS], jobs)
    return {
        "arms": {arm: [measured(load_run(directory(runs, arm, seed))) for seed in range(seeds)] for arm in ARMS},
        "sharpened": [sharpened(seed) for seed in range(seeds)],
    }


# -- the page ---------------------------------------------------------------------------------------------------------


def page_block(results: dict[str, Any]) -> str:
    """The page's block."""
    first = results["arms"]["GRPO"]
    gains = {kind: [100 * (run["end"][kind] - run["start"][kind]) for run in first] for kind in ("sampled", "greedy")}
    lines = [
        f"{len(first)} seeds, each with a warm start of its own; {first[0]['rollouts']:,} rollouts. Mean over "
        "questions of 1 to 4 hops about a world of unseen names; ± is the standard deviation over seeds.",
        "",
        "| | sampled | greedy | sampled by hops 1 / 2 / 3 / 4 | greedy by hops | CPU s, evaluation included |",
        "|---|---|---|---|---|---|",
        _row("start policy", [run["start"] for run in first], None),
        *(_row(arm, [run["end"] for run in of_arm], of_arm) for arm, of_arm in results["arms"].items()),
        "",
        f"GRPO with tool tokens masked gains {statistics.median(gains['sampled']):.0f} points sampled (median; "
        f"{min(gains['sampled']):.0f} to {max(gains['sampled']):.0f}) and {statistics.median(gains['greedy']):.0f} "
        f"points greedy ({min(gains['greedy']):.0f} to {max(gains['greedy']):.0f}). "
        + arms.made_words(run for runs in results["arms"].values() for run in runs),
        "",
        "Against GRPO, paired by seed, sampled and greedy:",
        "",
        *(
            f"- {arm}: {_against(results, arm, 'sampled')}; {_against(results, arm, 'greedy')}"
            for arm in ARMS
            if arm != "GRPO"
        ),
        "",
        "The start policy without training, sampled at lower temperatures (sharpening alone):",
        "",
        "| temperature | " + " | ".join(f"{one:g}" for one in TEMPERATURES) + " |",
        "|---" * (len(TEMPERATURES) + 1) + "|",
        "| accuracy | "
        + " | ".join(_cell([one[f"{t:g}"] for one in results["sharpened"]]) for t in TEMPERATURES)
        + " |",
        "",
        "Share of groups without signal, by hops, in each quarter of the run (GRPO):",
        "",
        "| hops | 1st | 2nd | 3rd | 4th |",
        "|---|---|---|---|---|",
        *(
            f"| {hops} | "
            + " | ".join(_cell([run["zero_variance"][q][str(hops)] for run in first]) for q in range(4))
            + " |"
            for hops in arms.HOPS
        ),
        "",
    ]
    return "\n".join(lines)


def _against(results: dict[str, Any], arm: str, kind: str) -> str:
    ours, theirs = ([run["end"][kind] for run in results["arms"][name]] for name in (arm, "GRPO"))
    return paired(ours, theirs)


def _row(name: str, accuracies: Sequence[dict[str, float]], runs: Sequence[dict[str, Any]] | None) -> str:
    def by_hops(kind: str) -> str:
        return " ".join(f"{statistics.fmean(one[f'{kind}_{hops}'] for one in accuracies):.2f}" for hops in arms.HOPS)

    seconds = cell([run["all_cpu_seconds"] for run in runs], ".0f") if runs else ""
    cells = (_cell([one["sampled"] for one in accuracies]), _cell([one["greedy"] for one in accuracies]))
    return f"| {name} | {' | '.join(cells)} | {by_hops('accuracy')} | {by_hops('greedy')} | {seconds} |"


def _cell(values: Sequence[float]) -> str:
    return cell(values, ".2f")


def curves(results: dict[str, Any]) -> str:
    """The learning curves."""
    return arms.accuracy_curves(
        arms.drawn_arms(results["arms"], COLOURS),
        x_label="rollouts",
        description="Accuracy on the unseen world against rollouts, mean and range over seeds, by arm.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--docs", action="store_true", help="write the page and the curves from the numbers")
    options = parser.parse_args()
    if options.runs:
        RESULTS.write_text(json.dumps(collect(options.runs, options.seeds, options.jobs), indent=1) + "\n")
    if options.docs:
        results = arms.read_results(RESULTS)
        arms.replace_block(PAGE, "search_agent", page_block(results))
        CURVES.write_text(curves(results), encoding="utf-8")


if __name__ == "__main__":
    main()
