"""Loss aggregation: from token losses to one batch loss.

Every aggregation is linear in the token losses, so it is a weight per rollout:

    batch loss = sum over rollouts i of  weight_i * (sum over trainable tokens t of  loss_it)

An aggregation takes the number of trainable tokens of each rollout and the index of its group (any integers, equal
within a group), and returns the weights in the same order. Every rollout listed counts in the denominators, also with
advantage zero. A rollout without trainable tokens has weight 0.0.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from rekindle.choices import entry_of

__all__ = [
    "AGGREGATIONS",
    "Aggregation",
    "AggregationChoice",
    "constant_length",
    "group_token_mean",
    "named_aggregation",
    "sequence_mean",
    "token_mean",
]

Weights = Callable[[Sequence[int], Sequence[int]], list[float]]
"""(lengths [n], groups [n]) -> [n]."""


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A mean of token losses, as a weight per rollout.

    Attributes:
        weights: (lengths [n], groups [n]) -> weights [n] of the rollouts' token losses.
        units: (lengths [n], groups [n]) -> [n] how often each rollout counts in the mean: in proportion to
            weight x length, with the number of tokens or of rollouts as their sum. Advantages whose mean over these
            units is 0 do not push the batch up or down as a whole.
    """

    weights: Weights
    units: Weights

    def __call__(self, lengths: Sequence[int], groups: Sequence[int]) -> list[float]:
        """The weights."""
        return self.weights(lengths, groups)


def _per_token(lengths: Sequence[int], groups: Sequence[int]) -> list[float]:
    """1 / (tokens of the batch)."""
    tokens = sum(lengths)
    return [1.0 / tokens if length else 0.0 for length in lengths]


def _per_group(lengths: Sequence[int], groups: Sequence[int]) -> list[float]:
    """1 / (number of groups * tokens of the group)."""
    tokens = _tokens_by_group(lengths, groups)
    return [
        1.0 / (len(tokens) * tokens[group]) if length else 0.0 for length, group in zip(lengths, groups, strict=True)
    ]


def _per_rollout(lengths: Sequence[int], groups: Sequence[int]) -> list[float]:
    """1 / (number of rollouts * tokens of the rollout)."""
    return [1.0 / (len(lengths) * length) if length else 0.0 for length in lengths]


def _units_of_tokens(lengths: Sequence[int], groups: Sequence[int]) -> list[float]:
    return [float(length) for length in lengths]


def _units_of_groups(lengths: Sequence[int], groups: Sequence[int]) -> list[float]:
    tokens = _tokens_by_group(lengths, groups)
    mean_size = len(lengths) / max(1, len(tokens))
    return [
        mean_size * (length / tokens[group]) if length else 0.0 for length, group in zip(lengths, groups, strict=True)
    ]


def _units_of_rollouts(lengths: Sequence[int], groups: Sequence[int]) -> list[float]:
    return [float(length > 0) for length in lengths]


def _tokens_by_group(lengths: Sequence[int], groups: Sequence[int]) -> Counter[int]:
    tokens: Counter[int] = Counter()
    for length, group in zip(lengths, groups, strict=True):
        tokens[group] += length
    return tokens


token_mean = Aggregation(_per_token, _units_of_tokens)
"""All tokens weigh the same, so long rollouts weigh most (DAPO, arXiv 2503.14476)."""
group_token_mean = Aggregation(_per_group, _units_of_groups)
"""All prompts weigh the same, for any group size and lengths; within a group all tokens weigh the same."""
sequence_mean = Aggregation(_per_rollout, _units_of_rollouts)
"""All rollouts weigh the same (GRPO, arXiv 2402.03300)."""


def constant_length(max_len: int) -> Aggregation:
    """1 / (number of rollouts * max_len): no length in the denominator, hence no length bias (arXiv 2503.20783).

    Args:
        max_len: The constant, usually the completion limit in tokens.

    Raises:
        ValueError: ``max_len`` is not positive.
    """
    if max_len < 1:
        raise ValueError(f"constant_length divides by max_len, which is {max_len}; give the completion limit in tokens")

    def weights(lengths: Sequence[int], groups: Sequence[int]) -> list[float]:
        return [1.0 / (len(lengths) * max_len) if length else 0.0 for length in lengths]

    return Aggregation(weights, _units_of_tokens)


@dataclass(frozen=True, slots=True)
class AggregationChoice:
    """An entry of the table of aggregations.

    Attributes:
        build: The longest completion, in tokens -> the aggregation.
        description: One line for the list of aggregations.
    """

    build: Callable[[int], Aggregation]
    description: str


AGGREGATIONS: Mapping[str, AggregationChoice] = MappingProxyType(
    {
        "token_mean": AggregationChoice(lambda _: token_mean, "every token of the batch weighs the same (DAPO)"),
        "group_token_mean": AggregationChoice(
            lambda _: group_token_mean, "every group weighs the same, and every token within a group"
        ),
        "sequence_mean": AggregationChoice(
            lambda _: sequence_mean, "every rollout weighs the same, and every token within a rollout (GRPO)"
        ),
        "constant_length": AggregationChoice(
            constant_length, "token losses are divided by rollouts x the completion limit (Dr. GRPO)"
        ),
    }
)
"""The aggregations by the names that a configuration chooses them by."""


def named_aggregation(name: str, max_len: int) -> Aggregation:
    """The aggregation of a name; ``max_len`` is what ``constant_length`` divides by.

    Raises:
        ValueError: There is no aggregation of that name.
    """
    return entry_of(AGGREGATIONS, name, "aggregation").build(max_len)
