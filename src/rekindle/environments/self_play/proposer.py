"""Proposer: conversations that start from an answer, search, and end with a question that asks for it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rekindle.engines.engine import Partner
from rekindle.environments.conversational import Name, Start
from rekindle.environments.search.conversation import Conversation
from rekindle.environments.search.conversations import SearchConversations
from rekindle.environments.search.partner import COUNTS
from rekindle.environments.self_play.proposals import Proposal
from rekindle.types import GroupRequest, Rollout, Task, UserError

__all__ = ["TAGS_INSTRUCTIONS", "TOOL_INSTRUCTIONS", "Order", "Proposer", "Proposes"]

_AIM = """\
Write a question whose only correct answer is: {answer}
To answer it, somebody should have to search about {hops} times, each search building on the one before. Begin with \
what you can find about the answer, go on from there to other people, places, works or events, and ask from the far \
end of that chain. Use only facts that you have found. Neither the answer nor another name of it may stand in the \
question, and the question must make sense to somebody who has not seen what you found.
"""
TAGS_INSTRUCTIONS = f"""{_AIM}\
Think between <think> and </think>. To search, write a query between <search> and </search>; what is found is shown \
between <information> and </information>. When you are ready, write the question between <question> and </question>.
"""
TOOL_INSTRUCTIONS = f"""{_AIM}\
Search as often as you need to, with short and specific queries. When you are ready, write the question between \
<question> and </question>.
"""


@dataclass(frozen=True, slots=True)
class Order:
    """An order for proposals.

    Attributes:
        request: Number of proposals, temperature and random seed; its row is the seed's.
        seed: The answer, and the corpus to search.
        hops: Wished number of hops.
    """

    request: GroupRequest
    seed: Task
    hops: int

    @property
    def task(self) -> Task:
        """The seed with the wished number of hops, ``metadata["hops"]``, as the proposer plays it."""
        return replace(self.seed, metadata={**self.seed.metadata, "hops": self.hops})

    def proposal(self, rollout: Rollout) -> Proposal:
        """The proposal of one of its rollouts."""
        return Proposal(self.request, self.seed, self.hops, rollout, rollout.final)


class Proposes(Protocol):
    """Whoever writes the questions of a step."""

    durations: Mapping[int, float]
    """Wall seconds of the last call of ``propose``, by request."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds since the start, by phase."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Events counted since the start, under the keys of ``metrics.jsonl``."""
        ...

    def propose(self, orders: Sequence[Order]) -> tuple[list[Proposal], list[Order]]:
        """The proposals, n for each order, in order; and the orders that could not be played."""
        ...


class Proposer:
    """Holds the proposers' conversations (also ``Conversational``, over the tasks of orders).

    Args:
        conversations: Conversations that end with a question.
        prompt: Text with ``{answer}`` and ``{hops}`` in it.

    Raises:
        UserError: One of the two is missing in the prompt.
    """

    def __init__(self, conversations: SearchConversations, prompt: str) -> None:
        missing = [field for field in ("{answer}", "{hops}") if field not in prompt]
        if missing:
            raise UserError(
                f"self_play.prompt = {prompt!r} has no {missing[0]} in it, so the proposer would not know it; add it"
            )
        self._conversations, self._prompt = conversations, prompt
        self.durations: Mapping[int, float] = {}
        """Wall seconds of the last call of ``propose``, by request."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds spent sampling, and looking up and writing documents."""
        return self._conversations.seconds

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts of the conversations, see ``SearchConversations.counts``."""
        return {f"proposer/{name}": count for name, count in self._conversations.counts.items()}

    def propose(self, orders: Sequence[Order]) -> tuple[list[Proposal], list[Order]]:
        """The proposals, n for each order, in order; and the orders whose prompt leaves no room for a turn."""
        began = time.perf_counter()
        starts = [(order, self.start(order.task, order.request)) for order in orders]
        playable = [(order, start) for order, start in starts if start is not None]
        held = self._conversations.hold([start for _, start in playable])
        spent = time.perf_counter() - began
        self.durations = {order.request.id: spent for order in orders}
        proposals = [
            order.proposal(rollout)
            for (order, _), conversations in zip(playable, held, strict=True)
            for rollout in self.finish(conversations)
        ]
        return proposals, [order for order, start in starts if start is None]

    def start(self, task: Task, request: GroupRequest) -> Start[Conversation] | None:
        """See ``Conversational.start``; the task is that of an order."""
        answer = task.answer if isinstance(task.answer, str) else task.answer[0]
        text = self._prompt.replace("{hops}", str(task.metadata["hops"])).replace("{answer}", answer)
        return self._conversations.start(task, request, self._conversations.prompt(text))

    def partner(self, held: Mapping[Name, Conversation]) -> Partner:
        """See ``Conversational.partner``."""
        return self._conversations.partner(held)

    def finish(self, held: Sequence[Conversation]) -> list[Rollout]:
        """See ``Conversational.finish``; their reward is not known yet, and 0."""
        return [one.rollout(0.0, one.failure, void=one.failure is not None) for one in held]

    def counted(self, held: Conversation) -> Mapping[str, int]:
        """See ``Conversational.counted``."""
        return {f"proposer/{name}": held.counts[name] for name in COUNTS}
