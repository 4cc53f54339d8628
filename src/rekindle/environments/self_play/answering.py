"""Answerers of the RAG check: the policy itself, or a model behind an endpoint.

An answer is one turn with the documents in the prompt, without search. Questions and documents count as hostile: the
proposer writes the question and chooses the documents, and is rewarded if the question passes.
"""

import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, cast

from rekindle.engines.endpoint import Endpoint, EndpointCompletion, EndpointRequest
from rekindle.engines.engine import Completion, Engine, Partner, SamplingLimits, SamplingRequest
from rekindle.environments.conversational import Name, Start
from rekindle.environments.one_turn import Answer, OneTurn
from rekindle.environments.search.codec import Codec
from rekindle.environments.search.documents import DocumentWriter
from rekindle.environments.search.hostile import Sanitizer
from rekindle.environments.search.turn_protocol import ANSWER
from rekindle.environments.self_play.check_prompt import (
    CLOSED_BOOK,
    OPEN_BOOK,
    check_fields,
    frame,
    quoted,
    quoted_documents,
    written,
)
from rekindle.types import Document, GroupRequest, Rollout, Task, UserError

__all__ = ["Answerer", "Cost", "EndpointAnswerer", "OpenBook", "PolicyAnswerer", "fitted"]

OPEN_FIELDS, CLOSED_FIELDS = ("documents", "question"), ("question",)

_Encoded = TypeVar("_Encoded", list[int], str)


@dataclass(frozen=True, slots=True)
class OpenBook:
    """An open-book question: a question with the documents to answer it from.

    Attributes:
        question: As the proposer wrote it.
        documents: In the order to show; documents with the same id are shown once. Empty: a closed-book question.
        spare: Indices of the documents that may be left out where there is no room.
        seed: Seed of the sampling.
    """

    question: str
    documents: tuple[Document, ...]
    spare: frozenset[int]
    seed: int

    @property
    def task(self) -> Task:
        """The book as a task, with JSON values only; its answer is not in it."""
        documents = [[one.id, one.title, one.text] for one in self.documents]
        return Task("", self.question, "", {"documents": documents, "spare": sorted(self.spare)})

    @classmethod
    def of(cls, task: Task, seed: int) -> "OpenBook":
        """The book of a task."""
        documents, spare = (cast(Sequence[Any], task.metadata[name]) for name in ("documents", "spare"))
        return cls(task.prompt, tuple(Document(*one) for one in documents), frozenset(spare), seed)


@dataclass(slots=True)
class Cost:
    """Cost of all answers of an answerer.

    Attributes:
        rollouts: Number of replies.
        prompt_tokens: Tokens of the prompts.
        generated_tokens: Sampled tokens.
    """

    rollouts: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0

    def add(self, prompt_tokens: int, generated_tokens: int) -> None:
        """Count one reply."""
        self.rollouts += 1
        self.prompt_tokens += prompt_tokens
        self.generated_tokens += generated_tokens


class Answerer(Protocol):
    """Model that answers questions from documents."""

    def answer(self, books: Sequence[OpenBook]) -> list[str | None]:
        """The text of the final answer to each question, in order; a single question never raises.

        "" where the reply has no answer in its tags. None where there is no reply: the request failed, or the prompt
        has no room for the documents that may not be left out.

        Raises:
            UserError: The answerer cannot be used as it is set up.
        """
        ...

    @property
    def cost(self) -> Cost:
        """Cost of all answers."""
        ...

    @property
    def seconds(self) -> float:
        """Wall seconds spent answering."""
        ...


def fitted(book: OpenBook, room: int, write: Callable[[Sequence[Document]], _Encoded]) -> _Encoded | None:
    """The documents as ``write`` writes them, in at most ``room`` tokens or characters.

    Spare documents are left out, the last first, until the rest fits; None where it does not fit without any of them.
    """
    once = list({document.id: document for document in book.documents}.values())
    needed = {document.id for index, document in enumerate(book.documents) if index not in book.spare}
    spare = [document.id for document in once if document.id not in needed]

    def shown(count: int) -> _Encoded:
        left_out = set(spare[count:])
        return write([document for document in once if document.id not in left_out])

    whole = shown(len(spare))
    if len(whole) <= room:
        return whole
    fitting = bisect_right(range(len(spare)), room, key=lambda count: len(shown(count)))
    return shown(fitting - 1) if fitting else None


