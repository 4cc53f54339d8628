"""Search partner: reads the policy's turns, looks up its queries, and writes the replies."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rekindle.engines.engine import Completion, PartnerTurn
from rekindle.environments.search.codec import Codec
from rekindle.environments.search.conversation import Conversation, Pending
from rekindle.environments.search.documents import DocumentWriter
from rekindle.environments.search.limits import SearchLimits
from rekindle.environments.search.turn_protocol import (
    Found,
    Part,
    Turn,
    TurnProtocol,
)
from rekindle.notices import warn
from rekindle.retrieval.retriever import Retriever, RetrieverDown
from rekindle.types import Document, Retrieval

__all__ = ["COUNTS", "ConversationSettings", "SearchPartner"]

COUNTS = (
    "turns",
    "queries",
    "refused_queries",
    "malformed_calls",
    "idle_turns",
    "forced_answers",
    "documents",
    "documents_cut",
    "documents_marked",
)
NOTHING_FOUND = "Nothing was found.\n"


@dataclass(frozen=True, slots=True)
class ConversationSettings:
    """Settings that all conversations of an environment share.

    Attributes:
        codec: Codec of the policy.
        protocol: Format of searches and answers.
        limits: Limits of every rollout.
        writer: Writes documents.
        retrievers: Retriever by corpus.
        reserve: Tokens of the context that are kept for a forced answer, its opening included.
    """

    codec: Codec
    protocol: TurnProtocol
    limits: SearchLimits
    writer: DocumentWriter
    retrievers: Mapping[str, Retriever]
    reserve: int


class SearchPartner:
    """``Partner`` of one batch of conversations.

    Args:
        settings: Settings of the environment.
        conversations: Conversation by (request, sample), with nothing but the prompt.
        counts: Counts by name, see ``COUNTS``; updated in place.
        seconds: Wall seconds by phase; "retrieve" is updated in place.
    """

    def __init__(
        self,
        settings: ConversationSettings,
        conversations: Mapping[tuple[int, int], Conversation],
        counts: dict[str, int],
        seconds: dict[str, float],
    ) -> None:
        self._settings, self._conversations = settings, conversations
        self._counts, self._seconds = counts, seconds

    def on_turn(self, request: int, sample: int, completion: Completion) -> bool:
        """See ``Partner.on_turn``."""
        conversation = self._conversations[request, sample]
        if conversation.failure is not None:
            return False
        conversation.add_turn(completion)
        self._note(conversation, turns=1)
        if conversation.pending is not None and conversation.pending.forced:
            final = self._settings.protocol.final
            text, close, _ = completion.text.partition(final.close)
            conversation.final = final.closed(final.open + text + close)
            conversation.truncated = conversation.final is None and completion.truncated
            return False
        return self._goes_on(conversation, completion, self._settings.protocol.read(completion.text))

    def respond(self, conversations: Sequence[tuple[int, int]]) -> list[PartnerTurn]:
        """See ``Partner.respond``."""
        began = time.perf_counter()
        waiting = [self._conversations[name] for name in conversations]
        found = self._search(waiting)
        replies = [self._reply(conversation, found) for conversation in waiting]
        self._seconds["retrieve"] += time.perf_counter() - began
        return replies

    def _goes_on(self, conversation: Conversation, completion: Completion, turn: Turn) -> bool:
        """Decide what follows a turn (nothing, a reply, or the opening of a forced answer); False ends it."""
        self._note(
            conversation,
            refused_queries=turn.refused,
            malformed_calls=sum(bool(call.error) for call in turn.calls),
            idle_turns=turn.final is None and not turn.calls,
        )
        conversation.final = turn.final
        if turn.final is not None:
            return False
        settings = self._settings
        pending = self._pending(completion, settings.protocol.reply(turn))
        if (
            conversation.turns >= settings.limits.max_turns
            or (completion.truncated and not any(call.queries for call in turn.calls))
            or conversation.allowance(settings.limits, settings.reserve, pending.own_tokens) < 1
        ):
            return self._force(conversation, completion)
        conversation.pending = pending
        return True

    def _force(self, conversation: Conversation, completion: Completion) -> bool:
        if not self._settings.limits.answer_tokens:
            conversation.truncated = True
            return False
        self._note(conversation, forced_answers=1)
        opening = self._settings.protocol.opening(ended=self._ended(completion))
        pending = self._pending(completion, [opening])
        conversation.pending = Pending(pending.pieces, forced=True)
        return True

    def _note(self, conversation: Conversation, **events: int) -> None:
        """Count events of a conversation."""
        for name, count in events.items():
            self._counts[name] += count
            conversation.counts[name] += count

    def _ended(self, completion: Completion) -> bool:
        return bool(completion.token_ids) and completion.token_ids[-1] in self._settings.codec.end_ids

    def _pending(self, completion: Completion, parts: Sequence[Part]) -> Pending:
        """Encode our own text; an end token that the policy has sampled is not written a second time."""
        codec = self._settings.codec
        pieces = [part if isinstance(part, Found) else codec.own(part) for part in parts]
        first = pieces[0]
        if self._ended(completion) and isinstance(first, list) and first[:1] and first[0] in codec.end_ids:
            pieces[0] = first[1:]
        return Pending(pieces)

    def _search(self, waiting: Sequence[Conversation]) -> dict[tuple[str, str], list[Document]]:
        """Look up every query once; conversations whose retriever is down fail."""
        asked: dict[str, dict[str, None]] = {}
        for conversation in waiting:
            for query in _queries(conversation):
                asked.setdefault(conversation.corpus, {})[query] = None
        found: dict[tuple[str, str], list[Document]] = {}
        for corpus, queries in asked.items():
            try:
                hits = self._settings.retrievers[corpus].search(list(queries), self._settings.limits.documents)
            except RetrieverDown as error:
                warn(f"the retriever is down, and the rollouts that asked it are void: {error}", stacklevel=2)
                for conversation in waiting:
                    if conversation.corpus == corpus and _queries(conversation):
                        conversation.failure = "retriever"
                continue
            for query, one in zip(queries, hits, strict=True):
                found[corpus, query] = [hit.document for hit in one]
        return found

    def _reply(self, conversation: Conversation, found: Mapping[tuple[str, str], list[Document]]) -> PartnerTurn:
        pending = conversation.pending
        assert pending is not None, "a reply is asked for only where one is due"
        limits = self._settings.limits
        if conversation.failure is not None:  # the engine needs a reply also in a conversation that has failed
            return PartnerTurn(next(piece for piece in pending.pieces if isinstance(piece, list) and piece)[:1], 1)
        ids = self._written(conversation, pending, found)
        conversation.add_reply(ids, self._settings.codec.decode(ids))
        if pending.forced:
            return PartnerTurn(ids, limits.answer_tokens, (self._settings.protocol.final.close,))
        return PartnerTurn(ids, conversation.allowance(limits, self._settings.reserve), self._settings.protocol.stop)

    def _written(
        self, conversation: Conversation, pending: Pending, found: Mapping[tuple[str, str], list[Document]]
    ) -> list[int]:
        """Our own text with the documents in their places; the queries share the room that is left equally."""
        limits = self._settings.limits
        entitled = min(limits.longest_turn, limits.free_tokens - conversation.sampled)
        taken = len(conversation.token_ids) + pending.own_tokens + self._settings.reserve + entitled
        room = max(0, conversation.context - taken)
        left = len(_queries(conversation))
        ids: list[int] = []
        for piece in pending.pieces:
            if isinstance(piece, list):
                ids += piece
            elif isinstance(piece, Found):
                documents = found[conversation.corpus, piece.query]
                shown = self._documents(conversation, documents, room // left)
                conversation.retrievals.append(Retrieval(conversation.turns, piece.query, tuple(documents)))
                room, left = room - len(shown), left - 1
                ids += shown
        return ids

    def _documents(self, conversation: Conversation, documents: Sequence[Document], room: int) -> list[int]:
        self._note(conversation, queries=1, documents=len(documents))
        if not documents:
            return self._settings.codec.own(NOTHING_FOUND)[:room]
        written = self._settings.writer.write(documents, room)
        self._note(conversation, documents_cut=written.cut, documents_marked=written.marked)
        return written.ids


def _queries(conversation: Conversation) -> list[str]:
    pending = conversation.pending
    return [] if pending is None else [piece.query for piece in pending.pieces if isinstance(piece, Found)]
