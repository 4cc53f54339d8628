"""Teacher of the verifier: follows a question through the documents, and answers "unknown" where they end.

see ka lo boss me ti . me ti home ru na . verify ka lo boss home ?
<think> ka lo boss me ti home ru na </think> <answer> ru na </answer>
<think> ka lo boss me ti home </think> <answer> unknown </answer>          where the second document is missing
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from rekindle.tasks.search_world.facts import read_facts
from rekindle.tasks.search_world.params import Params
from rekindle.tasks.search_world.world import UNKNOWN, name_words, relation_words

__all__ = ["VerifierTeacher", "misread"]


@dataclass(frozen=True, slots=True)
class VerifierTeacher:
    """The verifier's teacher; half of its errors overlook a fact, the others follow the entity of a random fact.

    It never stops a hop early. A verifier that accepts an entity on the way would also accept a question with one
    relation too many, and the proposer would be rewarded for such questions.

    Attributes:
        error_rates: Chance of an error in a question of 1, 2, ... hops; longer questions have the last rate.
    """

    error_rates: tuple[float, ...] = (0.05, 0.1, 0.15, 0.2)

    def reply(self, question: str, texts: Sequence[str], rng: Random) -> str:
        """The teacher's answer to a question with documents of these texts."""
        facts = [fact for text in texts for fact in read_facts(text.split()) if len(fact) == 5]
        known = {(*fact[:2], fact[2]): fact[3:] for fact in facts}
        words = question.split()
        entity, relations = words[:2], words[2:-1]
        errs = rng.random() < self.error_rates[min(max(len(relations), 1), len(self.error_rates)) - 1]
        slip = rng.randrange(max(len(relations), 1)) if errs else -1
        thought = entity
        for hop, relation in enumerate(relations):
            value = known.get((*entity, relation))
            if hop == slip and value is not None:
                value = rng.choice([None, rng.choice(facts)[3:]])
            thought = [*thought, relation, *(value or ())]
            if value is None:
                return _formatted(thought, [UNKNOWN])
            entity = value
        return _formatted(thought, entity)


def misread(question: str, params: Params, rng: Random) -> str:
    """The question with one of its words replaced.

    Args:
        question: E.g. "ka lo boss home ?"; a word of the name and a relation are replaced equally often.
        params: Parameters of the world.
        rng: Chooses the words.
    """
    words = question.split()
    asks = len(words) > 3
    place = rng.randrange(2, len(words) - 1) if asks and rng.random() < 0.5 else rng.randrange(2)
    words[place] = rng.choice(name_words(params.name_words) if place < 2 else relation_words(params))
    return " ".join(words)


def _formatted(thought: Sequence[str], answer: Sequence[str]) -> str:
    return f"<think> {' '.join(thought)} </think> <answer> {' '.join(answer)} </answer>"
