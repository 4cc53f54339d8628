"""Log-probabilities of any causal language model through its transformers forward pass.

Rows are padded on the right, so the default positions are correct and causal attention never sees padding. Padded
positions are computed and discarded; `rekindle.models.packed` avoids that for the architectures it supports.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rekindle.models.directory import ModelError
from rekindle.models.float32_head import wide_head
from rekindle.models.logprobs import logprobs_of_logits, selected_logprobs
from rekindle.models.recomputation import checkpoint_blocks, checkpointing
from rekindle.models.samples import IntArray, SampleRow, TokenLogprobs, targets_of

__all__ = ["GenericForward"]


class GenericForward:
    """Runs rows through a transformers model.

    Where the logits are the last hidden states times the output embedding, logits are computed only for positions that
    predict a trainable token. Models with more than that (a bias, soft-capping, scaling) compute their own logits. A
    test at construction decides between the two.

    Args:
        model: A transformers model; with ``float32_head`` one whose head computes in float32.
        float32_head: Compute logits in float32.
        recompute: Keep only the inputs of each block for the backward pass (gradient checkpointing).
    """

    def __init__(self, model: Any, *, float32_head: bool = False, recompute: bool = False) -> None:
        self._model, self._float32_head, self._recompute = model, float32_head, recompute
        if recompute:
            checkpoint_blocks(model)
        _refuse_two_way(model)
        self._plain_head = _has_plain_head(model)

    def __call__(self, rows: Sequence[SampleRow]) -> TokenLogprobs:
        """Return log-probabilities and entropies of the rows' targets, in row order; at least one row."""
        with checkpointing(self._model) if self._recompute and torch.is_grad_enabled() else nullcontext():
            return self._run(rows)

    def _run(self, rows: Sequence[SampleRow]) -> TokenLogprobs:
        device = self._model.device
        inputs, attention_mask, predictors = (torch.from_numpy(array).to(device) for array in _right_padded(rows))
        targets, temperatures = targets_of(rows, device)
        if self._plain_head:
            hidden = _last_hidden(self._model, inputs, attention_mask).flatten(0, 1)[predictors]
            weight = self._model.get_output_embeddings().weight
            hidden, head = wide_head(hidden, weight, float32=self._float32_head)
            logprobs, entropies = selected_logprobs(hidden, head, targets, temperatures)
        else:
            logits = self._model(input_ids=inputs, attention_mask=attention_mask, use_cache=False).logits
            logprobs, entropies = logprobs_of_logits(logits.flatten(0, 1)[predictors], targets, temperatures)
        real = sum(row.inputs.size for row in rows)
        return TokenLogprobs(logprobs, entropies, inputs.numel(), inputs.numel() - real)


@torch.no_grad()
def _refuse_two_way(model: Any) -> None:
    """Refuse a model whose prediction after a token depends on later tokens, such as an encoder.

    Raises:
        ModelError: It does.
    """
    last = len(model.get_input_embeddings().weight) - 1
    pair = torch.tensor([[0, 0, 0], [0, last, last]], device=model.device)
    first, other = model(input_ids=pair, attention_mask=torch.ones_like(pair)).logits[:, 0].float()
    if not torch.allclose(first, other, rtol=0.0, atol=1e-5 * float(first.abs().max())):
        raise ModelError(
            f"{type(model).__name__} reads later tokens to predict one, so it cannot complete text; give a causal "
            "language model"
        )


def _right_padded(rows: Sequence[SampleRow]) -> tuple[IntArray, IntArray, IntArray]:
    """Return token ids [B, T], attention mask [B, T] and the flat positions [N] that predict trainable tokens."""
    width = max(row.inputs.size for row in rows)
    inputs = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros_like(inputs)
    for index, row in enumerate(rows):
        inputs[index, : row.inputs.size] = row.inputs
        mask[index, : row.inputs.size] = 1
    predictors = np.concatenate([index * width + row.predictors for index, row in enumerate(rows)])
    return inputs, mask, predictors


def _last_hidden(model: Any, inputs: Tensor, attention_mask: Tensor) -> Tensor:
    """Return hidden states [B, T, d] after the final norm."""
    hidden: Tensor = model.base_model(input_ids=inputs, attention_mask=attention_mask, use_cache=False)[0]
    return hidden


@torch.no_grad()
def _has_plain_head(model: Any) -> bool:
    """Whether the logits are exactly the last hidden states times the output embedding."""
    head = model.get_output_embeddings()
    if head is None or model.base_model is model or getattr(head, "bias", None) is not None:
        return False
    inputs = torch.arange(4, device=model.device)[None] % head.weight.shape[0]
    mask = torch.ones_like(inputs)
    hidden = _last_hidden(model, inputs, mask)
    if hidden.shape[-1] != head.weight.shape[-1]:
        return False
    logits = model(input_ids=inputs, attention_mask=mask, use_cache=False).logits
    tolerance = 1e-5 if hidden.dtype == torch.float32 else 2e-2
    ours = F.linear(hidden, head.weight).to(logits.dtype)
    return torch.allclose(ours, logits, rtol=tolerance, atol=tolerance)
