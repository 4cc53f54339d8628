"""Environment of one's own: the user's object answers the policy's turns, up to a reward.

    class Calculator:
        def begin(self, task): ...             state of one conversation (optional; without it the task itself)
        def respond(self, state, text): ...    text: what the policy reads next; a number: the reward, and the end

Tokens, loss mask, log-probabilities, limits and failures are kept here. Replies are foreign text: they contain no
control tokens, and the policy is not trained on them.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rekindle.choices import one_line
from rekindle.engines.engine import Completion, Engine, Partner, PartnerTurn, SamplingLimits
from rekindle.environments.conversational import Name, Start, hold
from rekindle.environments.search.codec import Codec
from rekindle.environments.search.conversation import Conversation
from rekindle.environments.turn_frames import turn_frames
from rekindle.notices import warn
from rekindle.types import GroupRequest, Rollout, Task, UserError

__all__ = ["Dialogue", "DialogueLimits", "Frame", "Held", "frame_of"]

FAILED = "environment"
"""``Rollout.failure`` where the user's object raised an exception, or returned neither text nor a number."""


@dataclass(frozen=True, slots=True)
class DialogueLimits:
    """Limits of one conversation.

    Attributes:
        sampling: ``max_new_tokens`` limits all turns of the policy together, ``context`` all tokens.
        max_turns: Most turns of the policy.
        turn_tokens: Most tokens of one turn of the policy; None: as many as are left.
        reply_tokens: Most tokens of one reply; longer ones are cut.
    """

    sampling: SamplingLimits
    max_turns: int
    turn_tokens: int | None
    reply_tokens: int


@dataclass(frozen=True, slots=True)
class Frame:
    """Token ids around a reply, from the end of the policy's turn to the beginning of its next one.

    Attributes:
        before: Ids before the reply; the first may be an end token, which is not written a second time.
        after: Ids after it.
        is_line: Whether ``before`` is a line break, which is not written after a turn that ends with one.
    """

    before: Sequence[int]
    after: Sequence[int]
    is_line: bool = False