class PolicyAnswerer:
    """Answerer that is the policy itself, as in the paper (arXiv 2510.18821); also ``Conversational``, over books.

    Documents and question are encoded as plain text, between our own text, in the chat template where there is one. A
    question that does not fit whole has no reply; nor has one whose documents cannot be shown at all. Exceptions of the
    engine are passed on.

    Args:
        codec: Codec of the policy.
        engine: Samples the replies of ``answer``; None: it is not called.
        writer: Writes documents.
        limits: Limits of a reply. A model that mentions the tags while it thinks needs no stop text: the last pair of
            tags counts.
        temperature: Sampling temperature.
        prompt: Text with ``{documents}`` and ``{question}`` in it.
        closed_prompt: Text with ``{question}`` in it, for questions without documents.

    Raises:
        UserError: A prompt cannot be used, or the limits leave no room for one.
    """

    def __init__(
        self,
        codec: Codec,
        engine: Engine | None,
        *,
        writer: DocumentWriter,
        limits: SamplingLimits,
        temperature: float = 1.0,
        prompt: str = OPEN_BOOK,
        closed_prompt: str = CLOSED_BOOK,
    ) -> None:
        self._codec, self._engine, self._writer = codec, engine, writer
        self._limits, self._room = limits, limits.context - limits.max_new_tokens
        self._temperature = temperature
        self._open, self._closed = frame(codec, prompt, OPEN_FIELDS), frame(codec, closed_prompt, CLOSED_FIELDS)
        if self._room <= max(self._open.tokens, self._closed.tokens):
            raise UserError(
                f"a context of {limits.context} tokens has no room for a question besides the prompt's own "
                f"{max(self._open.tokens, self._closed.tokens)} and {limits.max_new_tokens} of a reply; lower "
                "check.max_new_tokens, shorten check.prompt, or use a model with a longer context"
            )
        self._questions = DocumentWriter(codec, document_format="{text}", document_tokens=limits.context)
        self._sanitizer = Sanitizer(codec.controls)
        self.cost = Cost()
        """See ``Answerer.cost``."""
        self.seconds = 0.0
        """See ``Answerer.seconds``."""

    def answer(self, books: Sequence[OpenBook]) -> list[str | None]:
        """See ``Answerer.answer``."""
        began = time.perf_counter()
        prompts = [self._prompt(book) for book in books]
        rows = [row for row, prompt in enumerate(prompts) if prompt]
        orders = [
            self._limits.request(prompts[row] or [], temperature=self._temperature, seed=books[row].seed)
            for row in rows
        ]
        replies: list[str | None] = [None] * len(books)
        assert self._engine is not None, "an answerer without an engine is asked one question at a time"
        for index, (completion,) in self._engine.generate(orders) if orders else ():
            replies[rows[index]] = self._answer_of(orders[index], completion)
        self.seconds += time.perf_counter() - began
        return replies

    def _answer_of(self, order: SamplingRequest, completion: Completion) -> str:
        self.cost.add(len(order.prompt_ids), len(completion.token_ids))
        return _answer(completion.text)

    def start(self, task: Task, request: GroupRequest) -> Start[Answer] | None:
        """See ``Conversational.start``; the task is that of a book."""
        prompt = self._prompt(OpenBook.of(task, request.seed))
        if prompt is None:
            return None
        sampling = self._limits.request(prompt, n=request.n, temperature=request.temperature, seed=request.seed)
        return Start(sampling, lambda place: Answer(request, task, prompt, place))

    def partner(self, held: Mapping[Name, Answer]) -> Partner:
        """See ``Conversational.partner``."""
        return OneTurn(held)

    def finish(self, held: Sequence[Answer]) -> list[Rollout]:
        """See ``Conversational.finish``; ``final`` is the answer, "" where there is none, and nothing is judged."""
        return [replace(one.rollout(0.0), final=_answer(one.written.text)) for one in held]

    def counted(self, held: Answer) -> Mapping[str, int]:
        """See ``Conversational.counted``; the check counts its verdicts."""
        return {}

    def _prompt(self, book: OpenBook) -> list[int] | None:
        """Token ids of a prompt; None where there is no room, or where sanitizing leaves nothing to show."""
        around = self._open if book.documents else self._closed
        question = self._questions.write([Document("", "", " ".join(book.question.split()))], sys.maxsize)
        room = self._room - around.tokens - len(question.ids)
        if question.cut or not question.ids or room < 0:
            return None
        if not book.documents:
            return around.filled({"question": question.ids})
        values = {"documents": fitted(book, room, self._documents) or [], "question": question.ids}
        foreign = [token for name in around.fields for token in values[name]]
        # The prompt may have no text between the two, and their tokens together could form a tag.
        shown = values["documents"] and self._sanitizer.is_sanitized(self._codec.decode(foreign))
        return around.filled(values) if shown else None

    def _documents(self, documents: Sequence[Document]) -> list[int]:
        return self._writer.write(documents, sys.maxsize).ids


