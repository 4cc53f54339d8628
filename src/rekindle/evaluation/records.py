"""Records of played questions: numbers, without texts and tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from rekindle.types import Rollout, usable

__all__ = ["Answer", "Record", "entry_of"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One rollout in numbers.

    Attributes:
        reward: Reward from the verifier.
        turns: Number of turns of the policy.
        searches: Number of answered queries.
        tokens: Number of sampled tokens.
        truncated: Whether a length or turn limit ended the rollout.
        failure: Reason of a missing verdict; None where there is a verdict.
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
        answers: [n] the rollouts; empty where there are none.
        void: True when the question could not be played, or a failure outside the policy occurred (see
            ``Rollout.void``); none of its rollouts then counts as a success.
    """

    answers: tuple[Answer, ...]
    void: bool

    @classmethod
    def of(cls, rollouts: Sequence[Rollout] | None) -> Self:
        """The record of an environment's rollouts."""
        return cls.restored(entry_of(rollouts))

    @classmethod
    def restored(cls, entry: Mapping[str, Any]) -> Self:
        """The record of a journal entry made by ``entry_of``.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: The entry is damaged.
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
    """The journal entry of a group: ``{"void": false, "rollouts": [{"reward": 1.0, "text": ..., ...}]}``."""
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
