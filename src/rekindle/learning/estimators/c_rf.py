"""C-RF, contrastive REINFORCE (arXiv 2606.17250): successes against failures of the batch, one rollout per prompt.

With P the successes and N the failures among the M rollouts of the batch

    A+ = M / (2 |P|),   A- = -M / (2 |N|)

so that both sides have the same total weight, however rare one of them is. With the ``sequence_mean`` aggregation and
``ppo_clip`` (clip_low 0.2, clip_high 10) the batch loss is exactly the paper's

    L = -1/2 * [mean over P of l+ - mean over N of l-]

where l+ is a rollout's mean of min(rho, 1 + clip_high) and l- its mean of max(rho, 1 - clip_low); tokens dropped by a
filter count as 0. A batch with only one side is trained with coefficient 1, A = +1 for all or -1 for all, so every
batch has a gradient.
"""

from collections.abc import Sequence

__all__ = ["c_rf"]


def c_rf(rewards: Sequence[float], success_at: float = 0.5) -> list[float]:
    """Advantages [M] of a batch's rewards [M].

    Args:
        rewards: [M] rewards of the batch.
        success_at: A reward of at least this much is a success (the paper's threshold tau).
    """
    successes = sum(reward >= success_at for reward in rewards)
    failures = len(rewards) - successes
    sides = (successes > 0) + (failures > 0)
    return [
        len(rewards) / (sides * successes) if reward >= success_at else -len(rewards) / (sides * failures)
        for reward in rewards
    ]
