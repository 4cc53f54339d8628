"""Advantage estimators: pure functions from rewards to advantages, one number per rollout.

One file per method. A function of plain rewards compares the rollouts of one group or of the whole batch. An
``Estimator`` wraps it with that scope; the training loop calls it with the groups of one batch. No estimator reads
tokens.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rekindle.learning.estimators.batch_standardize import batch_standardize
from rekindle.learning.estimators.c_rf import c_rf
from rekindle.learning.estimators.compared import Compared, Estimator, over_batch, per_group
from rekindle.learning.estimators.dr_grpo import dr_grpo
from rekindle.learning.estimators.gpg import gpg
from rekindle.learning.estimators.grpo import grpo
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
        "grpo": per_group(grpo, "reward less the group's mean, divided by the group's standard deviation (GRPO)"),
        "dr_grpo": per_group(dr_grpo, "reward less the group's mean (Dr. GRPO)"),
        "rloo": per_group(rloo, "reward less the mean of the group's other rollouts (RLOO)"),
        "maxrl": per_group(maxrl, "reward less the group's mean, divided by that mean; rewards of at least 0 (MaxRL)"),
        "gpg": Estimator(
            gpg,
            "batch",
            "as dr_grpo, times groups of the batch / groups with signal (GPG)",
            needs_group=True,
            rescales_for_silence=True,
        ),
        "reinforce_pp_baseline": Estimator(
            reinforce_pp_baseline,
            "batch",
            "reward less the group's mean, divided by the batch's standard deviation (REINFORCE++-baseline)",
            needs_group=True,
        ),
        "batch_standardize": over_batch(
            batch_standardize, "reward less the batch's mean, divided by the batch's standard deviation (REINFORCE++)"
        ),
        "c_rf": over_batch(
            c_rf,
            "successes against failures of the batch, both sides of equal weight (C-RF)",
            needs_binary_rewards=True,
        ),
        "spo": Estimator(
            spo,
            "batch",
            "reward less the prompt's own record of successes, standardised over the batch (SPO)",
            needs_binary_rewards=True,
            reads_history=True,
        ),
        "shrunk_baseline": shrunk_baseline(4.0),
        "reinforce": over_batch(reinforce, "the reward itself (REINFORCE)"),
        "batch_centred": over_batch(batch_centred, "reward less the batch's mean"),
    }
)
"""The estimators by the names that a configuration chooses them by."""
