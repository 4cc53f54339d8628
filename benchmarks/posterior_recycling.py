"""The share of groups with signal at about 3, 11 and 30 visits of a prompt: GRPO, recycling and posterior recycling.

    python benchmarks/posterior_recycling.py [--frozen] [--runs runs/posterior] [--jobs 2] [--docs]

Two measurements, at 22,528 rollouts in groups of 4, from pools of 2,048, 512 and 192 prompts (2.75, 11 and 29 visits
of a prompt), written to posterior_recycling.json:

- `--frozen`: no model. The scheduler of each recipe is driven with a policy that never changes; success rates are drawn
  from a mixture of two Beta distributions, fitted to the start policy's profile (4,096 prompts, 8 rollouts each; it
  gives the shares of prompts solved 0 to 8 times within .005). 10 seeds. Only the rule differs here.
- `--runs DIR`: `rekindle train examples/spell_backward.toml --recipe NAME --seed N --set task.pool_size=SIZE
  --set train.rollouts=22528`, 5 seeds; finished runs are kept.

A group has signal here when it is trained on, which under these recipes means that its rewards differ. Recycling draws
128 groups per step and trains on at most 64; the others count as without signal.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import arms
from rekindle import load_run
from rekindle.config import merge, validate
from rekindle.methods import build_scheduler
from rekindle.planning.frozen_policy import frozen_run
from rekindle.recipes import RECIPES
from rekindle.statistics.words import cell, paired

RESULTS = arms.ROOT / "benchmarks" / "posterior_recycling.json"
PAGE = Path("methods") / "posterior_recycling.md"
BLOCK = "posterior_recycling"
BASE = "grpo"
ARMS = (BASE, "recycle", "posterior_recycle")
POOLS = (2048, 512, 192)
ROLLOUTS, GROUP_SIZE = 22_528, 4
START_POLICY = ((0.643, 0.249, 1.407), (0.357, 2.885, 1.554))
"""(weight, a, b): the success rates of the embedded start policy as a mixture of Beta(a, b)."""
QUARTERS = ("first", "second", "third", "last")

Run = Mapping[str, Any]


def start_rates(prompts: int, rng: np.random.Generator) -> np.ndarray:
    """[prompts] success rates drawn like those of the embedded start policy."""
    weights, a, b = np.array(START_POLICY).T
    component = rng.choice(len(weights), size=prompts, p=weights / weights.sum())
    return rng.beta(a[component], b[component])


def frozen(recipe: str, pool: int, seed: int, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One simulated run of a recipe with optional further settings.

    The success rates depend on the seed alone, so all arms have the same policy.
    """
    preset = merge(RECIPES[recipe]().model_dump(mode="json", exclude_none=True), settings or {})
    config = validate(merge(preset, {"train": {"seed": seed, "rollouts": ROLLOUTS}}), where=recipe)
    rates = start_rates(pool, np.random.default_rng((seed, 0)))
    scheduler = build_scheduler(config, map(str, range(pool)))
    steps = ROLLOUTS // (GROUP_SIZE * config.train.groups_per_step * config.train.oversample)
    return arms.made_now() | signal_shares(frozen_run(scheduler, rates, steps, np.random.default_rng((seed, 1))))


def trained(directory: Path) -> dict[str, Any]:
    """One finished run."""
    run = load_run(directory)
    late = arms.evaluations(run)[-4:]
    return {
        **arms.made(run),
        **signal_shares(run.metrics[1:]),
        "accuracy": statistics.fmean(line["eval/accuracy"] for line in late),
        "greedy": statistics.fmean(line["eval/greedy"] for line in late),
        "rollouts": run.metrics[-1]["total_rollouts"],
        "flops": run.metrics[-1]["total_flops"],
    }


