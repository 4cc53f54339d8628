"""Input and output of a training forward pass: samples as arrays, and log-probabilities of their tokens.

Letters: B rows, T padded length, N trainable tokens of the whole micro-batch. A token at position t is predicted from
position t - 1, so the forward pass of a row ends one token before its last trainable one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rekindle.types import TrainingSample

__all__ = ["SampleRow", "TokenLogprobs", "rows_of", "targets_of"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Log-probabilities of the trainable tokens of several samples, one after the other.

    Attributes:
        logprobs: [N] float32 at each sample's temperature, with gradient when grad mode is on; N = sum of loss_mask.
        entropies: [N] detached float32 entropies in nats at the same temperature.
        computed_tokens: Tokens that went through the model.
        padded_tokens: How many of these were padding.
    """

    logprobs: Tensor
    entropies: Tensor
    computed_tokens: int
    padded_tokens: int


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One training sample, cut to the tokens that the forward pass needs.

    Attributes:
        inputs: [L] token ids that go through the model; empty when no token is trainable.
        predictors: [n] positions in ``inputs`` whose next token is trainable, ascending.
        targets: [n] the trainable next tokens.
        prompt_length: Number of tokens before the first trainable one.
        prompt_key: The sample's prompt key; equal keys mean equal prompts.
        temperature: The sample's temperature.
    """

    inputs: IntArray
    predictors: IntArray
    targets: IntArray
    prompt_length: int
    prompt_key: int
    temperature: float


def rows_of(samples: Sequence[TrainingSample], max_length: int) -> list[SampleRow]:
    """Check the samples and cut each to the tokens that the forward pass needs.

    Args:
        samples: A micro-batch.
        max_length: Most tokens the model takes.

    Raises:
        ValueError: A sample is longer than the model takes, its mask differs in length, its first token is
            trainable (nothing predicts it), or its temperature is not positive.
    """
    return [_row(index, sample, max_length) for index, sample in enumerate(samples)]


def _row(index: int, sample: TrainingSample, max_length: int) -> SampleRow:
    tokens = np.asarray(sample.token_ids, dtype=np.int64)
    mask = np.asarray(sample.loss_mask, dtype=bool)
    if tokens.shape != mask.shape:
        raise ValueError(f"sample {index} has {tokens.size} tokens but a loss mask of {mask.size}; they must match")
    if tokens.size > max_length:
        raise ValueError(
            f"sample {index} has {tokens.size} tokens and the model takes at most {max_length}; "
            "sample shorter rollouts or use a model with a longer context"
        )
    if not sample.temperature > 0:
        raise ValueError(f"sample {index} has temperature {sample.temperature}; training needs one above 0")
    trainable = np.flatnonzero(mask)
    if trainable.size and trainable[0] == 0:
        raise ValueError(f"sample {index} marks its first token trainable, but nothing predicts it; give it a prompt")
    return SampleRow(
        inputs=tokens[: trainable[-1]] if trainable.size else tokens[:0],
        predictors=trainable - 1,
        targets=tokens[trainable],
        prompt_length=int(trainable[0]) if trainable.size else 0,
        prompt_key=sample.prompt_key,
        temperature=sample.temperature,
    )


def targets_of(rows: Sequence[SampleRow], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the rows' target tokens [N] int64 and the temperature of each [N] float32, one row after the other."""
    targets = np.concatenate([row.targets for row in rows])
    temperatures = np.repeat(
        np.array([row.temperature for row in rows], dtype=np.float32), [row.targets.size for row in rows]
    )
    return torch.from_numpy(targets).to(device), torch.from_numpy(temperatures).to(device)
