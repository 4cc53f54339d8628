"""Balance of the two sides of an optimizer step: C-RF counts the positive and negative rollouts of a mini-batch."""

from collections.abc import Sequence

from rekindle.learning.estimators import balanced
from rekindle.types import TrainingSample

__all__ = ["side_scales"]


def side_scales(samples: Sequence[TrainingSample]) -> dict[int, float]:
    """Factors of the advantages, by ``id`` of the sample, with which both sides have the same total weight.

    A sample counts by its weight in the loss: its weight per token times its tokens. Samples of no side are left out.

    Args:
        samples: All samples of the step, also those whose advantages are 0.
    """
    sided = [sample for sample in samples if sample.side]
    signs = [float(sample.side) for sample in sided]
    advantages = balanced(signs, [sample.weight * sum(sample.loss_mask) for sample in sided])
    return {id(sample): abs(advantage) for sample, advantage in zip(sided, advantages, strict=True)}
