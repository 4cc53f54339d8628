"""What a turn can say, and what is said back: the words that the protocols share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "ANSWER",
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


@dataclass(frozen=True, slots=True)
class Final:
    """What a conversation ends with: a text in tags of this name.

    Attributes:
        name: Of the tags.
        idle: What the policy reads after a turn that neither searched nor ended.
        no_more: What it reads when it has to end now.
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
        """What stands in the last pair of the tags; None where there is none, or it is blank."""
        pairs = re.findall(rf"<{self.name}>((?:(?!</?{self.name}>).)*)</{self.name}>", text, re.DOTALL)
        return pairs[-1].strip() or None if pairs else None


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
        queries: To be answered, none blank; empty where there is an error.
        error: What is wrong with the request, in our own words; the policy reads it.
    """

    queries: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the policy said in one turn. Neither an answer nor calls: an idle turn.

    Attributes:
        final: What the conversation ends with, None where the turn does not end it.
        calls: Requests to search; together they have at most the allowed number of queries.
        refused: Queries over that number.
    """

    final: str | None = None
    calls: tuple[Call, ...] = ()
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The place in a reply where the documents of a query go."""

    query: str


Part = str | Found
"""Our own words, whose control tokens mean what they say, or the place of documents."""


class TurnProtocol(Protocol):
    """How the policy asks and answers, and what the environment's replies look like. Pure: it keeps no state.

    Attributes:
        final: What a conversation ends with.
    """

    final: Final

    @property
    def instructions(self) -> str:
        """Default prompt, with ``{question}`` in it."""
        ...

    @property
    def tools(self) -> Sequence[Mapping[str, object]]:
        """Schemas of the tools that the prompt announces; empty where it announces none."""
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
        """Say what a turn's sampled text means. Never raises."""
        ...

    def reply(self, turn: Turn) -> list[Part]:
        """What the policy reads after a turn without an answer."""
        ...

    def opening(self, *, ended: bool) -> str:
        """What opens a forced answer; ``ended``: the policy has just ended its turn with an end token."""
        ...


def numbered(queries: Sequence[str]) -> list[Part]:
    """The documents of every query; several are told apart by their numbers, and no query is repeated."""
    if len(queries) == 1:
        return [Found(queries[0])]
    return [part for index, query in enumerate(queries, 1) for part in (f"\nQuery {index}:\n", Found(query))]


def not_answered(count: int, most: int) -> str:
    """Our own words for queries over the limit."""
    return f"\nNot answered: {count} more (at most {most} in a turn).\n"
