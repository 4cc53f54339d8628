"""What can be chosen of a search world: ``task.params``."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from rekindle.tasks.task_set import TaskError

__all__ = ["CORPORA", "PLAYED", "TAUGHT", "Params"]

TAUGHT, PLAYED = "demonstrations", ("pool", "held_out")
"""The world of the teacher, and those of the policy."""
CORPORA = (TAUGHT, *PLAYED)
"""The three worlds. A name belongs to one of them alone, so nothing of one is known in another."""

MOST_RELATIONS, MOST_HOPS, MOST_WORDS = 12, 6, 2000


@dataclass(frozen=True, slots=True)
class Params:
    """A search world.

    Attributes:
        entities: Of each of the three worlds.
        name_words: Words that names are made of, two each.
        relations: Each entity has each of them with one other entity.
        hops: Most relations in a question.
        distractors: Passages per fact that state a former value of it; the agent has to tell them apart.
        seed: Of the worlds.
    """

    entities: int = 400
    name_words: int = 150
    relations: int = 6
    hops: int = 4
    distractors: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse worlds that cannot be made."""
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
            TaskError: A parameter is unknown, no whole number, or out of range.
        """
        known = [field.name for field in fields(cls)]
        for name, value in values.items():
            if name not in known:
                raise TaskError(f"task.params has no {name!r} for search_world; it takes {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, int):
                raise TaskError(f"task.params {name} = {value!r} must be a whole number")
        return cls(**values)  # type: ignore[arg-type]  # every value was just checked to be an int
