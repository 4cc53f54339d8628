"""The measured regimes of the claims, as `rekindle plan` reads them: a setting is a regime, its arms are comparisons.

Results of runs before a number was kept are read as well: shares are then those of the first quarter, and what else is
not there is left out.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import arms
from claims.claim import Arm, Claim, Setting, Value
from claims.command import CLAIMS, read
from claims.numbers import AXES
from claims.values import Results, numbers_of
from rekindle.config import Config
from rekindle.planning.measured import BASE, FIRST_STEP
from rekindle.recipes import resolve
from rekindle.records.flops import flops
from rekindle.statistics.comparisons import Paired, paired_differences, paired_log_ratios

__all__ = ["claimed_regimes", "difference_of", "ratio_of", "regime", "rounded"]

EQUAL = ("rollouts", "tokens", "flops")
"""Costs at which accuracies are compared."""
SPENT = ("tokens", "flops", "cpu_seconds")
TARGETS = ("tokens", "flops", "cpu_seconds")
FIRST_QUARTER = "the first quarter"
DIGITS = 4

Entry = dict[str, Any]
"""A JSON object of ``measured.json``."""


def claimed_regimes() -> Iterator[Entry]:
    """A regime for every measured setting with given prompts, in the order of the claims."""
    for claim in CLAIMS.values():
        measured = read(claim)["settings"]
        for name, setting in claim.settings.items():
            if name in measured and not _creates_prompts(setting):
                yield regime(claim, name, setting, measured[name])


def _creates_prompts(setting: Setting) -> bool:
    return _config(setting, next(iter(setting.arms))).task.source == "self_play"


def _config(setting: Setting, arm: str) -> Config:
    run = setting.run("", arm, 0)
    words = list(run.arguments)
    sets = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    return resolve(arms.ROOT / setting.task, setting.arms[arm].recipe, sets, 0)


def regime(claim: Claim, name: str, setting: Setting, results: Results) -> Entry:
    """A setting and its measured arms."""
    base = _baseline(setting, results)
    ordered = {base: results[base], **results}
    runs = [run for by_seed in results.values() for run in by_seed.values()]
    return {
        "name": f"{claim.name}/{name}",
        "words": setting.words,
        "page": f"evidence/{claim.name}.md#{name.replace('_', '-')}",
        "made": arms.made_words(runs),
        "baseline": setting.arms[base].recipe,
        "start": FIRST_STEP if all("first_step" in run for run in results[base].values()) else FIRST_QUARTER,
        "axes": _axes(_config(setting, base), list(results[base].values())),
        "comparisons": [_comparison(arm, setting.arms[arm], ordered, base) for arm in results if arm != base],
    }


def _baseline(setting: Setting, results: Results) -> str:
    """The arm of plain GRPO, of several the one with fewest settings; the first arm where there is none."""
    plain = [arm for arm in results if setting.arms[arm].recipe == BASE]
    return min(plain, key=lambda arm: len(setting.arms[arm].settings)) if plain else next(iter(results))


def _axes(config: Config, runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The numbers that tell the regime from others, as means over the baseline's runs."""
    size = config.train.group_size
    rollouts, tokens = (sum(run[key] for run in runs) for key in ("rollouts", "tokens"))
    pool = runs[0].get("pool") or config.task.pool_size
    assert pool is not None, "the tasks of the claims have one"
    found = {
        "never": _share(runs, "all_wrong"),
        "always": _share(runs, "all_correct"),
        "visits": rollouts / len(runs) / size / pool,
        "completion_tokens": tokens / rollouts,
        "group_size": size,
    }
    if all(run.get("prompt_tokens") for run in runs):
        found["prompt_tokens"] = prompt = sum(run["prompt_tokens"] for run in runs) / rollouts
        if parameters := runs[0].get("parameters"):
            sampled = flops(parameters, forward=tokens + rollouts / size * prompt, trained=0)
            found |= {"generation_share": sampled / sum(run["flops"] for run in runs), "parameters": parameters}
    return {key: value for key, one in found.items() if (value := rounded(one)) is not None}


def _share(runs: Sequence[Mapping[str, Any]], outcome: str) -> float:
    """Groups of an outcome in the first step of all runs; in the first quarter where that is not known."""
    if not all("first_step" in run for run in runs):
        return statistics.fmean(run[f"{outcome}_quarters"][0] for run in runs)
    return sum(run["first_step"][outcome] for run in runs) / sum(run["first_step"]["asked"] for run in runs)


def _comparison(arm: str, made: Arm, results: Results, base: str) -> Entry:
    """An arm beside the baseline, which is the first of the results."""

    def sides(key: str) -> tuple[dict[int, float | None], dict[int, float | None]]:
        return numbers_of(results, Value(arm, key)), numbers_of(results, Value(base, key))

    profiled = any(run["profile_tokens"] for one in (arm, base) for run in results[one].values())
    equal = EQUAL[1:] if profiled else EQUAL  # the rollouts of a curve are without those of a profile
    return {
        "arm": arm,
        "recipe": made.recipe,
        "settings": list(made.settings),
        "accuracy": _known({cost: difference_of(*sides(f"accuracy@{cost}")) for cost in equal}),
        "spent": _known({cost: ratio_of(*sides(cost)) for cost in SPENT}),
        "to_target": _known({cost: ratio_of(*sides(f"{cost}@target")) for cost in TARGETS}),
    }


def _known(found: Mapping[str, Entry | None]) -> dict[str, Entry]:
    return {cost: one for cost, one in found.items() if one is not None}


def difference_of(ours: Mapping[int, float | None], theirs: Mapping[int, float | None]) -> Entry | None:
    """Ours less theirs, paired by seed; None without pairs, or with a seed that has no value."""
    return _entry(paired_differences(ours, theirs), as_ratio=False)


def ratio_of(ours: Mapping[int, float | None], theirs: Mapping[int, float | None]) -> Entry | None:
    """Ours over theirs."""
    return _entry(paired_log_ratios(ours, theirs), as_ratio=True)


def _entry(found: Paired, *, as_ratio: bool) -> Entry | None:
    if not found.count or found.left_out:
        return None
    mean, low, high = found.mean, found.t.low, found.t.high
    if as_ratio:
        mean, low, high = (math.exp(value) for value in (mean, low, high))
    limits = {"low": rounded(low), "high": rounded(high), "p": rounded(found.p)}
    return {"mean": rounded(mean), **limits, "seeds": found.count}


def rounded(value: float) -> float | None:
    """Four significant digits, which JSON can hold: None for nan."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


assert set(EQUAL) | set(TARGETS) <= set(AXES)
