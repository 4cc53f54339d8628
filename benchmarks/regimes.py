"""Methods compared in several regimes: variants of the embedded task on which results depend.

    python benchmarks/regimes.py --runs runs/methods [--jobs 2] [--seeds 5] [--only even_difficulty]
    python benchmarks/regimes.py --docs

Runs are stored with those of methods.py, which are reused for plain recipes. Differences are to the first arm of a
regime, paired by seed, with 95 % t-intervals. "Mean of all" is the mean of all evaluations after the start, the area
under the learning curve: it shows which arm was faster where all end at the same accuracy.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import arms
import methods
from rekindle import load_run
from rekindle.statistics.words import cell, paired

RESULTS = arms.ROOT / "benchmarks" / "regimes.json"


@dataclass(frozen=True)
class Regime:
    """A comparison.

    Attributes:
        page: Page of the documentation; its block has the regime's name.
        settings: Settings of all arms.
        arms: Name -> (recipe, its own settings); the first arm is the baseline.
        first_seed: Seed of the first run of an arm.
    """

    page: str
    settings: tuple[str, ...]
    arms: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    first_seed: int = 0


_SINGLE = {
    "GRPO, 64 groups of 4": ("grpo", ()),
    "single, whitened over the batch": ("reinforce_pp_ntf", ("advantage.negative_keep_ratio=1.0",)),
    "the same, filter 0.1": ("reinforce_pp_ntf", ()),
    "C-RF, filter 0.1": ("c_rf_ntf", ()),
    "single, baseline per prompt": ("prompt_baseline", ()),
}
_UNCERTAIN = ("pool.kind=prioritized", "priority.score=uncertainty", "priority.floor=0.05")
_HEAT = ("heating.delta=0.05", "heating.maximum=1.2", "heating.on_signal=step_down")
_WIDER = "advantage.negative_keep_ratio=0.3"
_DEVELOPMENT = {
    "GRPO": ("grpo", ()),
    "posterior recycling, temperatures up to 1.2 and reactivation": (
        "posterior_recycle",
        (*_HEAT, "reactivation.kind=virtual_failure", "train.gate=not_all_wrong"),
    ),
    "baseline per prompt": ("prompt_baseline", ()),
    "baseline per prompt, filter 0.15": ("prompt_baseline", ("advantage.negative_keep_ratio=0.15",)),
    "the same, filter 0.3": ("prompt_baseline", (_WIDER,)),
    "the same, filter 0.5": ("prompt_baseline", ("advantage.negative_keep_ratio=0.5",)),
    "filter 0.3, mean per rollout": ("prompt_baseline", (_WIDER, "loss.aggregation=sequence_mean")),
    "baseline per prompt, drawn by uncertainty": ("prompt_baseline", _UNCERTAIN),
    "drawn by uncertainty, filter 0.3": ("prompt_baseline", (_WIDER, *_UNCERTAIN)),
    "drawn by uncertainty, filter 0.3, temperatures up to 1.2": ("prompt_baseline", (_WIDER, *_UNCERTAIN, *_HEAT)),
}
"""What the former recipe ``rekindle`` was chosen from, on a world and with seeds that are used for nothing else."""
REGIMES = {
    "development": Regime("methods/prompt_baselines.md", ("task.params.seed=1",), _DEVELOPMENT, first_seed=100),
    "spread_difficulty": Regime("methods/single_rollout.md", (), _SINGLE),
    "even_difficulty": Regime(
        "methods/single_rollout.md",
        (
            "task.params.min_length=10",
            "task.params.max_length=10",
            "warm_start.sampled_accuracy=[0.0, 1.0]",
            "train.tokens=200000",
        ),
        _SINGLE,
    ),
    "small_pool": Regime(
        "methods/sgpo.md",
        ("task.pool_size=512",),
        {
            "GRPO": ("grpo", ()),
            "sGPO": ("sgpo", ()),
            "sGPO, phases sized by the run": ("sgpo", ("phases.reprofile=true",)),
            "sGPO, the curriculum once, equal rollouts a step": (
                "sgpo",
                ("phases.max_epochs=20", "phases.patience=10", "phases.repeats=1", "phases.constant=rollouts"),
            ),
        },
    ),
    "token_filter": Regime(
        "methods/prompt_baselines.md",
        (),
        {
            "GRPO": ("grpo", ()),
            "baseline per prompt": ("prompt_baseline", ()),
            "the same, filter 0.15": ("prompt_baseline", ("advantage.negative_keep_ratio=0.15",)),
            "the same, filter 0.3": ("prompt_baseline", (_WIDER,)),
        },
    ),
    "falling_rate": Regime(
        "methods/rekindle.md",
        (),
        {
            "GRPO": ("grpo", ()),
            "rekindle": ("rekindle", ()),
            "rekindle, constant rate": ("rekindle", ("optimizer.schedule=constant",)),
        },
    ),
    "scaled_step": Regime(
        "methods/step_scaling.md",
        (),
        {
            "recycling": ("recycle", ()),
            "recycling, exponent 0.5": ("recycle", ("optimizer.batch_exponent=0.5",)),
            "recycling, exponent 1": ("recycle", ("optimizer.batch_exponent=1.0",)),
            "posterior recycling": ("posterior_recycle", ()),
            "posterior recycling, exponent 0.5": ("posterior_recycle", ("optimizer.batch_exponent=0.5",)),
            "posterior recycling, exponent 1": ("posterior_recycle", ("optimizer.batch_exponent=1.0",)),
        },
    ),
}


def seeds_of(name: str, seeds: int) -> range:
    """The seeds of a regime's runs."""
    first = REGIMES[name].first_seed
    return range(first, first + seeds)