def signal_shares(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The share of the groups asked that were trained on: over the run, and in each quarter of its steps."""
    if len(steps) < len(QUARTERS):
        raise SystemExit(f"a run of {len(steps)} steps has no quarters; raise train.rollouts")
    quarters = np.array_split(np.arange(len(steps)), len(QUARTERS))
    return {
        "share": _share(steps),
        "quarters": [_share([steps[index] for index in quarter]) for quarter in quarters],
    }


def _share(steps: Sequence[Mapping[str, Any]]) -> float:
    return sum(step["groups/trained"] for step in steps) / sum(step["groups/asked"] for step in steps)


def train_all(runs: Path, seeds: int, overrides: Sequence[str], jobs: int) -> dict[str, dict[str, list[Run]]]:
    """Run what is missing and read all runs: pool -> arm -> one per seed."""
    extra = [word for override in overrides for word in ("--set", override)]
    places = {
        (pool, arm, seed): runs / f"{arm}-{pool}-{seed}" for seed in range(seeds) for pool in POOLS for arm in ARMS
    }
    settings = {pool: ["--set", f"task.pool_size={pool}", "--set", f"train.rollouts={ROLLOUTS}"] for pool in POOLS}
    commands = [
        (["examples/spell_backward.toml", "--recipe", arm, "--seed", str(seed), *settings[pool], *extra], directory)
        for (pool, arm, seed), directory in places.items()
    ]
    arms.run_all(commands, jobs)
    return {
        str(pool): {arm: [trained(places[pool, arm, seed]) for seed in range(seeds)] for arm in ARMS} for pool in POOLS
    }


def tables(results: Mapping[str, Any]) -> str:
    """The page's block."""
    parts = []
    if "frozen" in results:
        parts += ["**A frozen policy**, the rule alone:", _table(results["frozen"], with_accuracy=False)]
    if "trained" in results:
        parts += ["**The embedded task**, a policy that learns:", _table(results["trained"], with_accuracy=True)]
    made = arms.made_words(
        run for pools in results.values() for by_arm in pools.values() for runs in by_arm.values() for run in runs
    )
    note = (
        "Share of groups with signal, by quarter of the run; the last columns are over the whole run, compared with "
        "GRPO seed by seed (mean and 95 % t-interval). Made by `benchmarks/posterior_recycling.py`. "
        f"{made}"
    )
    return "\n\n".join([*parts, note]) + "\n"


def _table(pools: Mapping[str, Mapping[str, Sequence[Run]]], *, with_accuracy: bool) -> str:
    head = ["visits", "recipe", *(f"{name} quarter" for name in QUARTERS), "run", "against GRPO"]
    head += ["accuracy", "against GRPO"] if with_accuracy else []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for pool, by_arm in pools.items():
        visits = f"{ROLLOUTS / GROUP_SIZE / int(pool):.3g}"
        for arm, runs in by_arm.items():
            cells = [visits, f"`{arm}`", *_quarters(runs), *_against(runs, by_arm[BASE], arm, "share", ".3f")]
            cells += _against(runs, by_arm[BASE], arm, "accuracy", ".3f") if with_accuracy else []
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _quarters(runs: Sequence[Run]) -> list[str]:
    return [cell([run["quarters"][index] for run in runs], ".2f") for index in range(4)]


def _against(runs: Sequence[Run], base: Sequence[Run], arm: str, key: str, form: str) -> list[str]:
    ours = [run[key] for run in runs]
    return [cell(ours, form), "" if arm == BASE else paired(ours, [run[key] for run in base])]


def main() -> None:
    """Run the chosen measurements, and write the page's block."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frozen", action="store_true", help="simulate the frozen policy")
    parser.add_argument("--frozen-seeds", type=int, default=10)
    parser.add_argument("--runs", type=Path, help="train here; runs that are finished are kept")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one thread each")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, nargs="?", const=arms.ROOT / "docs", help="write the page's block")
    options = parser.parse_args()
    results = arms.read_results(options.out) if options.out.exists() else {}
    if options.frozen:
        seeds = range(options.frozen_seeds)
        results["frozen"] = {
            str(pool): {arm: [frozen(arm, pool, seed) for seed in seeds] for arm in ARMS} for pool in POOLS
        }
    if options.runs:
        results["trained"] = train_all(options.runs, options.seeds, options.overrides, options.jobs)
    if not results:
        parser.error(f"{options.out} does not exist; give --frozen, --runs DIR, or both")
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))
    if options.docs:
        arms.replace_block(options.docs / PAGE, BLOCK, tables(results))


if __name__ == "__main__":
    main()
