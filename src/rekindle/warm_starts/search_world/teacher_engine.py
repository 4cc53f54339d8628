"""Teacher engine: a scripted engine that holds conversations in the policy's tokens, with deliberate errors.

A policy that imitates it imitates right and wrong behaviour in proportion, so its pass rates are spread over the
difficulties. A teacher knows its task and otherwise only what it has read. The scripts of the roles are in `solving`,
`proposing` and `verifying`.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from random import Random
from typing import Literal, Protocol, TypeVar

from rekindle.engines.engine import Completion, Partner, SamplingRequest
from rekindle.models.policy import Policy

__all__ = ["Lesson", "TeacherEngine", "drawn_error"]

Kind = TypeVar("Kind", bound=str)


def drawn_error(
    rates: Sequence[float], kinds: Mapping[Kind, float], needs_more: Container[Kind], hops: int, rng: Random
) -> Kind | Literal["none"]:
    """Kind of a teacher's error in a question, drawn at random; "none": no error.

    Args:
        rates: Chance of an error for 1, 2, ... hops; more hops have the last rate.
        kinds: Shares of the kinds of errors.
        needs_more: Kinds that need more than one hop.
        hops: Hops of the question, at least 1.
        rng: Random generator of the draw.
    """
    if rng.random() >= rates[min(hops, len(rates)) - 1]:
        return "none"
    possible = {kind: share for kind, share in kinds.items() if hops > 1 or kind not in needs_more}
    return rng.choices(list(possible), list(possible.values()))[0]


class Lesson(Protocol):
    """The teacher's side of one conversation."""

    def say(self, read: Sequence[str]) -> str:
        """The next turn, after a reply of these words; empty at the beginning."""
        ...


class TeacherEngine:
    """A teacher as an engine with ``converse``.

    Args:
        lesson: (index of a request, its seed, index of a sample) -> a conversation.
        encode: Text -> token ids.
        decode: Token ids -> text.
    """

    def __init__(
        self,
        lesson: Callable[[int, int, int], Lesson],
        *,
        encode: Callable[[str], list[int]],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        self._lesson, self._encode, self._decode = lesson, encode, decode

    def sync(self, policy: Policy, version: int) -> None:
        """No effect: a teacher has no weights."""

    def generate(self, requests: Sequence[SamplingRequest]) -> Iterator[tuple[int, list[Completion]]]:
        """Refuse: a teacher's turns depend on the replies."""
        raise NotImplementedError("a teacher of search only holds conversations; use `converse`")

    def converse(self, requests: Sequence[SamplingRequest], partner: Partner) -> None:
        """See ``Converser.converse``."""
        for index, request in enumerate(requests):
            for sample in range(request.n):
                self._hold(index, sample, request, partner)

    def _hold(self, index: int, sample: int, request: SamplingRequest, partner: Partner) -> None:
        lesson, limit = self._lesson(index, request.seed, sample), request.max_new_tokens
        read: list[str] = []
        while partner.on_turn(index, sample, self._completion(lesson.say(read), limit)):
            (reply,) = partner.respond([(index, sample)])
            read, limit = self._decode(reply.token_ids).split(), reply.max_new_tokens

    def _completion(self, text: str, limit: int) -> Completion:
        ids = self._encode(text)
        if len(ids) <= limit:
            return Completion(ids, [0.0] * len(ids), truncated=False, text=text)
        return Completion(ids[:limit], [0.0] * limit, truncated=True, text=self._decode(ids[:limit]))
