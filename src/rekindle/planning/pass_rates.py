"""Pass rates of a pool: how many prompts had so many successes in so many samples."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.profiling import ProfileError

__all__ = ["EXACT", "MOST_SAMPLES", "Counts", "Floats", "PassRates", "grouped_rates"]

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST_SAMPLES = 2_000
"""Samples of a prompt that are told apart; counts of more are scaled down, because they say no more."""
EXACT = 1_000
"""Samples that stand for a rate that is given without a number of samples."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PassRates:
    """Counts of prompts, grouped into C cells of equal successes and samples, in rising order.

    Attributes:
        successes: [C].
        samples: [C] at least 1.
        prompts: [C] prompts with these counts, at least 1.
        sampled_tokens: [C] mean sampled tokens of a rollout; nan where they are not known.
        prompt_tokens: Mean tokens of a prompt; nan where they are not known.
        parameters: Parameters of the model; 0 where they are not known.
        pool: Prompts of the pool that was sampled; more than those measured where a run did not reach all.
        source: What was read, in words.
        rates_only: Whether the samples are not known and the rates were taken as exact.
        gain: Rise of the ability in an update full of signal, measured in a run; None where there is no run.
    """

    successes: Counts
    samples: Counts
    prompts: Counts
    sampled_tokens: Floats
    prompt_tokens: float = float("nan")
    parameters: int = 0
    pool: int = 0
    source: str = ""
    rates_only: bool = False
    gain: float | None = None

    @property
    def measured(self) -> int:
        """Prompts with counts."""
        return int(self.prompts.sum())

    @property
    def never(self) -> int:
        """Prompts without a success."""
        return int(self.prompts[self.successes == 0].sum())

    @property
    def always(self) -> int:
        """Prompts without a failure."""
        return int(self.prompts[self.successes == self.samples].sum())

    @property
    def most_samples(self) -> int:
        """Samples of the prompt that has most."""
        return int(self.samples.max())

    @property
    def mean(self) -> float:
        """Mean success rate of the prompts."""
        return float(np.average(self.successes / self.samples, weights=self.prompts))

    @property
    def mean_tokens(self) -> float:
        """Mean sampled tokens of a rollout, over prompts; nan where they are not known."""
        return float(np.average(self.sampled_tokens, weights=self.prompts))


def grouped_rates(
    successes: npt.ArrayLike,
    samples: npt.ArrayLike,
    prompts: npt.ArrayLike = 1,
    *,
    tokens: npt.ArrayLike | None = None,
    where: str,
) -> tuple[Counts, Counts, Counts, Floats]:
    """Cells of equal counts: successes, samples, prompts, and mean sampled tokens of a rollout.

    Args:
        successes: [N].
        samples: [N] samples of each prompt; rows without samples are left out.
        prompts: [N] prompts that each row stands for, or one number for all.
        tokens: [N] sampled tokens of all samples of a row's prompt; None: not known.
        where: Name of the source, for messages.

    Raises:
        ProfileError: There is no row with samples, or counts are impossible.
    """
    right, asked = np.asarray(successes, np.int64), np.asarray(samples, np.int64)
    number = np.broadcast_to(np.asarray(prompts, np.int64), right.shape)
    _check(right, asked, number, where)
    kept = (asked > 0) & (number > 0)
    if not kept.any():
        raise ProfileError(f"{where} has no prompt with samples; make a profile with `rekindle profile`")
    right, asked, number = right[kept], asked[kept], number[kept]
    scaled = np.minimum(asked, MOST_SAMPLES)
    right = np.where(asked > MOST_SAMPLES, _scaled(right, asked), right)
    keys, cell = np.unique(scaled * (MOST_SAMPLES + 1) + right, return_inverse=True)
    lengths = np.full(len(keys), np.nan)
    together = np.bincount(cell, number).astype(np.int64)
    if tokens is not None:
        means = np.asarray(tokens, float)[kept] / asked
        lengths = np.bincount(cell, number * means) / together
    return keys % (MOST_SAMPLES + 1), keys // (MOST_SAMPLES + 1), together, lengths


def _scaled(right: Counts, asked: Counts) -> Counts:
    """Successes of ``MOST_SAMPLES`` samples; neither never nor always becomes the other's neighbour."""
    share = np.rint(right / np.maximum(asked, 1) * MOST_SAMPLES).astype(np.int64)
    inner = np.clip(share, 1, MOST_SAMPLES - 1)
    return np.where(right == 0, 0, np.where(right == asked, MOST_SAMPLES, inner))


def _check(right: Counts, asked: Counts, number: Counts, where: str) -> None:
    wrong = np.flatnonzero((right < 0) | (right > asked) | (number < 0))
    if wrong.size:
        row = wrong[0]
        raise ProfileError(
            f"{where}, row {row + 1}: {right[row]:,} successes of {asked[row]:,} samples, {number[row]:,} prompts, is "
            "impossible; give 0 <= successes <= samples and at least 0 prompts"
        )
