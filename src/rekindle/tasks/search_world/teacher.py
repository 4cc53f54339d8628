"""A teacher as an engine: it holds conversations in tokens of the policy's own tokenizer, and errs on purpose.

A policy that imitates it imitates right and wrong behaviour in proportion, so its pass rates are spread over the
difficulties. A teacher knows its task and otherwise only what it has read. What it says of each role is in `solving`,
`proposing` and `verifying`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from rekindle.engines.protocol import Completion, Partner, SamplingRequest

__all__ = ["Lesson", "TeacherEngine"]


class Lesson(Protocol):
    """One conversation, from the teacher's side."""

    def say(self, read: Sequence[str]) -> str:
        """The next turn, after a reply of these words; of none at the beginning."""
        ...


class TeacherEngine:
    """The teacher as an engine that converses.

    Args:
        lesson: From the index of a request, its seed and the index of a sample to a conversation.
        encode: From words to token ids.
        decode: From token ids to words.
    """

    def __init__(
        self,
        lesson: Callable[[int, int, int], Lesson],
        *,
        encode: Callable[[str], list[int]],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        self._lesson, self._encode, self._decode = lesson, encode, decode

    def generate(self, requests: Sequence[SamplingRequest]) -> Iterator[tuple[int, list[Completion]]]:
        """Refuse: what the teacher says depends on what it has read."""
        raise NotImplementedError("a teacher of searching converses; ask it with `converse`")

    def converse(self, requests: Sequence[SamplingRequest], partner: Partner) -> None:
        """Answer every request; see `rekindle.engines.protocol.Converser`."""
        for index, request in enumerate(requests):
            for sample in range(request.n):
                self._teach(index, sample, request, partner)

    def _teach(self, index: int, sample: int, request: SamplingRequest, partner: Partner) -> None:
        lesson, limit = self._lesson(index, request.seed, sample), request.max_new_tokens
        read: list[str] = []
        while partner.hear(index, sample, self._completion(lesson.say(read), limit)):
            (reply,) = partner.reply([(index, sample)])
            read, limit = self._decode(reply.token_ids).split(), reply.max_new_tokens

    def _completion(self, text: str, limit: int) -> Completion:
        ids = self._encode(text)
        if len(ids) <= limit:
            return Completion(ids, [0.0] * len(ids), truncated=False, text=text)
        return Completion(ids[:limit], [0.0] * limit, truncated=True, text=self._decode(ids[:limit]))
