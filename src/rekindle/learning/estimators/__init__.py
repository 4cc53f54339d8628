"""Advantage estimators: pure functions from rewards to advantages, one number per rollout.

One file per method. A function of plain rewards compares the rollouts of one group or of the whole batch. An
``Estimator`` wraps it with that scope; the training loop calls it with the groups of one batch. No estimator reads
tokens.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from rekindle.learning.estimators.batch_standardize import batch_standardize, batch_standardize_with
from rekindle.learning.estimators.c_rf import balanced, c_rf, c_rf_with
from rekindle.learning.estimators.compared import (
    Compared,
    Estimator,
    over_batch,
    over_units,
    per_group,
    with_parameters,
)
from rekindle.learning.estimators.dr_grpo import dr_grpo
from rekindle.learning.estimators.gpg import gpg
from rekindle.learning.estimators.grpo import grpo, grpo_with
from rekindle.learning.estimators.maxrl import maxrl
from rekindle.learning.estimators.reactivate import reactivate
from rekindle.learning.estimators.reinforce import batch_centred, reinforce
from rekindle.learning.estimators.reinforce_pp_baseline import reinforce_pp_baseline
from rekindle.learning.estimators.rloo import rloo
from rekindle.learning.estimators.shrunk_baseline import shrunk_baseline
from rekindle.learning.estimators.spo import spo

__all__ = [
    "ESTIMATORS",
    "Compared",
    "Estimator",
    "balanced",
    "batch_centred",
    "batch_standardize",
    "c_rf",
    "dr_grpo",
    "gpg",
    "grpo",
    "maxrl",
    "over_batch",
    "per_group",
    "reactivate",
    "reinforce",
    "reinforce_pp_baseline",
    "rloo",
    "shrunk_baseline",
    "spo",
]

ESTIMATORS: Mapping[str, Estimator] = MappingProxyType(
    {
        "grpo": with_parameters(grpo_with, "deviation", "epsilon"),
        "dr_grpo": per_group(dr_grpo, "reward less the group's mean (Dr. GRPO)"),
        "rloo": per_group(rloo, "reward less the mean of the group's other rollouts (RLOO)"),
        "maxrl": replace(
            per_group(maxrl, "reward less the group's mean, divided by that mean; rewards of at least 0 (MaxRL)"),
            needs_positive_rewards=True,
        ),
        "gpg": Estimator(
            gpg,
            "batch",
            "as dr_grpo, times groups of the batch / groups with signal (GPG)",
            needs_group=True,
            rescales_for_silence=True,
        ),
        "reinforce_pp_baseline": with_parameters(reinforce_pp_baseline, "deviation", "epsilon"),
        "batch_standardize": with_parameters(batch_standardize_with, "deviation", "epsilon"),
        "c_rf": with_parameters(c_rf_with, "split", "count_over"),
        "spo": with_parameters(spo, "deviation", "epsilon"),
        "shrunk_baseline": with_parameters(shrunk_baseline, "baseline_strength"),
        "reinforce": over_batch(reinforce, "the reward itself (REINFORCE)"),
        "batch_centred": over_units(batch_centred, "reward less the batch's mean"),
    }
)
"""The estimators by the names that a configuration chooses them by."""
