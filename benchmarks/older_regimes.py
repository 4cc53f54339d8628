"""The measured regimes of benchmarks that are older than the claims; each leaves with its results.

Their runs kept no outcomes of the first step. The shares of groups that were all wrong and all correct are those of a
Beta distribution of the success rates with the mean of the start policy and the measured share of the rewards' variance
that lies between prompts.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import arms
import methods
import posterior_recycling
import regimes
from claims.measured_regimes import difference_of, ratio_of, rounded
from rekindle.config import Config
from rekindle.planning.measured import BASE
from rekindle.preflight import start_parameters
from rekindle.recipes import resolve
from rekindle.types import UserError

__all__ = ["beta_shares", "older_regimes"]

FILE = arms.ROOT / "benchmarks" / "methods.toml"
START = "the first step, by mean and spread"
SPREAD, EVEN, SMALL = "spread_difficulty", "even_difficulty", "small_pool"

Entry = dict[str, Any]
Runs = Sequence[Mapping[str, Any]]


def older_regimes() -> Iterator[Entry]:
    """The regimes of the results that are there."""
    if not regimes.RESULTS.exists():
        return
    found = arms.read_results(regimes.RESULTS)
    if methods.RESULTS.exists():
        yield from _of_methods(arms.read_results(methods.RESULTS), found)
    if posterior_recycling.RESULTS.exists():
        yield from _by_visits(arms.read_results(posterior_recycling.RESULTS)["trained"], found)
    yield _regime(EVEN, found, "prompts of alike difficulty", "methods/single_rollout.md")
    yield _regime(SMALL, found, "a small pool, profiled", "methods/sgpo.md#a-small-pool")


def beta_shares(mean: float, between: float, size: int) -> tuple[float, float]:
    """Shares of groups that are all wrong and all correct, of success rates with a Beta distribution.

    Args:
        mean: Mean success rate, between 0 and 1.
        between: Share of the variance of single rewards that lies between prompts: 1 / (a + b + 1).
        size: Group size.
    """
    both = 1 / between - 1
    a, b = mean * both, (1 - mean) * both
    wrong = math.prod((b + k) / (both + k) for k in range(size))
    return wrong, math.prod((a + k) / (both + k) for k in range(size))


def _axes(start: Runs, config: Config, *, rollouts: float, tokens_of: Runs) -> dict[str, float]:
    """Numbers of a regime: the start from runs with its spread, the length from runs with tokens."""
    size, pool = config.train.group_size, config.task.pool_size
    assert pool is not None, "the embedded tasks have one"
    mean, between = (statistics.fmean(run[key] for run in start) for key in ("start", "between_share"))
    never, always = beta_shares(mean, between, size)
    found = {
        "never": never,
        "always": always,
        "visits": rollouts / size / pool,
        "completion_tokens": sum(run["tokens"] for run in tokens_of) / sum(run["rollouts"] for run in tokens_of),
        "group_size": size,
        "parameters": start_parameters(config),
    }
    return {key: value for key, one in found.items() if (value := rounded(one)) is not None}


def _of_methods(results: Mapping[str, Runs], spread: Mapping[str, Mapping[str, Runs]]) -> Iterator[Entry]:
    """Every recipe, at equal tokens."""
    base = results[BASE]
    config = resolve(FILE, BASE)
    rollouts = statistics.fmean(run["rollouts"] for run in base)
    yield {
        "name": "methods",
        "words": "the toy, every recipe at equal tokens",
        "page": "methods/README.md#on-the-embedded-task",
        "made": arms.made_words(run for runs in results.values() for run in runs),
        "baseline": BASE,
        "start": START,
        "axes": _axes(_first(spread[SPREAD]), config, rollouts=rollouts, tokens_of=base),
        "comparisons": [
            _comparison(recipe, recipe, (), runs, base, "tokens") for recipe, runs in results.items() if recipe != BASE
        ],
    }


def _by_visits(results: Mapping[str, Mapping[str, Runs]], spread: Mapping[str, Mapping[str, Runs]]) -> Iterator[Entry]:
    """Pools of three sizes, at equal rollouts."""
    start = _first(spread[SPREAD])
    for pool, by_recipe in results.items():
        base = by_recipe[BASE]
        config = resolve(arms.ROOT / "examples" / "spell_backward.toml", BASE, [f"task.pool_size={pool}"])
        rollouts = statistics.fmean(run["rollouts"] for run in base)
        yield {
            "name": f"posterior_recycling/{pool}",
            "words": f"the toy, {rollouts / config.train.group_size / int(pool):.2g} visits of a pool of {int(pool):,}",
            "page": "methods/posterior_recycling.md#visited-3-11-and-30-times",
            "made": arms.made_words(run for runs in by_recipe.values() for run in runs),
            "baseline": BASE,
            "start": START,
            "axes": _axes(start, config, rollouts=rollouts, tokens_of=start),
            "comparisons": [
                _comparison(recipe, recipe, (), runs, base, "rollouts")
                for recipe, runs in by_recipe.items()
                if recipe != BASE
            ],
        }


def _regime(name: str, results: Mapping[str, Mapping[str, Runs]], words: str, page: str) -> Entry:
    """A regime of ``regimes.py``, whose first arm is GRPO."""
    made, by_arm = regimes.REGIMES[name], results[name]
    if missing := [arm for arm in made.arms if arm not in by_arm]:
        again = f"python benchmarks/regimes.py --runs DIR --only {name}"
        raise UserError(f"{regimes.RESULTS} has no numbers of {missing[0]!r}; measure it with: {again}")
    first, *others = made.arms
    base = by_arm[first]
    assert made.arms[first] == (BASE, ())
    config = resolve(FILE, BASE, list(made.settings))
    return {
        "name": name,
        "words": words,
        "page": page,
        "made": arms.made_words(run for runs in by_arm.values() for run in runs),
        "baseline": BASE,
        "start": START,
        "axes": _axes(base, config, rollouts=statistics.fmean(run["rollouts"] for run in base), tokens_of=base),
        "comparisons": [_comparison(arm, *made.arms[arm], by_arm[arm], base, "tokens") for arm in others],
    }


def _first(by_arm: Mapping[str, Runs]) -> Runs:
    return next(iter(by_arm.values()))


def _comparison(arm: str, recipe: str, settings: Sequence[str], runs: Runs, base: Runs, cost: str) -> Entry:
    def of(some: Runs, key: str) -> dict[int, float | None]:
        return {seed: run[key] for seed, run in enumerate(some)}

    spent = {key: ratio_of(of(runs, key), of(base, key)) for key in ("tokens", "flops") if key in runs[0]}
    return {
        "arm": arm,
        "recipe": recipe,
        "settings": list(settings),
        "accuracy": {cost: difference_of(of(runs, "accuracy"), of(base, "accuracy"))},
        "spent": spent,
        "to_target": {},
    }
