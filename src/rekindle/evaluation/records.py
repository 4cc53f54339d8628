"""What is remembered of a question that was played: numbers, without texts and tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from rekindle.types import Rollout, usable

__all__ = ["Answer", "Record", "entry_of"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One rollout in numbers.

    Attributes:
        reward: What the verifier said.
        turns: Number of times the policy spoke.
        searches: Queries that were answered.
        tokens: Number of tokens the policy sampled.
        truncated: Whether a length or turn limit ended it.
        failure: Why there is no judgement; None where there is one.
    """

    reward: float
    turns: int
    searches: int
    tokens: int
    truncated: bool
    failure: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """A question's rollouts.

    Attributes:
        answers: [n] the rollouts; [] where there are none.
        void: True when the question could not be played, or something outside the policy failed (see
            ``Rollout.void``): none of its rollouts counts as a success.
    """

    answers: tuple[Answer, ...]
    void: bool

    @classmethod
    def of(cls, rollouts: Sequence[Rollout] | None) -> Self:
        """From what an environment gave."""
        return cls.restored(entry_of(rollouts))

    @classmethod
    def restored(cls, entry: Mapping[str, Any]) -> Self:
        """From ``entry_of``, as JSON gives it back.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: It is damaged.
        """
        answers = tuple(
            Answer(
                reward=float(one["reward"]),
                turns=int(one["turns"]),
                searches=len(one["retrievals"]),
                tokens=int(one["tokens"]),
                truncated=bool(one["truncated"]),
                failure=one["failure"],
            )
            for one in entry["rollouts"]
        )
        return cls(answers, bool(entry["void"]))


def entry_of(rollouts: Sequence[Rollout] | None) -> dict[str, Any]:
    """All that is kept of a group, for JSON: ``{"void": false, "rollouts": [{"reward": 1.0, "text": ..., ...}]}``."""
    return {
        "void": usable(rollouts) is None,
        "rollouts": [
            {
                "reward": rollout.reward,
                "failure": rollout.failure,
                "truncated": rollout.truncated,
                "turns": rollout.turns,
                "tokens": rollout.generated_tokens,
                "text": rollout.text,
                "transcript": rollout.transcript,
                "retrievals": [
                    {"turn": one.turn, "query": one.query, "documents": [document.id for document in one.documents]}
                    for one in rollout.retrievals
                ],
            }
            for rollout in rollouts or ()
        ],
    }
