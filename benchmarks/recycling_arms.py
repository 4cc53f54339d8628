"""GRPO, Bounded DAPO and query recycling on the embedded task, at equal rollouts, over seeds.

    python benchmarks/recycling_arms.py --runs runs/arms [--seeds 5] [--out benchmarks/recycling_arms.json]
                                        [--curve docs/images/recycling_arms.svg]

Each run is the command of the documentation, `rekindle train examples/spell_backward.toml --recipe NAME --seed N`;
finished runs are kept. Accuracy is the mean of the last four evaluations on 256 held-out prompts
(sampled at temperature 1, and greedy). Differences to GRPO are paired by seed, with a 95 % t-interval. Recycled
shares are those of the last quarter of the steps, with the share of the same sampler and a frozen policy.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import arms
from rekindle import load_run
from rekindle.statistics.words import cell, paired

NAMES = {"grpo": "GRPO", "bounded_dapo": "Bounded DAPO", "recycle": "Query recycling"}
COLORS = {"grpo": "#7d8794", "bounded_dapo": "#d99a22", "recycle": "#c2491d"}
LAST = 4
ROWS = (
    ("held-out accuracy, sampled", "accuracy", ".3f"),
    ("held-out accuracy, greedy", "greedy", ".3f"),
    ("lowest evaluation of the second half", "lowest_late", ".3f"),
    ("rollouts", "rollouts", ",.0f"),
    ("generated tokens", "tokens", ",.0f"),
    ("FLOPs", "flops", ".2e"),
    ("CPU seconds", "cpu_seconds", ".0f"),
    ("updates", "updates", ".0f"),
    ("groups with signal, share", "signal_share", ".2f"),
    ("batch in the last quarter, of 64 groups", "batch_late", ".1f"),
    ("live prompts at the end, of 4,096", "live", ",.0f"),
    ("pool resets", "resets", ".1f"),
    ("recycled share, last quarter", "recycled_share", ".2f"),
    ("the same with a frozen policy", "frozen_share", ".2f"),
    ("too easy at first, of the recycled", "rescued_easy_share", ".2f"),
    ("the same with a frozen policy", "frozen_rescued_easy_share", ".2f"),
)


def measure(directory: Path) -> dict[str, Any]:
    """The numbers of one run."""
    run = load_run(directory)
    lines, evaluated, last = run.metrics, arms.evaluations(run), run.metrics[-1]
    late = lines[1:][-max(1, (len(lines) - 1) // 4) :]
    null = directory / "null_control.json"
    return {
        **arms.counted(run),
        "start": evaluated[0]["eval/accuracy"],
        "accuracy": statistics.fmean(line["eval/accuracy"] for line in evaluated[-LAST:]),
        "greedy": statistics.fmean(line["eval/greedy"] for line in evaluated[-LAST:]),
        "lowest_late": min(line["eval/accuracy"] for line in evaluated[len(evaluated) // 2 :]),
        "ledger_rollouts": sum(count.rollouts for count in run.fates().values()),
        "signal_share": sum(line["groups/trained"] for line in lines) / sum(line["groups/asked"] for line in lines),
        "batch_late": statistics.fmean(line["groups/trained"] for line in late),
        "live": last["pool/live"],
        "resets": last["pool/resets"],
        "curve": [(line["total_rollouts"], line["eval/accuracy"]) for line in evaluated],
        **(json.loads(null.read_text()) if null.exists() else {}),
    }


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """A Markdown table: a column per arm, means and standard deviations over seeds."""
    lines = ["| | " + " | ".join(NAMES[arm] for arm in results) + " |", "|---|" + "---|" * len(results)]
    for words, key, form in ROWS:
        lines.append(f"| {words} | " + " | ".join(_cell(runs, key, form) for runs in results.values()) + " |")
    base = [run["accuracy"] for run in results["grpo"]]
    cells = ["" if arm == "grpo" else paired([run["accuracy"] for run in runs], base) for arm, runs in results.items()]
    lines.insert(4, "| difference to GRPO, paired by seed (95 %) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(runs: Sequence[dict[str, Any]], key: str, form: str) -> str:
    values = [run[key] for run in runs if key in run]
    return cell(values, form) if values else ""


def curve(results: dict[str, list[dict[str, Any]]]) -> str:
    """Accuracy against rollouts."""
    return arms.accuracy_curves(
        {NAMES[arm]: (COLORS[arm], [run["curve"] for run in runs]) for arm, runs in results.items()},
        x_label="rollouts",
        description="Mean and range over the seeds of held-out accuracy, sampled at temperature 1, for three recipes",
    )


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--curve", type=Path)
    options = parser.parse_args()
    extra = [word for override in options.overrides for word in ("--set", override)]
    directories = {(arm, seed): options.runs / f"{arm}-{seed}" for seed in range(options.seeds) for arm in NAMES}
    commands = [
        (["examples/spell_backward.toml", "--recipe", arm, "--seed", str(seed), *extra], directory)
        for (arm, seed), directory in directories.items()
    ]
    arms.run_all(commands, options.jobs)
    results = {arm: [measure(directories[arm, seed]) for seed in range(options.seeds)] for arm in NAMES}
    print(table(results))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))
    if options.curve:
        options.curve.parent.mkdir(parents=True, exist_ok=True)
        options.curve.write_text(curve(results))


if __name__ == "__main__":
    main()
