"""Parameters of the search world: ``task.params``."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from rekindle.tasks.task_set import TaskError, refuse_unknown

__all__ = ["CORPORA", "POLICY_CORPORA", "TEACHER_CORPUS", "Params"]

TEACHER_CORPUS, POLICY_CORPORA = "demonstrations", ("pool", "held_out")
"""The world of the teacher, and those of the policy."""
CORPORA = (TEACHER_CORPUS, *POLICY_CORPORA)
"""The three worlds. Each name belongs to one of them, so no knowledge carries over."""

MOST_RELATIONS, MOST_HOPS, MOST_WORDS = 12, 6, 2000


@dataclass(frozen=True, slots=True)
class Params:
    """Parameters of a search world.

    Attributes:
        entities: Number of entities in each of the three worlds.
        name_words: Number of words that names are made of; a name has two.
        relations: Number of relations; each relates every entity to one other entity.
        hops: Most relations in a question.
        distractors: Passages per fact that state a former value of it, which the agent has to recognise.
        seed: Seed of the worlds.
    """

    entities: int = 400
    name_words: int = 150
    relations: int = 6
    hops: int = 4
    distractors: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse parameters out of range."""
        bounds = {
            "name_words": (10, MOST_WORDS),
            "relations": (1, MOST_RELATIONS),
            "hops": (1, MOST_HOPS),
            "distractors": (0, 8),
            "seed": (0, 2**63),
            "entities": (max(self.hops + 2, self.distractors + 3), self.name_words**2 // 8),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise TaskError(f"task.params {name} = {getattr(self, name)}; choose a number from {low} to {high}")

    @classmethod
    def read(cls, values: Mapping[str, object]) -> "Params":
        """Check ``task.params``.

        Raises:
            TaskError: A parameter is unknown, not a whole number, or out of range.
        """
        known = [field.name for field in fields(cls)]
        refuse_unknown(values, known, "search_world")
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise TaskError(f"task.params {name} = {value!r} must be a whole number")
        return cls(**values)  # type: ignore[arg-type]  # every value was just checked to be an int
