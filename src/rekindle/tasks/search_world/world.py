"""An invented knowledge base: entities with two-word names, and one other entity for each of their relations.

    ka lo --boss--> me ti         passage: title "ka lo", text "ka lo boss me ti ."

A passage states one fact, in the word order of questions. A distractor is a former value of a fact: the same passage
with "once" in it, "ka lo once boss ru na .". The world of an entity is decided by a hash of its name, for every seed.

In self-play, questions are built backwards from their answer. For this each current fact is stated a second time on the
page of its object, as a mention: title "me ti", text "see ka lo boss me ti .". The wording is the same, so a policy
that can follow one can follow the other.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from random import Random

from rekindle.tasks.search_world.params import CORPORA, Params
from rekindle.types import Document

__all__ = [
    "END",
    "FORMER",
    "SEE",
    "UNKNOWN",
    "Name",
    "World",
    "corpus_of",
    "name_words",
    "passages",
    "relation_words",
    "self_play_passages",
    "vocabulary",
    "world",
]

Name = tuple[str, str]
CONSONANTS, VOWELS = "bdfgklmnprtvz", "aeiou"
RELATIONS = ("boss", "home", "twin", "rival", "guild", "tutor", "heir", "friend", "doctor", "origin", "owner", "guard")
FORMER = "once"
SEE = "see"
"""First word of a mention."""
UNKNOWN = "unknown"
"""Answer of the verifier when it does not find the facts."""
END = "."
TAGS = ("think", "search", "information", "answer")
SHARES = {"demonstrations": 6, "pool": 6, "held_out": 4}
"""Share of each world in all names, in sixteenths."""


@dataclass(frozen=True, slots=True)
class World:
    """One of the three worlds.

    Attributes:
        entities: Names, in arbitrary order.
        relations: Every entity has each of them.
        facts: (entity, relation) -> the other entity.
        former: (entity, relation) -> former values, in the order of their passages.
    """

    entities: tuple[Name, ...]
    relations: tuple[str, ...]
    facts: Mapping[tuple[Name, str], Name]
    former: Mapping[tuple[Name, str], tuple[Name, ...]]


@cache
def name_words(count: int) -> tuple[str, ...]:
    """The first ``count`` words that names are made of, such as "bakum"."""
    words = [f"{a}{b}{c}{d}{e}" for a in "bdgklm" for b in VOWELS for c in CONSONANTS for d in VOWELS for e in "kmnrt"]
    return tuple(Random("name words").sample(words, count))


def relation_words(params: Params) -> tuple[str, ...]:
    """Words for the relations of a world."""
    return RELATIONS[: params.relations]


def corpus_of(name: Name) -> str:
    """The world that a name belongs to; depends on the name alone."""
    sixteenth = hashlib.blake2b(" ".join(name).encode(), digest_size=1).digest()[0] % 16
    for corpus in CORPORA:
        if sixteenth < SHARES[corpus]:
            return corpus
        sixteenth -= SHARES[corpus]
    raise AssertionError("the shares add up to sixteen")


@lru_cache(maxsize=8)
def world(params: Params, corpus: str) -> World:
    """Build a world; equal parameters give equal worlds."""
    rng = Random(f"world {corpus} {params.seed}")
    entities = _entities(params, corpus, rng)
    pairs = [(entity, relation) for entity in entities for relation in relation_words(params)]
    facts = {pair: _other(rng, entities, {pair[0]}) for pair in pairs}
    former = {pair: _former(rng, entities, {pair[0], facts[pair]}, params.distractors) for pair in pairs}
    return World(entities, relation_words(params), facts, former)


def _entities(params: Params, corpus: str, rng: Random) -> tuple[Name, ...]:
    words, names = name_words(params.name_words), dict[Name, None]()
    while len(names) < params.entities:
        name = (rng.choice(words), rng.choice(words))
        if name[0] != name[1] and corpus_of(name) == corpus:
            names[name] = None
    return tuple(names)


def _other(rng: Random, entities: tuple[Name, ...], without: set[Name]) -> Name:
    while (found := rng.choice(entities)) in without:
        pass
    return found


def _former(rng: Random, entities: tuple[Name, ...], without: set[Name], count: int) -> tuple[Name, ...]:
    found: list[Name] = []
    for _ in range(count):
        found.append(_other(rng, entities, without | set(found)))
    return tuple(found)


def passages(params: Params, corpus: str) -> list[Document]:
    """The passages of a world, shuffled.

    Args:
        params: Parameters of the world.
        corpus: One of ``CORPORA``.
    """
    here = world(params, corpus)
    told = [
        (pair, number, value)
        for pair, now in here.facts.items()
        for number, value in enumerate((now, *here.former[pair]))
    ]
    Random(f"passages {corpus} {params.seed}").shuffle(told)
    return [_passage(corpus, pair, number, value) for pair, number, value in told]


def _passage(corpus: str, pair: tuple[Name, str], number: int, value: Name) -> Document:
    (entity, relation), title = pair, " ".join(pair[0])
    former = (FORMER,) if number else ()
    text = " ".join((*entity, *former, relation, *value, END))
    return Document(f"{corpus}/{'-'.join(entity)}/{relation}/{number}", title, text)


def self_play_passages(params: Params, corpus: str) -> list[Document]:
    """The passages of a world, followed by a mention of each current fact on the page of its object."""
    told = list(world(params, corpus).facts.items())
    Random(f"mentions {corpus} {params.seed}").shuffle(told)
    return [*passages(params, corpus), *(_mention(corpus, pair, value) for pair, value in told)]


def _mention(corpus: str, pair: tuple[Name, str], value: Name) -> Document:
    entity, relation = pair
    text = " ".join((SEE, *entity, relation, *value, END))
    return Document(f"{corpus}/{'-'.join(value)}/see/{'-'.join(entity)}/{relation}", " ".join(value), text)


def vocabulary(params: Params, *, self_play: bool = False) -> list[str]:
    """Every word of prompts, passages and turns.

    Args:
        params: Parameters of the world.
        self_play: Include the words of the proposer and the verifier.
    """
    tags = [f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")]
    words = [*tags, *relation_words(params), FORMER, "?", END, *name_words(params.name_words)]
    return [*words, *_self_play_words(params)] if self_play else words


def _self_play_words(params: Params) -> list[str]:
    numbers = [str(hops) for hops in range(1, params.hops + 1)]
    return ["<question>", "</question>", SEE, UNKNOWN, "propose", "verify", *numbers]
