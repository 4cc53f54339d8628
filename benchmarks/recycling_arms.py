"""GRPO, Bounded DAPO and query recycling on the embedded task, at equal rollouts, over seeds.

    python benchmarks/recycling_arms.py --runs runs/arms [--seeds 5] [--out benchmarks/recycling_arms.json]
                                        [--curve docs/images/recycling_arms.svg]

Each run is the command of the documentation, `rekindle train examples/spell_backward.toml --recipe NAME --seed N`;
finished runs are kept and not repeated. Accuracy is the mean of the last four evaluations on 256 held-out prompts
(sampled at temperature 1; greedy beside it). Differences to GRPO are paired by seed, with a 95 % t-interval. Recycled
shares are those of the last quarter of the steps, beside the share of the same sampler over a frozen policy.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rekindle import load_run
from rekindle.observability.svg import Series, line_chart

ROOT = Path(__file__).parents[1]
ARMS = {"grpo": "GRPO", "bounded_dapo": "Bounded DAPO", "recycle": "Query recycling"}
COLORS = {"grpo": "always_solved", "bounded_dapo": "rescued_easy", "recycle": "rescued_hard"}
PALETTE = {"always_solved": "#7d8794", "rescued_easy": "#d99a22", "rescued_hard": "#c2491d"}
LAST = 4
T_QUANTILE = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def train(recipe: str, seed: int, directory: Path) -> None:
    """Run the documented command, or keep the finished run."""
    command = [sys.executable, "-m", "rekindle", "train", str(ROOT / "examples" / "spell_backward.toml")]
    subprocess.run([*command, "--recipe", recipe, "--seed", str(seed), "--out", str(directory), "--resume"], check=True)


def measure(directory: Path) -> dict[str, Any]:
    """The numbers of one run."""
    run = load_run(directory)
    lines = run.metrics
    evaluations = [line for line in lines if "eval/accuracy" in line]
    late = lines[1:][-max(1, (len(lines) - 1) // 4) :]
    null = directory / "null_control.json"
    last = lines[-1]
    return {
        "start": evaluations[0]["eval/accuracy"],
        "accuracy": statistics.fmean(line["eval/accuracy"] for line in evaluations[-LAST:]),
        "greedy": statistics.fmean(line["eval/greedy"] for line in evaluations[-LAST:]),
        "lowest_late": min(line["eval/accuracy"] for line in evaluations[len(evaluations) // 2 :]),
        "updates": last["version"],
        "rollouts": last["total_rollouts"],
        "ledger_rollouts": sum(count.rollouts for count in run.fates().values()),
        "tokens": last["total_generated_tokens"],
        "flops": last["total_flops"],
        "cpu_seconds": last["total_cpu_seconds"],
        "taught_share": sum(line["groups/trained"] for line in lines) / sum(line["groups/asked"] for line in lines),
        "batch_late": statistics.fmean(line["groups/trained"] for line in late),
        "live": last["pool/live"],
        "resets": last["pool/resets"],
        "curve": [(line["total_rollouts"], line["eval/accuracy"]) for line in evaluations],
        **(json.loads(null.read_text()) if null.exists() else {}),
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of the 95 % t-interval."""
    half = T_QUANTILE[len(values)] * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return statistics.fmean(values), half


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """A Markdown table: a column per arm, means and standard deviations over seeds."""
    rows: list[tuple[str, str, str]] = [
        ("held-out accuracy, sampled", "accuracy", ".3f"),
        ("held-out accuracy, greedy", "greedy", ".3f"),
        ("lowest evaluation of the second half", "lowest_late", ".3f"),
        ("rollouts", "rollouts", ",.0f"),
        ("generated tokens", "tokens", ",.0f"),
        ("FLOPs", "flops", ".2e"),
        ("CPU seconds", "cpu_seconds", ".0f"),
        ("updates", "updates", ".0f"),
        ("groups that taught, share", "taught_share", ".2f"),
        ("batch in the last quarter, of 64 groups", "batch_late", ".1f"),
        ("live prompts at the end, of 4,096", "live", ",.0f"),
        ("pool resets", "resets", ".1f"),
        ("recycled share, last quarter", "recycled_share", ".2f"),
        ("the same with a frozen policy", "frozen_share", ".2f"),
        ("too easy at first, of the recycled", "rescued_easy_share", ".2f"),
        ("the same with a frozen policy", "frozen_rescued_easy_share", ".2f"),
    ]
    lines = ["| | " + " | ".join(ARMS[arm] for arm in results) + " |", "|---|" + "---|" * len(results)]
    for words, key, form in rows:
        lines.append(f"| {words} | " + " | ".join(_cell(runs, key, form) for runs in results.values()) + " |")
    base = results["grpo"]
    cells = []
    for arm, runs in results.items():
        mean, half = interval([one["accuracy"] - other["accuracy"] for one, other in zip(runs, base, strict=True)])
        cells.append("" if arm == "grpo" else f"{mean:+.3f} ± {half:.3f}")
    lines.insert(4, "| difference to GRPO, paired by seed (95 %) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(runs: Sequence[dict[str, Any]], key: str, form: str) -> str:
    values = [run[key] for run in runs if key in run]
    if not values:
        return ""
    mean = format(statistics.fmean(values), form)
    varies = len(values) > 1 and max(values) > min(values)
    return f"{mean} ± {format(statistics.stdev(values), form)}" if varies else mean


def curve(results: dict[str, list[dict[str, Any]]]) -> str:
    """Accuracy against rollouts: the mean over seeds, and the range of the seeds as a band. A standalone SVG file."""
    series = []
    for arm, runs in results.items():
        x = [point[0] for point in runs[0]["curve"]]
        heights = [[run["curve"][index][1] for run in runs] for index in range(len(x))]
        band = ([min(values) for values in heights], [max(values) for values in heights])
        series.append(Series(ARMS[arm], x, [statistics.fmean(values) for values in heights], COLORS[arm], band=band))
    drawn = line_chart(
        series,
        title="Held-out accuracy against rollouts",
        description="Mean and range over the seeds of held-out accuracy, sampled at temperature 1, for three recipes",
        x_label="rollouts",
        y_limits=(0.0, 1.0),
    )
    return standalone(drawn, [(ARMS[arm], PALETTE[COLORS[arm]]) for arm in results])


def standalone(plot: str, legend: Sequence[tuple[str, str]]) -> str:
    """A plot of ours as a file of its own, with the style the report's page would give it."""
    css = (ROOT / "src" / "rekindle" / "observability" / "report.css").read_text()
    rules = "".join(line for line in css.splitlines() if line.startswith("svg ") and ":hover" not in line)
    colors = "".join(f".c-{name} {{ --c: {color}; }}" for name, color in PALETTE.items())
    names = "".join(
        f'<text x="{60 + 150 * index}" y="20" style="fill: {color}; font-weight: 600">{name}</text>'
        for index, (name, color) in enumerate(legend)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="760" height="310" viewBox="0 0 760 310" '
        'style="--ink: #24211d; --soft: #6b655c; --grid: #ece8df; font-family: system-ui, sans-serif">'
        f'<style>{rules}{colors}</style><rect width="760" height="310" fill="#fff"/>{names}'
        f'<svg x="52" y="40" width="690" height="260" overflow="visible">{plot}</svg></svg>'
    )


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--curve", type=Path)
    options = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for seed in range(options.seeds):
        for arm in ARMS:
            directory = options.runs / f"{arm}-{seed}"
            train(arm, seed, directory)
            results[arm].append(measure(directory))
    print(table(results))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))
    if options.curve:
        options.curve.parent.mkdir(parents=True, exist_ok=True)
        options.curve.write_text(curve(results))


if __name__ == "__main__":
    main()
