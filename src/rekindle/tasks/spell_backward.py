"""The embedded task "spell backward": reverse a made-up word, e.g. ``"banodu>"`` -> ``"udonab"``.

Words are pronounceable (consonants and vowels alternate), their lengths uniform. A hash assigns each word to the pool,
to the held-out prompts or to the warm start's demonstrations, so no word can leak between them for any seed or size.
"""

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from random import Random

from rekindle.notices import warn
from rekindle.tasks.parts import Part, has, read_part
from rekindle.tasks.task_set import TaskError, TaskSet, refuse_unknown
from rekindle.types import Task

__all__ = [
    "CHARACTERS",
    "CONSONANTS",
    "SEPARATOR",
    "VOWELS",
    "Split",
    "WordParams",
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
    """The split of a word; the value is the split's share of all words, in sixteenths."""

    DEMONSTRATION = 8
    POOL = 6
    HELD_OUT = 2


@dataclass(frozen=True, slots=True)
class WordParams:
    """Parameters of the words: lengths in letters, the seed, and the part of the words to train on and to hold out."""

    min_length: int = 2
    max_length: int = 14
    seed: int | None = None
    part: Part = Part.ALL

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
    """Generate the pool and the held-out prompts.

    Args:
        params: ``min_length`` (default 2), ``max_length`` (default 14), ``seed``, and ``part``, "development" or
            "final".
        pool_size: Prompts in the pool.
        eval_prompts: Prompts held out.
        seed: Used where ``params`` has no ``seed``.

    There are few short words (20 of two letters are held out). Where they run out, longer words take their place; a
    warning is given when these do not suffice.

    Raises:
        TaskError: A parameter is unknown or out of range.
    """
    chosen = read_params(params)
    seed = seed if chosen.seed is None else chosen.seed
    parts = []
    for half, count, key in ((Split.POOL, pool_size, "task.pool_size"), (Split.HELD_OUT, eval_prompts, "eval.prompts")):
        words = _words(half, count, chosen, seed)
        if len(words) < count:
            warn(
                f"{key} = {count}, but only {len(words)} words of {chosen.min_length} to {chosen.max_length} letters "
                "exist for it; raise task.params max_length for more",
                stacklevel=2,
            )
        parts.append(tuple(_task(word) for word in words))
    return TaskSet(*parts)


def split_of(word: str) -> Split:
    """The split of a word; depends on the word alone."""
    sixteenth = hashlib.blake2b(word.encode(), digest_size=1).digest()[0] % 16
    if sixteenth < Split.DEMONSTRATION:
        return Split.DEMONSTRATION
    return Split.POOL if sixteenth < Split.DEMONSTRATION + Split.POOL else Split.HELD_OUT


def read_params(params: Mapping[str, object]) -> WordParams:
    """Check ``task.params``.

    Raises:
        TaskError: A parameter is unknown or out of range.
    """
    known = [field.name for field in fields(WordParams)]
    refuse_unknown(params, known, "spell_backward")
    numbers = {name: value for name, value in params.items() if name != "part"}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TaskError(f"task.params {name} = {value!r} must be a whole number")
    return WordParams(part=read_part(params), **numbers)  # type: ignore[arg-type]  # every value was checked to be an int


def _task(word: str) -> Task:
    return Task(f"spell_backward/{word}", word + SEPARATOR, word[::-1], {"length": len(word)})


# -- words ------------------------------------------------------------------------------------------------------------


def _words(half: Split, count: int, chosen: WordParams, seed: int) -> list[str]:
    """Return up to ``count`` distinct words of one split, shuffled, as evenly over the lengths as possible.

    From the shortest length to the longest, each takes an even share of the words still missing.
    """
    words: list[str] = []
    for done, length in enumerate(chosen.lengths):
        wanted = -((len(words) - count) // (len(chosen.lengths) - done))
        words += _words_of_length(half, chosen.part, wanted, length, Random(f"{half.name} {length} {seed}"))
    Random(f"{half.name} order {seed}").shuffle(words)
    return words


def _words_of_length(half: Split, part: Part, wanted: int, length: int, rng: Random) -> list[str]:
    """Return ``wanted`` distinct words, or all where there are fewer.

    Words are drawn at random while most are still unseen. Otherwise all words are listed, which then costs little
    compared with the number wanted.
    """
    exist = sum(math.prod(map(len, pattern)) for pattern in _patterns(length))
    share = half / 16 if part is Part.ALL else half / 32
    if wanted * 4 < int(exist * share):
        found: dict[str, None] = {}
        while len(found) < wanted:
            word = drawn_word(rng, length, half)
            if has(part, word):
                found[word] = None
        return list(found)
    every = [word for word in _every_word(length) if split_of(word) is half and has(part, word)]
    return rng.sample(every, min(wanted, len(every)))


def _patterns(length: int) -> list[list[str]]:
    """The two alternations of consonants and vowels: one set of letters per position."""
    return [[(CONSONANTS, VOWELS)[(place + start) % 2] for place in range(length)] for start in (0, 1)]


def _every_word(length: int) -> Iterator[str]:
    for pattern in _patterns(length):
        yield from map("".join, itertools.product(*pattern))


def drawn_word(rng: Random, length: int, part: Split) -> str:
    """Draw a word of ``length`` letters of the split ``part``."""
    patterns = _patterns(length)
    while True:
        word = "".join(map(rng.choice, rng.choice(patterns)))
        if split_of(word) is part:
            return word
