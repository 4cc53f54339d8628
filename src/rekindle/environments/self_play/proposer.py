"""Proposer: conversations that start from an answer, search, and end with a question that asks for it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rekindle.environments.search.conversation import Conversation
from rekindle.environments.search.conversations import Opening, SearchConversations
from rekindle.environments.self_play.proposals import Proposal
from rekindle.types import GroupRequest, Task, UserError

__all__ = ["TAGS_INSTRUCTIONS", "TOOL_INSTRUCTIONS", "Order", "Proposer"]

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


class Proposer:
    """Holds the proposers' conversations.

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
        self.durations: dict[int, float] = {}
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
        openings = [self._opening(order) for order in orders]
        fits = [self._conversations.has_room(opening.prompt_ids) for opening in openings]
        playable = [order for order, fit in zip(orders, fits, strict=True) if fit]
        held = self._conversations.hold([opening for opening, fit in zip(openings, fits, strict=True) if fit])
        spent = time.perf_counter() - began
        self.durations = {order.request.id: spent for order in orders}
        proposals = [
            _proposal(order, conversation)
            for order, conversations in zip(playable, held, strict=True)
            for conversation in conversations
        ]
        return proposals, [order for order, fit in zip(orders, fits, strict=True) if not fit]

    def _opening(self, order: Order) -> Opening:
        answer = order.seed.answer if isinstance(order.seed.answer, str) else order.seed.answer[0]
        text = self._prompt.replace("{hops}", str(order.hops)).replace("{answer}", answer)
        return Opening(order.request, str(order.seed.metadata.get("corpus", "")), self._conversations.prompt(text))


def _proposal(order: Order, conversation: Conversation) -> Proposal:
    failure = conversation.failure
    rollout = conversation.rollout(0.0, failure, void=failure is not None)
    return Proposal(order.request, order.seed, order.hops, rollout, conversation.final)
