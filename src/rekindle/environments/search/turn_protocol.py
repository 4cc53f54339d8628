"""Turn protocols: how a turn of the policy is read, and the parts of the reply to it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "ANSWER",
    "PLACEHOLDER",
    "QUESTION",
    "Call",
    "Final",
    "Found",
    "Part",
    "Turn",
    "TurnProtocol",
    "not_answered",
    "numbered",
]

PLACEHOLDER = "..."
"""Stands for an answer in our own prompts. It is never read as a final text, so no prompt has an answer in it."""


@dataclass(frozen=True, slots=True)
class Final:
    """The text that ends a conversation, in tags of this name.

    Attributes:
        name: Name of the tags.
        idle: Reply to a turn without a search and without a final text.
        no_more: Reply before a forced final text.
    """

    name: str
    idle: str
    no_more: str

    @property
    def open(self) -> str:
        """The opening tag."""
        return f"<{self.name}>"

    @property
    def close(self) -> str:
        """The closing tag."""
        return f"</{self.name}>"

    def closed(self, text: str) -> str | None:
        """Text in the last pair of the tags; None where there is no pair, or its text is blank or the placeholder."""
        pairs = re.findall(rf"<{self.name}>((?:(?!</?{self.name}>).)*)</{self.name}>", text, re.DOTALL)
        found = pairs[-1].strip() if pairs else ""
        return None if found in {"", PLACEHOLDER} else found


ANSWER = Final(
    "answer",
    "That was neither a search nor an answer. Search or answer now.",
    "No further search is possible. Answer now.",
)
QUESTION = Final(
    "question",
    "That was neither a search nor a question. Search or ask your question now.",
    "No further search is possible. Ask your question now.",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request to search.

    Attributes:
        queries: Queries to answer, none blank; empty where there is an error.
        error: What is wrong with the request, as the policy reads it.
    """

    queries: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the policy as the protocol reads it; a turn without final text and calls is idle.

    Attributes:
        final: Final text; None where the turn does not end the conversation.
        calls: Requests to search; together they have at most the allowed number of queries.
        refused: Number of queries over the limit.
    """

    final: str | None = None
    calls: tuple[Call, ...] = ()
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The place in a reply where the documents of a query go."""

    query: str


Part = str | Found
"""Our own text, in which control strings become control tokens, or the place of documents."""


class TurnProtocol(Protocol):
    """The format of searches, answers and replies. Pure: it keeps no state.

    Attributes:
        final: The text that ends a conversation.
    """

    final: Final

    @property
    def instructions(self) -> str:
        """Default prompt, with ``{question}`` in it."""
        ...

    @property
    def tools(self) -> Sequence[Mapping[str, object]]:
        """Schemas of the tools that the prompt announces; may be empty."""
        ...

    @property
    def marks(self) -> tuple[str, ...]:
        """Texts that the tokenizer must be able to write and read."""
        ...

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end a turn."""
        ...

    def read(self, text: str) -> Turn:
        """Parse the sampled text of a turn. Never raises."""
        ...

    def reply(self, turn: Turn) -> list[Part]:
        """Parts of the reply to a turn without a final text."""
        ...

    def opening(self, *, ended: bool) -> str:
        """Text before a forced answer; ``ended``: the policy has just ended its turn with an end token."""
        ...


def numbered(queries: Sequence[str]) -> list[Part]:
    """Places of the documents of every query; several queries are numbered, and their texts are not repeated."""
    if len(queries) == 1:
        return [Found(queries[0])]
    return [part for index, query in enumerate(queries, 1) for part in (f"\nQuery {index}:\n", Found(query))]


def not_answered(count: int, most: int) -> str:
    """Reply to queries over the limit."""
    return f"\nNot answered: {count} more (at most {most} in a turn).\n"
