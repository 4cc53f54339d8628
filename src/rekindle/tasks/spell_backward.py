"""The embedded task: spell a made-up word backward, e.g. ``"banodu>"`` -> ``"udonab"``.

Words are pronounceable (consonants and vowels alternate), their lengths uniform. A word's hash decides once and for
all whether it is for the pool, held out, or for the demonstrations of the warm start: no seed, size or run can leak a
word from one into another.
"""

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from random import Random

from rekindle.notices import warn
from rekindle.tasks.task_set import TaskError, TaskSet
from rekindle.types import Task

__all__ = [
    "CHARACTERS",
    "CONSONANTS",
    "SEPARATOR",
    "VOWELS",
    "Params",
    "Split",
    "drawn_word",
    "load_spell_backward",
    "read_params",
    "split_of",
]

CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxyz", "aeiou"
SEPARATOR = ">"
CHARACTERS = "abcdefghijklmnopqrstuvwxyz" + SEPARATOR
"""Every character of prompts and completions."""

MAX_LENGTH = 40


class Split(IntEnum):
    """What a word is for; the value is its share of all words, in sixteenths."""

    DEMONSTRATION = 8
    POOL = 6
    HELD_OUT = 2


@dataclass(frozen=True, slots=True)
class Params:
    """Parameters of the words: lengths in letters, and the seed of the draw."""

    min_length: int = 2
    max_length: int = 14
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.min_length <= self.max_length <= MAX_LENGTH:
            raise TaskError(
                f"task.params min_length = {self.min_length}, max_length = {self.max_length}: "
                f"choose 2 <= min_length <= max_length <= {MAX_LENGTH}"
            )

    @property
    def lengths(self) -> range:
        """Every length of a word, in letters."""
        return range(self.min_length, self.max_length + 1)


def load_spell_backward(params: Mapping[str, object], *, pool_size: int, eval_prompts: int, seed: int) -> TaskSet:
    """Make the pool and the held-out prompts.

    Args:
        params: ``min_length`` (2), ``max_length`` (14) and ``seed``; nothing else.
        pool_size: Prompts in the pool.
        eval_prompts: Prompts held out.
        seed: Used where ``params`` has no ``seed``.

    There are few short words (20 of two letters are held out); where they run out, longer words take their place,
    and a warning says so when even these do not suffice.

    Raises:
        TaskError: A parameter is unknown or out of range.
    """
    chosen = read_params(params)
    seed = seed if chosen.seed is None else chosen.seed
    parts = []
    for part, count, key in ((Split.POOL, pool_size, "task.pool_size"), (Split.HELD_OUT, eval_prompts, "eval.prompts")):
        words = _words(part, count, chosen.lengths, seed)
        if len(words) < count:
            warn(
                f"{key} = {count}, but only {len(words)} words of {chosen.min_length} to {chosen.max_length} letters "
                "exist for it; raise task.params max_length for more",
                stacklevel=2,
            )
        parts.append(tuple(_task(word) for word in words))
    return TaskSet(*parts)


def split_of(word: str) -> Split:
    """What a word is for: a function of the word and nothing else."""
    sixteenth = hashlib.blake2b(word.encode(), digest_size=1).digest()[0] % 16
    if sixteenth < Split.DEMONSTRATION:
        return Split.DEMONSTRATION
    return Split.POOL if sixteenth < Split.DEMONSTRATION + Split.POOL else Split.HELD_OUT


def read_params(params: Mapping[str, object]) -> Params:
    """Check ``task.params``.

    Raises:
        TaskError: One is unknown or out of range.
    """
    known = [field.name for field in fields(Params)]
    for name, value in params.items():
        if name not in known:
            raise TaskError(f"task.params has no {name!r} for spell_backward; it takes {', '.join(known)}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise TaskError(f"task.params {name} = {value!r} must be a whole number")
    return Params(**params)  # type: ignore[arg-type]  # every value was just checked to be an int


def _task(word: str) -> Task:
    return Task(f"spell_backward/{word}", word + SEPARATOR, word[::-1], {"length": len(word)})


# -- words ------------------------------------------------------------------------------------------------------------


def _words(part: Split, count: int, lengths: range, seed: int) -> list[str]:
    """Return up to ``count`` distinct words of one part, as evenly over ``lengths`` as there are words, shuffled.

    Going from the short and few to the long and many, each length takes its even share of what is still to be found.
    """
    words: list[str] = []
    for done, length in enumerate(lengths):
        wanted = -((len(words) - count) // (len(lengths) - done))
        words += _words_of_length(part, wanted, length, Random(f"{part.name} {length} {seed}"))
    Random(f"{part.name} order {seed}").shuffle(words)
    return words


def _words_of_length(part: Split, wanted: int, length: int, rng: Random) -> list[str]:
    """Return ``wanted`` distinct words, or all there are when there are fewer.

    Drawing until enough are found is quick while most words are still unseen; otherwise all are listed, which is
    then little work beside what was asked for.
    """
    exist = sum(math.prod(map(len, pattern)) for pattern in _patterns(length))
    if wanted * 4 < exist * part // 16:
        found: dict[str, None] = {}
        while len(found) < wanted:
            found[drawn_word(rng, length, part)] = None
        return list(found)
    every = [word for word in _every_word(length) if split_of(word) is part]
    return rng.sample(every, min(wanted, len(every)))


def _patterns(length: int) -> list[list[str]]:
    """The two alternations of consonants and vowels: one set of letters per place."""
    return [[(CONSONANTS, VOWELS)[(place + start) % 2] for place in range(length)] for start in (0, 1)]


def _every_word(length: int) -> Iterator[str]:
    for pattern in _patterns(length):
        yield from map("".join, itertools.product(*pattern))


def drawn_word(rng: Random, length: int, part: Split) -> str:
    """Draw a word of ``length`` letters that is for ``part``."""
    patterns = _patterns(length)
    while True:
        word = "".join(map(rng.choice, rng.choice(patterns)))
        if split_of(word) is part:
            return word
