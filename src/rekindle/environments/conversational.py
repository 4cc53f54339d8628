"""Environments whose rollouts are conversations, which can be held all together or one by one.

An environment starts conversations, answers the policy's turns and finishes what has ended. Who samples the turns, and
when, is left to the caller: an engine that holds many at the same time (``hold``), or a server that is asked for one
turn of one conversation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from rekindle.engines.conversing import converse
from rekindle.engines.engine import Engine, Partner, SamplingRequest
from rekindle.types import GroupRequest, Rollout, Task

__all__ = ["Conversational", "Name", "Start", "hold"]

Held = TypeVar("Held")
Name = tuple[int, int]
"""Name of a conversation: (index of its start, place in the group)."""


@dataclass(frozen=True, slots=True)
class Start(Generic[Held]):
    """The start of a group's conversations.

    Attributes:
        sampling: Request of their first turns; its ``n`` is the group size.
        begin: Place in the group, from 0 -> a conversation with nothing but the prompt.
    """

    sampling: SamplingRequest
    begin: Callable[[int], Held]


class Conversational(Protocol[Held]):
    """An environment as the rules of its conversations. ``Held`` is one in progress; the caller only passes it on."""

    def start(self, task: Task, request: GroupRequest) -> Start[Held] | None:
        """The start of a group's conversations about a task; None where the prompt leaves no room for a turn.

        Raises:
            UserError: The environment cannot play the task.
        """
        ...

    def partner(self, held: Mapping[Name, Held]) -> Partner:
        """The other side of these conversations; the mapping may change while it is used."""
        ...

    def finish(self, held: Sequence[Held]) -> list[Rollout]:
        """Judge conversations that have ended; their rollouts, in order."""
        ...

    def counted(self, held: Held) -> Mapping[str, int]:
        """Events of a conversation under the keys of ``Environment.counts``; may be empty."""
        ...


def hold(
    engine: Engine | None, partner: Callable[[Mapping[Name, Held]], Partner], starts: Sequence[Start[Held]]
) -> list[list[Held]]:
    """Hold all conversations with an engine, and return them ended: those of each start, in order.

    Args:
        engine: Samples the turns.
        partner: See ``Conversational.partner``.
        starts: Starts of groups.
    """
    assert engine is not None, "an environment without an engine is played one conversation at a time"
    held = {
        (index, place): start.begin(place) for index, start in enumerate(starts) for place in range(start.sampling.n)
    }
    if starts:
        converse(engine, [start.sampling for start in starts], partner(held))
    return [[held[index, place] for place in range(start.sampling.n)] for index, start in enumerate(starts)]
