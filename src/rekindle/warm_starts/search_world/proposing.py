"""Teacher of the proposer: goes from an answer back, fact by fact, to a question; more hops have more errors.

    propose 2 me ti
    <think> me ti </think> <search> see boss me ti </search>        reads "see ka lo boss me ti ."
    <think> ka lo boss </think> <search> see ka lo </search>        reads "see ru na home ka lo ."
    <question> ru na home boss ? </question>

The draft of the question in each thought means that no relation has to be remembered from far back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from rekindle.tasks.search_world.facts import read_facts
from rekindle.tasks.search_world.params import Params
from rekindle.tasks.search_world.world import SEE, relation_words, world
from rekindle.warm_starts.search_world.teacher_engine import drawn_error

__all__ = ["ProposerTeacher", "Wish", "proposer_lessons", "wishes"]

ProposerMistake = Literal["none", "early", "relation", "omission", "distractor", "leak", "repetition"]
KINDS: dict[ProposerMistake, float] = {
    "early": 0.35,
    "relation": 0.2,
    "omission": 0.15,
    "distractor": 0.15,
    "leak": 0.08,
    "repetition": 0.07,
}
"""Shares of the kinds of mistakes: fewer hops than wished, which still gives a question; another relation in the
question; a relation left out; continuing from an entity of another fact; the answer in the question; the same query
twice."""
LONG: frozenset[ProposerMistake] = frozenset({"early", "omission", "repetition"})
"""Mistakes that need more than one hop."""
NAMES_RELATION = 0.7
"""Share of the queries with a relation in them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """An order for a question.

    Attributes:
        answer: Answer of the question.
        hops: Number of relations in the question.
    """

    answer: str
    hops: int


def wishes(params: Params, corpus: str, count: int, seed: int) -> list[Wish]:
    """``count`` wishes about a world, distributed evenly over the numbers of hops; answers may repeat."""
    rng, here = Random(f"wishes {corpus} {seed}"), world(params, corpus)
    answers = sorted({" ".join(value) for value in here.facts.values()})
    return [Wish(rng.choice(answers), 1 + number % params.hops) for number in range(count)]


@dataclass(frozen=True, slots=True)
class ProposerTeacher:
    """The proposer's teacher.

    Attributes:
        error_rates: Chance of an error where 1, 2, ... hops are wished; more hops have the last rate.
    """

    error_rates: tuple[float, ...] = (0.15, 0.3, 0.45, 0.55)

    def error(self, hops: int, rng: Random) -> ProposerMistake:
        """Kind of the mistake in a question with this number of hops; "none": no mistake."""
        return drawn_error(self.error_rates, KINDS, LONG, hops, rng)


ERRING = ProposerTeacher()


def proposer_lessons(
    asked: Sequence[Wish], params: Params, teacher: ProposerTeacher = ERRING
) -> Callable[[int, int, int], "_ProposerLesson"]:
    """Lessons of a proposer for a `TeacherEngine`.

    Args:
        asked: The wishes, in the order of the requests.
        params: Parameters of the world.
        teacher: The teacher with its error rates.
    """

    def lesson(index: int, seed: int, sample: int) -> _ProposerLesson:
        rng, wish = Random(f"proposer {seed} {sample}"), asked[index]
        error = teacher.error(wish.hops, rng)
        goal = rng.randrange(1, wish.hops) if error == "early" else wish.hops
        slip = rng.randrange(1, wish.hops) if error in LONG else rng.randrange(wish.hops)
        return _ProposerLesson(wish.answer.split(), goal, error, slip, relation_words(params), rng)

    return lesson


@dataclass(slots=True)
class _ProposerLesson:
    """One conversation."""

    answer: list[str]
    goal: int
    """Hops after which the question is asked."""
    error: ProposerMistake
    slip: int
    """The hop of the mistake."""
    known: tuple[str, ...]
    rng: Random
    draft: list[str] = field(init=False)
    """The entity reached, and the relations that lead from it to the answer."""
    way: list[list[str]] = field(init=False)
    """Entities that must not come again."""
    hop: int = 0
    query: list[str] = field(default_factory=list)
    """The last query; empty before the first."""
    tried: int = 0
    """Queries without a fitting fact since the last hop."""

    def __post_init__(self) -> None:
        """Begin at the answer."""
        self.draft, self.way = self.answer, [self.answer]

    def say(self, read: Sequence[str]) -> str:
        """The next turn, after a reply of these words."""
        if self.query:
            self._learn([fact for fact in read_facts(read) if len(fact) == 5])
        if self.hop == self.goal or self.tried == 2:
            start = self.answer if self.error == "leak" else self.draft[:2]
            return f"<question> {' '.join([*start, *self.draft[2:]])} ? </question>"
        self.query = self._next_query()
        return f"<think> {' '.join(self.draft)} </think> <search> {' '.join(self.query)} </search>"

    def _next_query(self) -> list[str]:
        if self.error == "repetition" and self.hop == self.slip and self.tried == 0:
            return self.query
        named = len(self.query) == 3 if self.tried else self.rng.random() < NAMES_RELATION
        return [SEE, *([self.rng.choice(self.known)] if named else []), *self.draft[:2]]

    def _learn(self, facts: Sequence[list[str]]) -> None:
        """Go back one hop, by a fact that leads to the first entity of the draft; without one, search again."""
        entity, slips = self.draft[:2], self.hop == self.slip
        leading = [fact for fact in facts if fact[3:] == entity and fact[:2] not in self.way]
        if slips and self.error == "distractor":
            leading = [fact for fact in facts if fact[3:] != entity and fact[:2] not in self.way] or leading
        if not leading:
            self.tried += 1
            return
        fact = self.rng.choice(leading)
        self.draft = [*fact[:2], *self._relations(fact[2], slips), *self.draft[2:]]
        self.way.append(fact[:2])
        self.hop, self.tried = self.hop + 1, 0

    def _relations(self, right: str, slips: bool) -> list[str]:
        if slips and self.error == "omission":
            return []
        if slips and self.error == "relation":
            return [self.rng.choice([one for one in self.known if one != right] or [right])]
        return [right]
