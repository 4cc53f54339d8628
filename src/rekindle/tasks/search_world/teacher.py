"""A teacher who errs: more often the more hops a question has, in the ways a searcher errs.

A policy that imitates it imitates right and wrong behaviour in proportion, so its pass rates are spread over the
difficulties. The teacher knows the relations of a question and otherwise only what it has read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from rekindle.engines.protocol import Completion, Partner, SamplingRequest
from rekindle.tasks.search_world.params import Params
from rekindle.tasks.search_world.world import FORMER, relation_words
from rekindle.types import Task

__all__ = ["Error", "Teacher", "TeacherEngine"]

Error = Literal["none", "early", "distractor", "relation", "gives_up"]
KINDS: dict[Error, float] = {"early": 0.6, "distractor": 0.15, "relation": 0.15, "gives_up": 0.1}
"""How the teacher errs; a question of one hop has no early answer, and a world of one relation no wrong one.

A copied entity and a wrong relation lead to the right answer all the same once in a while, as they do by chance.
"""


@dataclass(frozen=True, slots=True)
class Teacher:
    """How often the teacher errs.

    Attributes:
        error_rates: Chance of an error in a question of 1, 2, ... hops; longer questions have the last one.
    """

    error_rates: tuple[float, ...] = (0.3, 0.6, 0.8, 0.9)

    def error(self, hops: int, rng: Random) -> Error:
        """Whether, and how, a question of so many hops will be answered wrongly."""
        if rng.random() >= self.error_rates[min(hops, len(self.error_rates)) - 1]:
            return "none"
        kinds = {kind: share for kind, share in KINDS.items() if hops > 1 or kind != "early"}
        return rng.choices(list(kinds), list(kinds.values()))[0]


ERRING = Teacher()


@dataclass(slots=True)
class _Lesson:
    """One conversation."""

    entity: list[str]
    relations: list[str]
    error: Error
    slip: int
    """The hop in which the error is made."""
    others: list[str]
    """Relations to take instead of the right one."""
    hop: int = 0
    asked: bool = False
    """Whether the last turn was a search."""

    def say(self, read: Sequence[str]) -> str:
        """The next turn, after a reply of these words."""
        if self.asked:
            self._learn(_facts(read))
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
        """Take the next entity from what was read; one who finds nothing stays with the last."""
        wanted = [*self.entity, self._relation()]
        right = next((fact[3:] for fact in facts if fact[:3] == wanted), None)
        other = next((fact[-2:] for fact in facts if fact[:3] != wanted), None)
        copies = self.error == "distractor" and self.hop == self.slip
        self.entity = (other if copies else right) or right or self.entity
        self.hop += 1


def _facts(words: Sequence[str]) -> list[list[str]]:
    """The facts in a reply: five words before a full stop, six where it is a former value."""
    facts, fact = [], list[str]()
    for word in words:
        if word == ".":
            facts.append(fact[-6:] if FORMER in fact[-6:] else fact[-5:])
            fact = []
        else:
            fact.append(word)
    return facts


class TeacherEngine:
    """The teacher as an engine: it converses, in tokens of the policy's own tokenizer.

    Args:
        tasks: Their questions, in the order of the requests.
        encode: From words to token ids.
        decode: From token ids to words.
        params: Of the world.
        teacher: How often it errs.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        encode: Callable[[str], list[int]],
        decode: Callable[[Sequence[int]], str],
        params: Params,
        teacher: Teacher = ERRING,
    ) -> None:
        self._tasks, self._encode, self._decode = tasks, encode, decode
        self._relations, self._teacher = relation_words(params), teacher

    def generate(self, requests: Sequence[SamplingRequest]) -> Iterator[tuple[int, list[Completion]]]:
        """Refuse: what the teacher says depends on what it has read."""
        raise NotImplementedError("a teacher of searching converses; ask it with `converse`")

    def converse(self, requests: Sequence[SamplingRequest], partner: Partner) -> None:
        """Answer every request; see `rekindle.engines.protocol.Converser`."""
        for index, request in enumerate(requests):
            for sample in range(request.n):
                self._teach(index, sample, request, partner)

    def _teach(self, index: int, sample: int, request: SamplingRequest, partner: Partner) -> None:
        lesson, limit = self._lesson(self._tasks[index], request.seed, sample), request.max_new_tokens
        read: list[str] = []
        while partner.hear(index, sample, self._completion(lesson.say(read), limit)):
            (reply,) = partner.reply([(index, sample)])
            read, limit = self._decode(reply.token_ids).split(), reply.max_new_tokens

    def _completion(self, text: str, limit: int) -> Completion:
        ids = self._encode(text)
        if len(ids) <= limit:
            return Completion(ids, [0.0] * len(ids), truncated=False, text=text)
        return Completion(ids[:limit], [0.0] * limit, truncated=True, text=self._decode(ids[:limit]))

    def _lesson(self, task: Task, seed: int, sample: int) -> _Lesson:
        rng = Random(f"teacher {seed} {sample}")
        words = task.prompt.split()
        entity, relations = words[:2], words[2:-1]
        error, hops = self._teacher.error(len(relations), rng), len(relations)
        slip = {"none": -1, "early": hops - 1}.get(error, rng.randrange(hops))
        others = [relation for relation in self._relations if relation != relations[slip]] or relations
        return _Lesson(entity, relations, error, slip, rng.sample(others, len(others)))
