"""Search conversations: turns of the policy and replies with documents, up to a final text."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rekindle.engines.conversing import converse
from rekindle.engines.engine import Engine, SamplingRequest
from rekindle.environments.search.codec import Codec
from rekindle.environments.search.conversation import Conversation
from rekindle.environments.search.documents import DocumentWriter
from rekindle.environments.search.limits import SearchLimits
from rekindle.environments.search.partner import COUNTS, ConversationSettings, SearchPartner
from rekindle.environments.search.turn_protocol import TurnProtocol
from rekindle.retrieval.retriever import Retriever
from rekindle.types import GroupRequest, UserError

__all__ = ["Opening", "SearchConversations"]


@dataclass(frozen=True, slots=True)
class Opening:
    """The start of a group of conversations.

    Attributes:
        request: Number of conversations, temperature and seed.
        corpus: Corpus in which queries are looked up.
        prompt_ids: See ``SearchConversations.prompt``.
    """

    request: GroupRequest
    corpus: str
    prompt_ids: Sequence[int]


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
        engine: Samples the turns.
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
        engine: Engine,
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
        return self._settings.limits.sampling.context - self._settings.reserve - len(prompt_ids)

    def has_room(self, prompt_ids: Sequence[int]) -> bool:
        """Whether the context has room for a turn after this prompt."""
        return len(prompt_ids) > 0 and self.room(prompt_ids) > 0

    def hold(self, openings: Sequence[Opening]) -> list[list[Conversation]]:
        """Hold all conversations, ``request.n`` for each opening, and return them finished."""
        began, retrieving = time.perf_counter(), self.seconds["retrieve"]
        conversations = {
            (index, sample): Conversation(one.request, one.corpus, list(one.prompt_ids))
            for index, one in enumerate(openings)
            for sample in range(one.request.n)
        }
        partner = SearchPartner(self._settings, conversations, self.counts, self.seconds)
        requests = [self._sampling_request(conversations[index, 0]) for index in range(len(openings))]
        if requests:
            converse(self._engine, requests, partner)
        retrieved = self.seconds["retrieve"] - retrieving
        self.seconds["generate"] += time.perf_counter() - began - retrieved
        return [[conversations[index, sample] for sample in range(one.request.n)] for index, one in enumerate(openings)]

    def _sampling_request(self, conversation: Conversation) -> SamplingRequest:
        request, limits = conversation.request, self._settings.limits
        of_the_turn = replace(
            limits.sampling,
            max_new_tokens=conversation.allowance(limits, self._settings.reserve),
            stop=self._settings.protocol.stop,
        )
        prompt_ids = tuple(conversation.token_ids)
        return of_the_turn.request(prompt_ids, n=request.n, temperature=request.temperature, seed=request.seed)


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
