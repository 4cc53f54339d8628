"""Conversations of our environments for many coroutines of one event loop, each with its own rollout.

    coroutine of a session      asks verl's servers for a turn, waits for the reply, asks for the next turn
    thread of conversations     starts conversations, reads turns, looks up queries, writes replies
    thread of verdicts          judges what has ended

An environment is used by these two threads alone, in the calls that it is made for: all turns that wait are answered at
once, and all rollouts that wait are judged at once. So queries reach a retriever in batches, a verifier has its workers
busy, and neither holds up the event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

from rekindle.engines.conversing import next_turn
from rekindle.engines.engine import Completion, PartnerTurn, SamplingRequest
from rekindle.environments.conversational import Conversational, Name
from rekindle.types import GroupRequest, Rollout, Task

__all__ = ["Desk", "Player", "Seconds", "WaitingCalls"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Held = TypeVar("Held")

Sample = Callable[[SamplingRequest], Awaitable[Completion]]
"""Samples one turn."""


class WaitingCalls(Generic[Item, Result]):
    """Calls a function in a thread, each time with all items that wait by then.

    Args:
        function: Items -> their results, in order. An exception is every item's.
        executor: One thread.
    """

    def __init__(self, function: Callable[[Sequence[Item]], Sequence[Result]], executor: Executor) -> None:
        self._function, self._executor = function, executor
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._serving: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """The result of one item."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
        return await result

    async def _serve(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await self._call([item for item, _ in batch], [result for _, result in batch])
        self._serving = None

    async def _call(self, items: Sequence[Item], results: Sequence[asyncio.Future[Result]]) -> None:
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._executor, self._function, items)
        except Exception as error:  # noqa: BLE001 (whoever waits for a result raises it)
            for result in results:
                if not result.done():
                    result.set_exception(error)
            return
        for result, value in zip(results, found, strict=True):
            if not result.done():  # its session was cancelled
                result.set_result(value)


class Desk:
    """The two threads of a process in which its environments work.

    Attributes:
        conversations: One thread.
        verdicts: One thread.
    """

    def __init__(self) -> None:
        self.conversations = ThreadPoolExecutor(1, thread_name_prefix="rekindle-conversations")
        self.verdicts = ThreadPoolExecutor(1, thread_name_prefix="rekindle-verdicts")

    def close(self) -> None:
        """End both threads; what they have begun is finished."""
        self.conversations.shutdown()
        self.verdicts.shutdown()


class Seconds(NamedTuple):
    """Wall seconds of one session: sampling, waiting for replies, waiting for the verdict."""

    generate: float
    reply: float
    verify: float


class Player(Generic[Held]):
    """Plays the conversations of one environment, one rollout at a time.

    Args:
        rules: The environment.
        desk: The threads that it works in.
    """

    def __init__(self, rules: Conversational[Held], desk: Desk) -> None:
        self._rules, self._desk = rules, desk
        self._held: dict[Name, Held] = {}
        self._partner = rules.partner(self._held)
        self._started = 0
        self._replies = WaitingCalls(self._reply, desk.conversations)
        self._rollouts = WaitingCalls(rules.finish, desk.verdicts)

    async def play(
        self, task: Task, request: GroupRequest, place: int, sample: Sample
    ) -> tuple[Rollout | None, Seconds, Mapping[str, int]]:
        """One rollout of a task with its counts of events; None where the prompt leaves no room for a turn.

        Args:
            task: The task.
            request: Its request, for a group of one.
            place: Place of the rollout in the group that it belongs to, from 0.
            sample: Samples a turn; its exceptions are passed on.
        """
        loop, spent = asyncio.get_running_loop(), [0.0, 0.0, 0.0]
        started = await loop.run_in_executor(self._desk.conversations, self._start, task, request, place)
        if started is None:
            return None, Seconds(*spent), {}
        name, sampling = started
        held = self._held[name]
        try:
            reply: PartnerTurn | None
            while True:
                began = loop.time()
                completion = await sample(sampling)
                sampled = loop.time()
                reply = await self._replies((name, completion))
                spent[0], spent[1] = spent[0] + sampled - began, spent[1] + loop.time() - sampled
                if reply is None:
                    break
                sampling = next_turn(sampling, completion, 0, reply)
            began = loop.time()
            rollout, counts = await self._rollouts(held), self._rules.counted(held)
            spent[2] = loop.time() - began
        finally:
            del self._held[name]
        return rollout, Seconds(*spent), counts

    # -- in the thread of conversations -------------------------------------------------------------------------------

    def _start(self, task: Task, request: GroupRequest, place: int) -> tuple[Name, SamplingRequest] | None:
        start = self._rules.start(task, request)
        if start is None:
            return None
        name = (self._started, 0)
        self._started += 1
        self._held[name] = start.begin(place)
        return name, start.sampling

    def _reply(self, turns: Sequence[tuple[Name, Completion]]) -> list[PartnerTurn | None]:
        """Read turns, and write the replies to those after which the conversation continues."""
        going_on = [name for name, completion in turns if self._partner.on_turn(*name, completion)]
        replies = dict(zip(going_on, self._partner.respond(going_on), strict=True)) if going_on else {}
        return [replies.get(name) for name, _ in turns]
