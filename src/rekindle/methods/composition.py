"""Methods as features: the settings of each method, and which features combine.

A recipe is a whole run; a feature is the part of it that differs from plain GRPO. docs/composition.md is the table of
all pairs.
"""

import difflib
from collections.abc import Mapping
from itertools import combinations
from types import MappingProxyType

from rekindle.config import Config, merge, refusals
from rekindle.recipes.grpo import grpo
from rekindle.types import UserError

__all__ = ["ALL_TOGETHER", "FEATURES", "UNLESS_SET", "Setting", "clashes", "combine", "overrides"]

Setting = str | int | float
"""Value of a configuration key."""

FEATURES: Mapping[str, Mapping[str, Setting]] = MappingProxyType(
    {
        "query recycling": {"pool.kind": "recycling", "pool.reset_below": 0.25, "train.oversample": 2},
        "posterior recycling": {
            "pool.kind": "prioritized",
            "priority.estimate": "mean",
            "priority.select": "weighted",
            "posterior.half_life": 0.1,
        },
        "MoPPS": {
            "pool.kind": "prioritized",
            "priority.estimate": "sample",
            "priority.select": "best",
            "priority.floor": 0.0,
            "posterior.least_discount": 0.5,
            "posterior.most_discount": 0.5,
        },
        "GRESO": {"pool.kind": "selective"},
        "sGPO phases": {"pool.kind": "phased"},
        "sized groups 1/p": {"sizes.rule": "inverse_success"},
        "knapsack": {"sizes.rule": "knapsack", "sizes.maximum": 128},
        "ERPO heating": {"heating.delta": 0.05},
        "ERPO RA": {"heating.delta": 0.05, "reactivation.kind": "virtual_failure", "train.gate": "not_all_wrong"},
        "RA alone": {
            "reactivation.kind": "virtual_failure",
            "reactivation.groups": "all_correct",
            "train.gate": "not_all_wrong",
        },
        "importance off-temperature": {
            "heating.delta": 0.05,
            "loss.off_temperature": "importance",
            "loss.old_logprobs": "recompute",
        },
        "single rollout": {"train.group_size": 1, "train.gate": "everything"},
        "token filter": {"advantage.negative_keep_ratio": 0.1},
        "SPO baseline": {"advantage.estimator": "spo"},
        "shrunk baseline": {"advantage.estimator": "shrunk_baseline"},
        "RL-ZVP": {"advantage.zero_variance_scale": 0.1, "train.gate": "everything"},
        "PODS": {"subset.kind": "max_variance", "subset.size": 2},
        "SPEED top-up": {"top_up.kind": "mixed"},
        "Reinforce-Ada": {"top_up.kind": "balance", "subset.kind": "balanced", "subset.baseline": "all"},
        "DAPO refill": {"refill.max_rounds": 4},
        "GSPO": {"loss.kind": "gspo", "optimizer.minibatches": 4, "loss.clip_low": 3e-4, "loss.clip_high": 4e-4},
        "CISPO": {"loss.kind": "cispo", "optimizer.minibatches": 4, "loss.clip_high": 4.0},
        "batch-scaled step": {"optimizer.batch_exponent": 0.5},
        "overlong masked": {"overlong.kind": "masked"},
        "overlong penalty": {"overlong.kind": "penalty"},
    }
)
"""The settings of each method that differ from plain GRPO with groups of 4."""

UNLESS_SET: Mapping[str, Mapping[str, Setting]] = MappingProxyType(
    {"single rollout": {"advantage.estimator": "batch_standardize"}}
)
"""Settings that a feature needs, applied unless another feature sets them."""

ALL_TOGETHER = ("query recycling", "sized groups 1/p", "ERPO heating", "ERPO RA", "token filter")
"""Features of every kind together: prompt selection, group size, temperature, advantage and token filter."""


def clashes(*names: str) -> list[str]:
    """Keys that two of these features set to different values, in order of appearance."""
    tables = [_feature(name) for name in names]
    keys = dict.fromkeys(key for table in tables for key in table)
    return [key for key in keys if len({table[key] for table in tables if key in table}) > 1]


def overrides(*names: str) -> dict[str, dict[str, Setting]]:
    """Merged settings of the features, as the tables of a TOML file; the last value of a clashing key wins."""
    flat = {key: value for name in names for key, value in UNLESS_SET.get(name, {}).items()}
    flat |= {key: value for name in names for key, value in _feature(name).items()}
    tables: dict[str, dict[str, Setting]] = {}
    for path, value in flat.items():
        table, key = path.split(".")
        tables.setdefault(table, {})[key] = value
    return tables


def combine(*names: str) -> list[str]:
    """Reasons why these features do not work together, one sentence each; empty when they do.

    Raises:
        UserError: A name is not in ``FEATURES``.
    """
    if clashes(*names):
        return [_claim(one, other) for one, other in combinations(names, 2) if clashes(one, other)]
    return refusals(Config.model_validate(merge(grpo().model_dump(), overrides(*names))))


def _feature(name: str) -> Mapping[str, Setting]:
    if name not in FEATURES:
        close = difflib.get_close_matches(name, FEATURES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(FEATURES)}"
        raise UserError(f"there is no feature {name!r}; {hint}")
    return FEATURES[name]


def _claim(one: str, other: str) -> str:
    return f"{one} and {other} both set {', '.join(clashes(one, other))}; leave one of them out"
