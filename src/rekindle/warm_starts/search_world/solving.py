"""Teacher of the solver: searches hop by hop, and errs more often in questions with more hops."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from rekindle.tasks.search_world.facts import read_facts
from rekindle.tasks.search_world.params import Params
from rekindle.tasks.search_world.world import relation_words
from rekindle.types import Task
from rekindle.warm_starts.search_world.teacher_engine import drawn_error

__all__ = ["SolverMistake", "Teacher", "solver_lessons"]

SolverMistake = Literal["none", "early", "distractor", "relation", "gives_up"]
KINDS: dict[SolverMistake, float] = {"early": 0.6, "distractor": 0.15, "relation": 0.15, "gives_up": 0.1}
"""Shares of the kinds of mistakes. One hop allows no early answer, and a world of one relation no wrong relation.

A copied entity or a wrong relation sometimes leads to the right answer by chance.
"""


@dataclass(frozen=True, slots=True)
class Teacher:
    """The solver's teacher.

    Attributes:
        error_rates: Chance of an error in a question of 1, 2, ... hops; longer questions have the last rate.
    """

    error_rates: tuple[float, ...] = (0.3, 0.6, 0.8, 0.9)

    def error(self, hops: int, rng: Random) -> SolverMistake:
        """Kind of the mistake in a question with this number of hops; "none": no mistake."""
        return drawn_error(self.error_rates, KINDS, ("early",), hops, rng)


ERRING = Teacher()


def solver_lessons(
    tasks: Sequence[Task], params: Params, teacher: Teacher = ERRING
) -> Callable[[int, int, int], "_SolverLesson"]:
    """Lessons of a solver for a `TeacherEngine`.

    Args:
        tasks: The questions, in the order of the requests.
        params: Parameters of the world.
        teacher: The teacher with its error rates.
    """
    known = relation_words(params)

    def lesson(index: int, seed: int, sample: int) -> _SolverLesson:
        rng = Random(f"teacher {seed} {sample}")
        words = tasks[index].prompt.split()
        entity, relations = words[:2], words[2:-1]
        error, hops = teacher.error(len(relations), rng), len(relations)
        slip = {"none": -1, "early": hops - 1}.get(error, rng.randrange(hops))
        others = [relation for relation in known if relation != relations[slip]] or relations
        return _SolverLesson(entity, relations, error, slip, rng.sample(others, len(others)))

    return lesson


@dataclass(slots=True)
class _SolverLesson:
    """One conversation."""

    entity: list[str]
    relations: list[str]
    error: SolverMistake
    slip: int
    """The hop of the mistake."""
    others: list[str]
    """Relations to take instead of the right one."""
    hop: int = 0
    asked: bool = False
    """Whether the last turn was a search."""

    def say(self, read: Sequence[str]) -> str:
        """The next turn, after a reply of these words."""
        if self.asked:
            self._learn(read_facts(read))
        self.asked = self.hop < len(self.relations) and not self._stops()
        if not self.asked:
            return f"<answer> {' '.join(self.entity)} </answer>"
        return f"<search> {' '.join(self.entity)} {self._relation()} </search>"

    def _stops(self) -> bool:
        return self.hop == self.slip and self.error in ("early", "gives_up")

    def _relation(self) -> str:
        if self.error == "relation" and self.hop == self.slip:
            return self.others[0]
        return self.relations[self.hop]

    def _learn(self, facts: Sequence[list[str]]) -> None:
        """Take the next entity from the reply; without a fitting fact the entity stays."""
        wanted = [*self.entity, self._relation()]
        right = next((fact[3:] for fact in facts if fact[:3] == wanted), None)
        other = next((fact[-2:] for fact in facts if fact[:3] != wanted), None)
        copies = self.error == "distractor" and self.hop == self.slip
        self.entity = (other if copies else right) or right or self.entity
        self.hop += 1
