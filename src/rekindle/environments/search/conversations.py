"""Search conversations: turns of the policy and replies with documents, up to a final text."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rekindle.engines.engine import Engine
from rekindle.environments.conversational import Name, Start, hold
from rekindle.environments.search.codec import Codec
from rekindle.environments.search.conversation import Conversation
from rekindle.environments.search.documents import DocumentWriter
from rekindle.environments.search.limits import SearchLimits
from rekindle.environments.search.partner import COUNTS, ConversationSettings, SearchPartner
from rekindle.environments.search.turn_protocol import TurnProtocol
from rekindle.retrieval.retriever import Retriever
from rekindle.types import GroupRequest, Task, UserError

__all__ = ["SearchConversations"]


class SearchConversations:
    """Holds conversations with one protocol and one set of limits, and counts their events.

    A conversation ends when the policy writes its final text. If turns or tokens run out first, or a limit cuts a turn
    before a search or a final text, the final text is forced: its opening tag is written and the policy completes it
    (``SearchLimits.answer_tokens``; one turn more than ``max_turns``). A rollout with a completed forced text is not
    truncated. A turn that the policy ends without a search or a final text, or with a malformed call, gets a short
    reply and counts as a turn. If the retriever is down, the conversations that asked it end at once and are void.

    Replies consist of our own text, in which control strings become control tokens, and of documents, which are encoded
    as plain text. Documents are cut to leave room for the next turn and a forced final text. Sampled tokens are never
    encoded again.

    Args:
        codec: Codec of the policy.
        engine: Samples the turns of ``hold``; None: it is not called.
        retrievers: Retriever by corpus.
        limits: Limits of every conversation.
        protocol: Format of searches, replies and the final text.
        document_format: Format of a document: ``{rank}``, ``{title}``, ``{text}``.

    Raises:
        UserError: The tokenizer or the format cannot be used.
    """

    def __init__(
        self,
        *,
        codec: Codec,
        engine: Engine | None,
        retrievers: Mapping[str, Retriever],
        limits: SearchLimits,
        protocol: TurnProtocol,
        document_format: str,
    ) -> None:
        _check_marks(codec, protocol)
        self._engine = engine
        writer = DocumentWriter(codec, document_format=document_format, document_tokens=limits.document_tokens)
        self._settings = ConversationSettings(
            codec, protocol, limits, writer, retrievers, _reserve(codec, protocol, limits)
        )
        self.seconds = {"generate": 0.0, "retrieve": 0.0}
        """Wall seconds spent sampling, and looking up and writing documents."""
        self.counts = dict.fromkeys(COUNTS, 0)
        """Counts of turns, queries answered and refused, malformed calls, idle turns and more (see ``COUNTS``)."""

    @property
    def protocol(self) -> TurnProtocol:
        """Format of searches, replies and the final text."""
        return self._settings.protocol

    def prompt(self, prompt: str | Sequence[Mapping[str, str]]) -> list[int]:
        """Token ids of the user's message, or of a conversation, with the announcement of the tools."""
        return self._settings.codec.prompt(prompt, self._settings.protocol.tools)

    def room(self, prompt_ids: Sequence[int]) -> int:
        """Tokens of the context that are left for turns after this prompt."""
        whole = self._settings.limits.sampling.context_of(len(prompt_ids))
        return whole - self._settings.reserve - len(prompt_ids)

    def start(self, task: Task, request: GroupRequest, prompt_ids: Sequence[int]) -> Start[Conversation] | None:
        """The start of a group's conversations; None where the context has no room for a turn after the prompt.

        Args:
            task: The task; ``metadata["corpus"]`` names the corpus.
            request: Number of conversations, temperature and seed.
            prompt_ids: See ``prompt``.
        """
        if not prompt_ids or self.room(prompt_ids) < 1:
            return None
        limits = self._settings.limits
        context = limits.sampling.context_of(len(prompt_ids))

        def begin(place: int) -> Conversation:
            return Conversation(request, task, list(prompt_ids), context, place)

        of_the_turn = replace(
            limits.sampling,
            max_new_tokens=begin(0).allowance(limits, self._settings.reserve),
            stop=self._settings.protocol.stop,
        )
        sampling = of_the_turn.request(
            tuple(prompt_ids), n=request.n, temperature=request.temperature, seed=request.seed
        )
        return Start(sampling, begin)

    def partner(self, held: Mapping[Name, Conversation]) -> SearchPartner:
        """The other side of these conversations."""
        return SearchPartner(self._settings, held, self.counts, self.seconds)

    def hold(self, starts: Sequence[Start[Conversation]]) -> list[list[Conversation]]:
        """Hold all conversations with the engine, and return them ended: those of each start, in order."""
        began, retrieving = time.perf_counter(), self.seconds["retrieve"]
        held = hold(self._engine, self.partner, starts)
        retrieved = self.seconds["retrieve"] - retrieving
        self.seconds["generate"] += time.perf_counter() - began - retrieved
        return held


def _reserve(codec: Codec, protocol: TurnProtocol, limits: SearchLimits) -> int:
    """Tokens of the context that a forced final text can need."""
    if not limits.answer_tokens:
        return 0
    return limits.answer_tokens + max(len(codec.own(protocol.opening(ended=ended))) for ended in (False, True))


def _check_marks(codec: Codec, protocol: TurnProtocol) -> None:
    for mark in protocol.marks:
        if codec.decode(codec.own(mark)).strip() != mark:
            raise UserError(
                f"the tokenizer cannot write {mark} as text, which the search protocol needs; use another model or "
                "another search.protocol"
            )