def commands(name: str, seeds: int, runs: Path) -> dict[tuple[str, int], tuple[list[str], Path]]:
    """The command and directory of every run of a regime."""
    regime, made = REGIMES[name], {}
    for index, (words, (recipe, own)) in enumerate(regime.arms.items()):
        settings = [*regime.settings, *own]
        place = f"{name}-{index}-{recipe}" if settings else recipe
        for seed in seeds_of(name, seeds):
            arguments = ["benchmarks/methods.toml", "--recipe", recipe, "--seed", str(seed)]
            arguments += [word for setting in settings for word in ("--set", setting)]
            made[words, seed] = (arguments, runs / f"{place}-{seed}")
    return made


def measure(directory: Path) -> dict[str, Any]:
    """Numbers of one run: those of methods.py without the curve, and those specific to regimes."""
    run = load_run(directory)
    numbers = {key: value for key, value in methods.measure(directory).items() if key != "curve"}
    numbers["mean_of_all"] = statistics.fmean(line["eval/accuracy"] for line in arms.evaluations(run)[1:])
    first = [(row["successes"] / row["n"], row["n"]) for row in run.groups("step = 1 AND fate != 'failed'")]
    numbers["between_share"] = between_share(first)
    return numbers


def between_share(groups: Sequence[tuple[float, int]]) -> float | None:
    """Share of the rewards' variance between prompts: Var(p) / (m (1 - m)).

    Args:
        groups: (share of successes, rollouts) of each prompt; the result is None for single rollouts.
    """
    if any(n < 2 for _, n in groups):
        return None
    shares = [share for share, _ in groups]
    mean = statistics.fmean(shares)
    noise = statistics.fmean(share * (1 - share) / (n - 1) for share, n in groups)
    return (statistics.variance(shares) - noise) / (mean * (1 - mean))


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """A row per arm."""
    base, *_ = results.values()
    lines = [
        "| | accuracy | difference | mean of all | difference | greedy | rollouts | FLOPs | FLOPs to 0.75 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for words, runs in results.items():
        cells = [words]
        for key in ("accuracy", "mean_of_all"):
            cells.append(cell([run[key] for run in runs], ".3f"))
            cells.append("" if runs is base else paired([r[key] for r in runs], [r[key] for r in base]))
        cells.append(cell([run["greedy"] for run in runs], ".3f"))
        cells.append(cell([run["rollouts"] for run in runs], ",.0f"))
        cells.append(cell([run["flops"] for run in runs], ".2e"))
        reached = [run["reach"]["0.75"] for run in runs if run["reach"]["0.75"] is not None]
        cells.append(
            f"{cell(reached, '.2e')}{'' if len(reached) == len(runs) else f' ({len(reached)} seeds)'}"
            if reached
            else "not reached"
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def block(name: str, results: dict[str, list[dict[str, Any]]]) -> str:
    """The page's block: the command, the table, and the variance between prompts."""
    first, *_ = results.values()
    settings = "".join(f" --set '{setting}'" for setting in REGIMES[name].settings)
    command = f"    rekindle train benchmarks/methods.toml --recipe NAME --seed N{settings}"
    shares = [run["between_share"] for run in first if run["between_share"] is not None]
    words = (
        f"{len(first)} seeds; {statistics.fmean(shares):.2f} of the variance of the start policy's rewards lies "
        f"between prompts. {arms.made_words(run for runs in results.values() for run in runs)}"
    )
    return f"\n{command}\n\n{table(results)}\n\n{words}\n\n"


def main() -> None:
    """Run what is missing and write the results, or write the pages, or both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="make the runs here; those that are finished are kept")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", help=f"some of {', '.join(REGIMES)}, separated by commas")
    parser.add_argument("--docs", action="store_true", help="write the measured blocks of the pages")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(REGIMES)
    if unknown := [name for name in chosen if name not in REGIMES]:
        parser.error(f"unknown regimes: {', '.join(unknown)}; there are {', '.join(REGIMES)}")
    results = arms.read_results(RESULTS) if RESULTS.exists() else {}
    for name in chosen:
        if options.runs:
            runs = commands(name, options.seeds, options.runs)
            arms.run_all(list(runs.values()), options.jobs)
            results[name] = {
                words: [measure(runs[words, seed][1]) for seed in seeds_of(name, options.seeds)]
                for words in REGIMES[name].arms
            }
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        if name in results:
            print(f"{name}\n{table(results[name])}\n")
            if options.docs:
                arms.replace_block(arms.ROOT / "docs" / REGIMES[name].page, name, block(name, results[name]))


if __name__ == "__main__":
    main()
