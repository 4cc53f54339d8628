"""Reader of the facts that passages state, for the teachers and for the oracle of audits and tests."""

from collections.abc import Iterable, Mapping, Sequence

from rekindle.tasks.search_world.world import END, FORMER, SEE
from rekindle.types import Document

__all__ = ["Facts", "read_facts"]

FACT_WORDS = 5
"""Words of a fact: an entity, a relation and another entity."""


def read_facts(words: Sequence[str]) -> list[list[str]]:
    """The facts in a reply: five words before a full stop, or six for a former value."""
    facts, fact = [], list[str]()
    for word in words:
        if word == END:
            facts.append(fact[-6:] if FORMER in fact[-6:] else fact[-5:])
            fact = []
        else:
            fact.append(word)
    return facts


class Facts:
    """Oracle of the current facts that passages state, and of the answers that follow. Never used in training.

    Args:
        passages: Those of a world, or some of them. Passages without a current fact are skipped.
    """

    def __init__(self, passages: Iterable[Document]) -> None:
        self._values: dict[tuple[str, str], set[str]] = {}
        for passage in passages:
            for entity, relation, value in _stated(passage.text):
                self._values.setdefault((entity, relation), set()).add(value)

    @property
    def values(self) -> Mapping[tuple[str, str], set[str]]:
        """(entity, relation) -> stated values; several where passages contradict each other."""
        return self._values

    def answers(self, question: str) -> set[str] | None:
        """Every answer to a question such as "ka lo boss home ?".

        None where the question has another form, or its facts are not stated.
        """
        *words, mark = question.split() or [""]
        if mark != "?" or len(words) < 3:
            return None
        at = {" ".join(words[:2])}
        for relation in words[2:]:
            at = {value for entity in at for value in self._values.get((entity, relation), ())}
        return at or None


def _stated(text: str) -> Iterable[tuple[str, str, str]]:
    """The current fact of a passage, as a statement or a mention; nothing for a former value or other text."""
    words = text.split()
    if words[:1] == [SEE]:
        words = words[1:]
    if len(words) == FACT_WORDS + 1 and words[-1] == END and FORMER not in words:
        yield " ".join(words[:2]), words[2], " ".join(words[3:5])