class Dialogue:
    """Environment over tasks (also ``Conversational``); a request's ``row`` is the index of its task.

    Args:
        tasks: The prompts, in the order of the scheduler's history.
        partner: The user's object.
        encode: A task -> token ids of its prompt.
        codec: Codec of the policy.
        frame: What is written around a reply.
        engine: Samples the turns of ``play``; None: it is not called.
        limits: Limits of every conversation.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        partner: Any,
        encode: Callable[[Task], Sequence[int]],
        codec: Codec,
        frame: Frame,
        engine: Engine | None,
        limits: DialogueLimits,
    ) -> None:
        self._tasks, self._partner, self._encode = tasks, partner, encode
        self._codec, self._frame, self._engine, self._limits = codec, frame, engine, limits
        self._seconds = {"generate": 0.0, "verify": 0.0}
        self._counts = {"dialogue/turns": 0, "dialogue/replies_cut": 0}

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds spent sampling, and in the user's object ("verify")."""
        return self._seconds

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts of turns of the policy, and of replies that were cut."""
        return self._counts

    def room(self, task: Task) -> int:
        """Tokens of the context that are left after the prompt of a task."""
        prompt = self._encode(task)
        return self._limits.sampling.context_of(len(prompt)) - len(prompt)

    def play(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Hold all conversations; a request whose prompt leaves no room for a turn fails."""
        starts = [(request.id, self.start(self._tasks[request.row], request)) for request in requests]
        yield from ((request_id, None) for request_id, start in starts if start is None)
        playable = [(request_id, start) for request_id, start in starts if start is not None]
        groups = self._hold([start for _, start in playable])
        for (request_id, _), group in zip(playable, groups, strict=True):
            yield request_id, self.finish(group)

    def start(self, task: Task, request: GroupRequest) -> "Start[Held] | None":
        """See ``Conversational.start``."""
        prompt, whole = list(self._encode(task)), self._limits.sampling
        if not 0 < len(prompt) < whole.context_of(len(prompt)):
            return None
        turn = replace(
            whole, max_new_tokens=min(self._limits.turn_tokens or whole.max_new_tokens, whole.max_new_tokens)
        )
        sampling = turn.request(prompt, n=request.n, temperature=request.temperature, seed=request.seed)
        return Start(sampling, lambda place: self._begun(request, task, prompt, place))

    def partner(self, held: "Mapping[Name, Held]") -> Partner:
        """See ``Conversational.partner``."""
        return _Partner(self, held)

    def finish(self, held: "Sequence[Held]") -> list[Rollout]:
        """See ``Conversational.finish``."""
        return [one.rollout() for one in held]

    def counted(self, held: "Held") -> Mapping[str, int]:
        """See ``Conversational.counted``."""
        return {name: held.conversation.counts[name] for name in self._counts}

    def _count(self, held: "Held", name: str, count: int) -> None:
        self._counts[name] += count
        held.conversation.counts[name] += count

    def _hold(self, starts: "Sequence[Start[Held]]") -> "list[list[Held]]":
        began, responding = time.perf_counter(), self._seconds["verify"]
        groups = hold(self._engine, self.partner, starts)
        self._seconds["generate"] += time.perf_counter() - began - (self._seconds["verify"] - responding)
        return groups

    def _begun(self, request: GroupRequest, task: Task, prompt: Sequence[int], place: int) -> "Held":
        context = self._limits.sampling.context_of(len(prompt))
        held = Held(Conversation(request, task, list(prompt), context, place), task)
        begin = getattr(self._partner, "begin", None)
        if begin is not None:
            held.state = self._called(held, "begin", begin, held.state)
        return held

    def take_turn(self, held: "Held", completion: Completion) -> bool:
        """Pass a turn of the policy to the user's object; return whether the conversation continues."""
        conversation = held.conversation
        if conversation.failure is not None:
            return False
        conversation.add_turn(completion)
        self._count(held, "dialogue/turns", 1)
        said = self._called(held, "respond", self._partner.respond, held.state, completion.text)
        if conversation.failure is not None:
            return False
        if not isinstance(said, str):
            held.reward = float(said)
            return False
        held.reply = said
        conversation.truncated = (
            conversation.turns >= self._limits.max_turns
            or conversation.sampled >= self._limits.sampling.max_new_tokens
            or self._left(conversation) < 2
        )
        return not conversation.truncated

    def _called(self, held: "Held", name: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Result of a method of the user's object; an exception or a wrong result fails the conversation."""
        began = time.perf_counter()
        try:
            result = function(*arguments)
            problem = _problem(result) if name == "respond" else None
        except Exception as error:  # noqa: BLE001 (the boundary to the user's code)
            result, problem = None, f"raised {type(error).__name__}: {one_line(error, 200)}"
        self._seconds["verify"] += time.perf_counter() - began
        if problem:
            held.conversation.failure = FAILED
            warn(f"the environment's {name} {problem}; the groups of such rollouts fail and are not trained on")
        return result

    def _left(self, conversation: Conversation) -> int:
        """Tokens of the context that are left for a reply and the turn after it."""
        around = len(self._frame.before) + len(self._frame.after)
        return conversation.context - len(conversation.token_ids) - around

    def reply(self, held: "Held") -> PartnerTurn:
        """Write the reply that is due; it takes at most half of what is left of the context."""
        conversation, limits = held.conversation, self._limits
        left = self._left(conversation)
        text = self._codec.plain(held.reply.encode("utf-8", "replace").decode())
        shown = text[: min(limits.reply_tokens, left // 2)]
        self._count(held, "dialogue/replies_cut", len(shown) < len(text))
        before = list(self._frame.before)
        if before and before[0] in self._codec.end_ids and conversation.token_ids[-1] in self._codec.end_ids:
            before = before[1:]
        if self._frame.is_line and conversation.generated[-1].endswith("\n"):
            before = []
        ids = [*before, *shown, *self._frame.after]
        unsampled = limits.sampling.max_new_tokens - conversation.sampled
        most = min(limits.turn_tokens or unsampled, unsampled, left - len(shown))
        conversation.add_reply(ids, self._codec.decode(ids))
        return PartnerTurn(ids, most, limits.sampling.stop)


@dataclass(slots=True)
class Held:
    """A conversation, its state in the user's object, the reply that is due, and its reward."""

    conversation: Conversation
    state: Any
    reply: str = ""
    reward: float = 0.0

    def rollout(self) -> Rollout:
        """The finished rollout; void where the user's object failed."""
        failure = self.conversation.failure
        return self.conversation.rollout(self.reward, failure, void=failure is not None)


class _Partner:
    """``Partner`` of one batch of conversations."""

    def __init__(self, dialogue: Dialogue, held: Mapping[Name, Held]) -> None:
        self._dialogue, self._held = dialogue, held

    def on_turn(self, request: int, sample: int, completion: Completion) -> bool:
        return self._dialogue.take_turn(self._held[request, sample], completion)

    def respond(self, conversations: Sequence[Name]) -> list[PartnerTurn]:
        return [self._dialogue.reply(self._held[name]) for name in conversations]


def _problem(said: object) -> str | None:
    """What is wrong with a result of ``respond``."""
    if isinstance(said, str):
        return None if said else "returned an empty text; return what the policy reads next, or a number as the reward"
    if isinstance(said, int | float) or hasattr(said, "__float__"):
        return None if math.isfinite(float(said)) else f"returned {said}; a reward is a finite number"
    return f"returned a {type(said).__name__}; return text, or a number as the reward"


def frame_of(codec: Codec, *, templated: bool) -> Frame:
    """Frame of a reply: a user's message of the chat template, or a line of its own where none is used.

    Raises:
        UserError: The template renders a turn differently once another one follows.
    """
    if not templated:
        return Frame(codec.own("\n"), codec.own("\n"), is_line=True)
    found = turn_frames(lambda messages: codec.render(messages, ()), _round)
    if found is None:
        raise UserError(
            "the chat template renders earlier turns differently once later ones follow, so the sampled text would be "
            "changed; set model.chat_template = false, or use a template that keeps earlier turns"
        )
    before, after = map(codec.own, found)
    return Frame(before, after)


def _round(index: int) -> list[dict[str, str]]:
    return [
        {"role": "assistant", "content": f"placeholderturn{index}"},
        {"role": "user", "content": f"placeholderreply{index}"},
    ]
