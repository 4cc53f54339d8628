"""C-RF, contrastive REINFORCE (arXiv 2606.17250): successes against failures, one rollout per prompt.

With P the positive and N the negative ones among the M rollouts of an optimizer step (the paper's mini-batch)

    A+ = M / (2 |P|),   A- = -M / (2 |N|)

so that both sides have the same total weight, however rare one of them is. With the ``sequence_mean`` aggregation and
``ppo_clip`` (clip_low 0.2, clip_high 10) the loss of a step is exactly the paper's

    L = -1/2 * [mean over P of l+ - mean over N of l-]

where l+ is a rollout's mean of min(rho, 1 + clip_high) and l- its mean of max(rho, 1 - clip_low); tokens dropped by a
filter count as 0. A step with only one side is trained with coefficient 1, A = +1 for all or -1 for all (ours), so
every step has a gradient. Counted over the whole batch (an option), a minibatch's sides need not balance. With another
aggregation rollouts count as often as they do in the loss.

The positive ones are the successes; or, for real-valued rewards, those of at least the batch's mean, and then a batch
of equal rewards compares nothing and gives zeros (ours).
"""

import math
from collections.abc import Sequence
from typing import Literal

from rekindle.learning.estimators.compared import Estimator, over_units
from rekindle.learning.estimators.statistics import all_equal, mean

__all__ = ["balanced", "c_rf", "c_rf_with", "signs_at", "signs_at_mean"]


def c_rf(rewards: Sequence[float], units: Sequence[float] | None = None, success_at: float = 0.5) -> list[float]:
    """Advantages [M] of a batch's rewards [M], counted over the batch.

    Args:
        rewards: [M] rewards of the batch.
        units: [M] how often each rollout counts (see ``Compared``); None: once.
        success_at: A reward of at least this much is a success (the paper's threshold tau).
    """
    return balanced(signs_at(rewards, success_at), units)


def signs_at(rewards: Sequence[float], success_at: float = 0.5) -> list[float]:
    """[M] 1.0 for a reward of at least ``success_at``, else -1.0."""
    return [1.0 if reward >= success_at else -1.0 for reward in rewards]


def signs_at_mean(rewards: Sequence[float]) -> list[float]:
    """[M] 1.0 for a reward of at least the mean, else -1.0; zeros where all rewards are equal."""
    return [0.0] * len(rewards) if all_equal(rewards) else signs_at(rewards, mean(rewards))


def balanced(signs: Sequence[float], units: Sequence[float] | None = None) -> list[float]:
    """Scale signs [M] so that both sides have the same total weight, and all together the weight of M rollouts.

    Args:
        signs: [M] 1.0, -1.0 or 0.0, which stays 0.0.
        units: [M] how often each counts; None: once.
    """
    counts = [1.0] * len(signs) if units is None else units
    sums = {side: math.fsum(n for sign, n in zip(signs, counts, strict=True) if sign == side) for side in (1.0, -1.0)}
    total, sides = math.fsum(sums.values()), sum(weight > 0 for weight in sums.values())
    return [sign * total / (sides * sums[sign]) if sums.get(sign) else 0.0 for sign in signs]


def c_rf_with(
    split: Literal["success", "batch_mean"] = "success", count_over: Literal["minibatch", "batch"] = "minibatch"
) -> Estimator:
    """The estimator of a configuration.

    Args:
        split: Which rewards are positive: successes, or those of at least the batch's mean.
        count_over: Where the sides are balanced: in each optimizer step, or once in the batch.
    """
    signs = signs_at if split == "success" else signs_at_mean
    each_step = count_over == "minibatch"

    def advantages(rewards: Sequence[float], units: Sequence[float]) -> list[float]:
        return signs(rewards) if each_step else balanced(signs(rewards), units)

    return over_units(
        advantages,
        "successes against failures, both sides of equal weight (C-RF)",
        needs_binary_rewards=split == "success",
        balances_each_step=each_step,
    )
