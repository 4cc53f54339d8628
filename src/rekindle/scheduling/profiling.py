"""sGPO's offline profile (arXiv 2606.08854): success rates of the start policy, selection, group sizes and phases.

A profile sorts the prompts into trivial ones (removed), unsolved ones (a small fixed share of which is in every phase)
and learnable ones, whose group size is about 1/p for a success rate p. Training then goes through phases of equal
group size, easy prompts first.

Why 1/p: only rare successes have a large standardised advantage. ``signal_per_rollout`` is the expected positive
advantage per rollout. It is largest at a group size of 8, 5, 4 and 3 for p = 1/8, 1/5, 1/4 and 1/3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rekindle.scheduling.group_sizes import Rounding
from rekindle.scheduling.pools.phased import Phase
from rekindle.scheduling.weighted_rows import Rows
from rekindle.types import UserError

__all__ = [
    "Profile",
    "ProfileError",
    "ProfileKey",
    "Selection",
    "group_size",
    "phases",
    "select",
    "signal_per_rollout",
]

_SELECTION = 2
"""Stream of the unsolved subsample; separates it from the scheduler's random numbers, which have the same seed."""


class ProfileError(UserError):
    """A profile cannot be made, read or used; the message has the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """The conditions of a profile on which its success rates depend.

    Attributes:
        model: Fingerprint of the policy's weights, or an endpoint's model name.
        verifier: Verifier and its settings.
        temperature: Sampling temperature.
        max_new_tokens: Limit of a completion.
    """

    model: str
    verifier: str
    temperature: float
    max_new_tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Success counts and costs of N prompts, as columns.

    Attributes:
        key: Conditions of the profile.
        task_ids: [N] distinct.
        successes: [N] rollouts that succeeded.
        samples: [N] rollouts judged; 0, in a profile aligned to a pool, for a prompt that could not be played.
        generated_tokens: [N] sampled tokens, all rollouts together.
        prompt_tokens: [N] tokens that were not sampled, the shared prompt counted once.
        flops: Cost of the pass, 2 per parameter and token; 0.0 for an endpoint of unknown size.
        failed: Ids of prompts that could not be played and have no row.

    Raises:
        ProfileError: The columns contradict one another.
    """

    key: ProfileKey
    task_ids: Sequence[str]
    successes: npt.NDArray[np.int64]
    samples: npt.NDArray[np.int64]
    generated_tokens: npt.NDArray[np.int64]
    prompt_tokens: npt.NDArray[np.int64]
    flops: float = 0.0
    failed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns = (self.successes, self.samples, self.generated_tokens, self.prompt_tokens)
        assert all(column.shape == (len(self.task_ids),) for column in columns), "one value per prompt"
        negative = np.minimum(self.generated_tokens, self.prompt_tokens) < 0
        wrong = np.flatnonzero((self.successes < 0) | (self.successes > self.samples) | negative)
        if wrong.size:
            row = wrong[0]
            raise ProfileError(
                f"prompt {self.task_ids[row]!r} has {self.successes[row]} successes of {self.samples[row]} samples, "
                f"{self.generated_tokens[row]} generated and {self.prompt_tokens[row]} prompt tokens, which is "
                "impossible; make the profile again"
            )
        if len(set(self.task_ids)) < len(self.task_ids):
            raise ProfileError("two rows have the same prompt id; make the profile again")

    def __len__(self) -> int:
        return len(self.task_ids)

    @property
    def success_rates(self) -> npt.NDArray[np.float64]:
        """[N] successes / samples, 0.0 where nothing was sampled."""
        return self.successes / np.maximum(self.samples, 1)

    @property
    def mean_lengths(self) -> npt.NDArray[np.float64]:
        """[N] generated tokens per rollout, 0.0 where nothing was sampled."""
        return self.generated_tokens / np.maximum(self.samples, 1)

    @property
    def total_samples(self) -> int:
        """Rollouts of the pass."""
        return int(self.samples.sum())

    @property
    def total_tokens(self) -> int:
        """Sampled tokens and prompt tokens together."""
        return int(self.generated_tokens.sum() + self.prompt_tokens.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Rows of a profile by success rate, each array ascending.

    Attributes:
        trivial: Solved too often to have signal; removed.
        unsolved: Never solved.
        learnable: The others.
        kept_unsolved: The rows of ``unsolved`` that are in every phase.
    """

    trivial: Rows
    unsolved: Rows
    learnable: Rows
    kept_unsolved: Rows


def group_size(successes: int, samples: int, minimum: int = 2, maximum: int = 8, rounding: Rounding = "floor") -> int:
    """Group size of a prompt: 2^round(log2(samples / successes)), kept in [minimum, maximum].

    Computed with whole numbers, so that powers of two are exact: 0 to 8 successes of 8 give 8 8 4 2 2 2 2 2 2.

    Args:
        successes: Successes in the profile; 0 gives ``maximum``.
        samples: Samples in the profile, at least 1.
        minimum: Smallest group size.
        maximum: Largest group size.
        rounding: Rounding of the logarithm; ``nearest`` changes at 2^1.5, 2^2.5, ...

    Raises:
        UserError: The numbers are impossible.
    """
    if samples < 1 or not 0 <= successes <= samples:
        raise UserError(f"{successes} successes of {samples} samples is impossible; give 0 <= successes <= samples")
    if not 1 <= minimum <= maximum:
        raise UserError(f"group sizes from {minimum} to {maximum} are impossible; give 1 <= minimum <= maximum")
    if successes == 0:
        return maximum
    exponent = (samples // successes).bit_length() - 1
    if rounding == "ceil":
        exponent = (-(-samples // successes) - 1).bit_length()
    elif rounding == "nearest":  # up where samples / successes > 2^(exponent + 1/2), both sides squared
        exponent += samples**2 > successes**2 << (2 * exponent + 1)
    return min(max(1 << exponent, minimum), maximum)


def signal_per_rollout(success_rate: float, group_size: int) -> float:
    """Expected positive standardised advantage per rollout of a group: E[sqrt((G - k) / k) 1{0 < k < G}] / G.

    k ~ Bin(G, p) is the number of successes, and sqrt((G - k) / k) is the advantage of each success.

    Args:
        success_rate: p in [0, 1].
        group_size: G, at least 1.
    """
    p, size = success_rate, group_size
    chances = (math.comb(size, k) * p**k * (1 - p) ** (size - k) for k in range(1, size))
    return sum(chance * math.sqrt((size - k) / k) for k, chance in enumerate(chances, start=1)) / size


def select(profile: Profile, *, trivial_above: float = 0.75, unsolved_share: float = 0.1, seed: int) -> Selection:
    """Sort the prompts of a profile into trivial, unsolved and learnable ones; prompts without samples are left out.

    Args:
        profile: Profile of the pool.
        trivial_above: Prompts with a higher success rate are trivial.
        unsolved_share: Share of the unsolved prompts that is kept, rounded up.
        seed: Seed of the choice of unsolved prompts; a larger share with the same seed keeps those of a smaller one.
    """
    played, rates = profile.samples > 0, profile.success_rates
    unsolved = played & (profile.successes == 0)
    trivial = (rates > trivial_above) & ~unsolved
    candidates = np.flatnonzero(unsolved)
    # As a decimal: 0.1 x 30 is 3, not the 3.0000000000000004 whose ceiling is 4.
    count = math.ceil(Fraction(str(float(unsolved_share))) * candidates.size)
    order = np.random.default_rng((seed, 0, 0, _SELECTION)).permutation(candidates)
    return Selection(
        trivial=np.flatnonzero(trivial),
        unsolved=candidates,
        learnable=np.flatnonzero(played & ~trivial & ~unsolved),
        kept_unsolved=np.sort(order[:count]),
    )


def phases(
    profile: Profile, selection: Selection, minimum: int = 2, maximum: int = 8, rounding: Rounding = "floor"
) -> list[Phase]:
    """Phases from easy to hard: one per group size of the learnable prompts, with the kept unsolved prompts in each.

    Args:
        profile: Profile of the pool.
        selection: Selection from the same profile.
        minimum: Smallest group size.
        maximum: Largest group size.
        rounding: As in ``group_size``.

    Raises:
        ProfileError: No prompt is learnable; the message has the reason and the setting to change.
    """
    if not selection.learnable.size:
        raise ProfileError(_why_nothing_is_left(profile, selection))
    counts = np.stack((profile.successes, profile.samples))[:, selection.learnable]
    distinct, kind = np.unique(counts, axis=1, return_inverse=True)
    sizes = np.array([group_size(int(k), int(n), minimum, maximum, rounding) for k, n in distinct.T])[kind.ravel()]
    return [
        Phase(int(size), np.union1d(selection.learnable[sizes == size], selection.kept_unsolved))
        for size in np.unique(sizes)
    ]


def _why_nothing_is_left(profile: Profile, selection: Selection) -> str:
    trivial, unsolved = selection.trivial.size, selection.unsolved.size
    start, most = "the profile leaves no prompt to train on:", int(profile.samples.max(initial=0))
    if trivial and unsolved:
        return (
            f"{start} {trivial} prompts are trivial, {unsolved} were never solved, and there are no others; raise "
            f"trivial_above, or profile with more than {most} samples to find those that are rarely solved"
        )
    if trivial:
        return f"{start} all {trivial} prompts are trivial; raise trivial_above, or use a harder data set"
    if unsolved:
        return (
            f"{start} none of the {unsolved} prompts was solved in {most} samples, and a larger unsolved_share "
            "does not help; profile with more samples, or use an easier data set or a stronger model"
        )
    return f"{start} none of its prompts could be played; make the profile again"
