"""Log-probabilities of chosen tokens without storing a [N, vocabulary] tensor.

Log-softmax over the vocabulary is the largest tensor of a training step: 8,192 tokens with a 150k vocabulary are 4.9 GB
in float32, several times that with autograd. Here logits exist for one chunk of rows at a time and are recomputed in
the backward pass, which costs one more matrix product.

With logits z = W h, temperature T and p = softmax(z / T):

    log p(y)    = z_y / T - logsumexp(z / T)
    entropy     = -sum_v p_v log p_v
    d log p(y) / d z = (onehot(y) - p) / T
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rekindle.models.kernels import Kernels

__all__ = ["default_chunk", "logprobs_of_logits", "selected_logprobs"]

TORCH = Kernels()

_CHUNK_ELEMENTS = 2**22
_SMALLEST_CHUNK = 256


def default_chunk(vocabulary: int) -> int:
    """Return rows per chunk: about four million logits, with enough rows for an efficient matrix product."""
    return max(_SMALLEST_CHUNK, _CHUNK_ELEMENTS // vocabulary)


def logprobs_of_logits(logits: Tensor, targets: Tensor, temperatures: Tensor) -> tuple[Tensor, Tensor]:
    """Select log-probabilities from given logits, with plain autograd.

    Args:
        logits: [N, V] of any float type; the softmax is at least float32.
        targets: [N] int64.
        temperatures: [N] positive.

    Returns:
        log-probabilities [N] with gradient and entropies [N] without, both in nats.
    """
    logprobs = torch.log_softmax(_at_least_float32(logits) / temperatures[:, None], -1)
    with torch.no_grad():
        entropies = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(1, targets[:, None]).squeeze(1), entropies


def selected_logprobs(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    temperatures: Tensor,
    chunk: int | None = None,
    kernels: Kernels = TORCH,
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of chosen next tokens and the entropies of the distributions they come from.

    Args:
        hidden: [N, d] final hidden states.
        weight: [V, d] head, without bias.
        targets: [N] int64.
        temperatures: [N] positive; the logits are divided by them.
        chunk: Rows whose logits exist at the same time; default: `default_chunk`.
        kernels: Matrix multiplication.

    Returns:
        log-probabilities [N], differentiable in ``hidden`` and ``weight``, and entropies [N], detached; both in nats,
        float32 (float64 for float64 inputs).
    """
    rows = default_chunk(weight.shape[0]) if chunk is None else chunk
    logprobs, entropies = _SelectedLogprobs.apply(  # type: ignore[no-untyped-call]
        hidden, weight, targets, temperatures, rows, kernels
    )
    return logprobs, entropies


class _SelectedLogprobs(torch.autograd.Function):
    """The chunked forward and backward pass; saves its inputs only."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperatures: Tensor, chunk: int, kernels: Kernels
    ) -> tuple[Tensor, Tensor]:
        chunks = zip(*(torch.split(part, chunk) for part in (hidden, targets, temperatures)), strict=True)
        parts = [_select_(kernels.forward(h, weight), y, t) for h, y, t in chunks]
        logprobs, entropies = (torch.cat(column) for column in zip(*parts, strict=True))
        ctx.save_for_backward(hidden, weight, targets, temperatures)
        ctx.chunk, ctx.kernels = chunk, kernels
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets, temperatures = ctx.saved_tensors
        kernels: Kernels = ctx.kernels
        need_hidden, need_weight = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=grad.dtype) if need_weight else None
        for start in range(0, hidden.shape[0], ctx.chunk):
            rows = slice(start, start + ctx.chunk)
            scale = grad[rows] / temperatures[rows]
            grad_logits = _grad_logits(kernels.forward(hidden[rows], weight), targets[rows], temperatures[rows], scale)
            if grad_hidden is not None:
                grad_hidden[rows] = kernels.to_input(grad_logits, weight)
            if grad_weight is not None:
                grad_weight += kernels.to_weight(grad_logits, hidden[rows])
        return grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype), None, None, None, None


def _select_(logits: Tensor, targets: Tensor, temperatures: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `logprobs_of_logits` with one more [n, V] tensor instead of four; overwrites the logits."""
    scaled = _at_least_float32(logits).div_(temperatures[:, None])
    logprobs = torch.log_softmax(scaled, -1)
    entropies = torch.exp(logprobs, out=scaled).mul_(logprobs).sum(-1).neg_()
    return logprobs.gather(1, targets[:, None]).squeeze(1), entropies


def _grad_logits(logits: Tensor, targets: Tensor, temperatures: Tensor, scale: Tensor) -> Tensor:
    """Return scale * (onehot(y) - softmax(z / T)) [n, V] in the logits' dtype; overwrites the logits."""
    scaled = _at_least_float32(logits).div_(temperatures[:, None])
    grad = torch.softmax(scaled, -1).mul_(-scale[:, None])
    grad.scatter_add_(1, targets[:, None], scale[:, None])
    return grad.to(logits.dtype)


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
