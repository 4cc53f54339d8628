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
        "grpo": per_group(grpo),
        "dr_grpo": per_group(dr_grpo),
        "rloo": per_group(rloo),
        "batch_standardize": over_batch(batch_standardize),
        "maxrl": per_group(maxrl),
        "c_rf": over_batch(c_rf),
        "gpg": Estimator(gpg, "batch"),
        "reinforce_pp_baseline": Estimator(reinforce_pp_baseline, "batch"),
        "spo": Estimator(spo, "batch", reads_history=True),
        "shrunk_baseline": shrunk_baseline(4.0),
        "reinforce": over_batch(reinforce),
        "batch_centred": over_batch(batch_centred),
    }
)
"""The estimators by their names in ``train.estimator``."""