class EndpointAnswerer:
    """Answerer behind an OpenAI-compatible API; documents and question are quoted in the prompt's text.

    Args:
        endpoint: The model.
        concurrency: Concurrency of the endpoint. After this many failed requests in a row the server counts as down,
            and the remaining questions are not sent.
        max_tokens: Most tokens of a reply, thoughts included.
        temperature: Sampling temperature.
        document_characters: Most characters shown of each document's title, and of its text.
        prompt_characters: Most characters of a whole prompt; they must fit into the model's context, because a server
            refuses longer prompts for good.
        prompt: Text with ``{documents}`` and ``{question}`` in it.
        closed_prompt: Text with ``{question}`` in it, for questions without documents.

    Raises:
        UserError: A prompt cannot be used.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        concurrency: int,
        max_tokens: int = 1024,
        temperature: float = 0.0,
        document_characters: int = 2000,
        prompt_characters: int = 60_000,
        prompt: str = OPEN_BOOK,
        closed_prompt: str = CLOSED_BOOK,
    ) -> None:
        check_fields(prompt, OPEN_FIELDS)
        check_fields(closed_prompt, CLOSED_FIELDS)
        self._endpoint, self._patience = endpoint, concurrency
        self._max_tokens, self._temperature = max_tokens, temperature
        self._document_characters, self._prompt_characters = document_characters, prompt_characters
        self._open, self._closed = prompt, closed_prompt
        self.cost = Cost()
        """See ``Answerer.cost``; tokens are counted only where the server reports them."""
        self.seconds = 0.0
        """See ``Answerer.seconds``."""

    def answer(self, books: Sequence[OpenBook]) -> list[str | None]:
        """See ``Answerer.answer``.

        Raises:
            EndpointError: The server refuses a request for good (a wrong key, an unknown model, too long a prompt).
        """
        began = time.perf_counter()
        prompts = [self._prompt(book) for book in books]
        rows = [row for row, prompt in enumerate(prompts) if prompt]
        orders = [self._order(prompts[row] or "", books[row].seed) for row in rows]
        replies: list[str | None] = [None] * len(books)
        failed_in_a_row = 0
        for index, completions in self._endpoint.complete(orders):
            failed_in_a_row = failed_in_a_row + 1 if completions is None else 0
            if failed_in_a_row == self._patience:
                break
            if completions is not None:
                replies[rows[index]] = self._answer_of(completions[0])
        self.seconds += time.perf_counter() - began
        return replies

    def _order(self, prompt: str, seed: int) -> EndpointRequest:
        # No stop text: many servers cut it off, and the closing tag is needed.
        return EndpointRequest(prompt, temperature=self._temperature, max_tokens=self._max_tokens, seed=seed)

    def _answer_of(self, completion: EndpointCompletion) -> str:
        self.cost.add(completion.prompt_tokens, completion.tokens)
        return _answer(completion.text)

    def _prompt(self, book: OpenBook) -> str | None:
        """The prompt; None where there is no room or no question."""
        most = self._prompt_characters
        own = self._open if book.documents else self._closed
        question = quoted(book.question, most)
        room = most - len(own) - len(question)
        if len(book.question) > most or question == '""' or room < 0:
            return None
        documents = fitted(book, room, lambda shown: quoted_documents(shown, self._document_characters))
        return None if documents is None else written(own, {"documents": documents, "question": question})


def _answer(text: str) -> str:
    """The answer in a reply; "" where there is none in its tags."""
    return ANSWER.closed(text) or ""
