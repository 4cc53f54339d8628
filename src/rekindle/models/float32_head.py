"""A head that computes in float32, whatever the type of the weights.

In bfloat16 the logits, sums of hundreds of products, are rounded to 8 bits: by up to 0.06 for a logit of 20. Engine and
trainer multiply in batches of other shapes and round differently, so their log-probabilities differ. With hidden states
and head converted to float32 before the product, what is left is the difference of the hidden states. The weights keep
their type; the conversion costs a float32 copy of the head while it is in use.
"""

from types import MethodType
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from rekindle.models.directory import ModelError

__all__ = ["compute_head_in_float32", "wide_head"]


def compute_head_in_float32(model: Any) -> None:
    """Let the output layer of a transformers model return float32 logits.

    Raises:
        ModelError: The model has no output layer, or one that is not linear.
    """
    head = model.get_output_embeddings()
    if getattr(head, "weight", None) is None or head.weight.ndim != 2:
        raise ModelError(
            f"model.float32_head = true needs a linear output layer, which {type(model).__name__} has not; "
            "set model.float32_head = false"
        )
    head.forward = MethodType(_forward, head)


def _forward(self: Any, hidden: Tensor) -> Tensor:
    bias = getattr(self, "bias", None)
    return F.linear(hidden.float(), self.weight.float(), None if bias is None else bias.float())


def wide_head(hidden: Tensor, weight: Tensor, *, float32: bool) -> tuple[Tensor, Tensor]:
    """Hidden states [N, d] and head [V, d] in the type that the logits are computed in."""
    return (hidden.float(), weight.float()) if float32 else (hidden, weight)
