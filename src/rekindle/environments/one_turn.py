"""Conversations of one turn: the policy completes a prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rekindle.engines.engine import Completion, PartnerTurn
from rekindle.environments.conversational import Name
from rekindle.types import GroupRequest, Rollout, Task

__all__ = ["Answer", "OneTurn"]


@dataclass(slots=True)
class Answer:
    """One completion of a prompt, in progress.

    Attributes:
        request: The request it belongs to.
        task: The task.
        prompt: [P] token ids.
        place: Place in its group, from 0.
        completion: What was sampled; None before.
    """

    request: GroupRequest
    task: Task
    prompt: Sequence[int]
    place: int
    completion: Completion | None = None

    @property
    def written(self) -> Completion:
        """The completion, which is there by now."""
        assert self.completion is not None, "an answer is read after its turn"
        return self.completion

    def rollout(self, reward: float) -> Rollout:
        """The finished rollout."""
        completion, prompt = self.written, len(self.prompt)
        return Rollout(
            token_ids=[*self.prompt, *completion.token_ids],
            loss_mask=[False] * prompt + [True] * len(completion.token_ids),
            logprobs=[0.0] * prompt + completion.logprobs,
            reward=reward,
            temperature=self.request.temperature,
            version=self.request.version,
            truncated=completion.truncated,
            text=completion.text,
        )


class OneTurn:
    """``Partner`` that ends every conversation after its first turn.

    Args:
        held: The answers by name.
    """

    def __init__(self, held: Mapping[Name, Answer]) -> None:
        self._held = held

    def on_turn(self, request: int, sample: int, completion: Completion) -> bool:
        """See ``Partner.on_turn``."""
        self._held[request, sample].completion = completion
        return False

    def respond(self, conversations: Sequence[Name]) -> list[PartnerTurn]:
        """Never called: nothing continues."""
        raise AssertionError("no conversation continues after its first turn")
