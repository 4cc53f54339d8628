"""The embedded task: spell a made-up word backward, e.g. ``"banodu>"`` -> ``"udonab"``.

Words are pronounceable (consonants and vowels alternate), their lengths uniform. A word's hash decides once and for
all whether it is for the pool, held out, or for the demonstrations of the warm start: no seed, size or run can leak a
word from one into another.

Demonstrations are noisy on purpose. Their teacher errs more often the longer the word, in the ways a speller errs, so
a policy that imitates it starts with pass rates spread over the lengths, which is what reinforcement learning needs.
"""

import hashlib
import itertools
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from random import Random

from rekindle.tasks.task_set import TaskError, TaskSet
from rekindle.types import Task

__all__ = [
    "CHARACTERS",
    "SEPARATOR",
    "Split",
    "demonstrations",
    "load_spell_backward",
    "split_of",
    "teacher_error_rate",
]

CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxyz", "aeiou"
SEPARATOR = ">"
CHARACTERS = "abcdefghijklmnopqrstuvwxyz" + SEPARATOR
"""Every character of prompts and completions."""

MAX_LENGTH = 40
LONG = 9
"""Demonstrations of words this long or longer are half as likely."""


class Split(IntEnum):
    """What a word is for; the value is its share of all words, in sixteenths."""

    DEMONSTRATION = 8
    POOL = 6
    HELD_OUT = 2


@dataclass(frozen=True, slots=True)
class _Params:
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
    chosen = _validated(params)
    seed = seed if chosen.seed is None else chosen.seed
    parts = []
    for part, count, key in ((Split.POOL, pool_size, "task.pool_size"), (Split.HELD_OUT, eval_prompts, "eval.prompts")):
        words = _words(part, count, chosen.lengths, seed)
        if len(words) < count:
            warnings.warn(
                f"{key} = {count}, but only {len(words)} words of {chosen.min_length} to {chosen.max_length} letters "
                "exist for it; raise task.params max_length for more",
                stacklevel=2,
            )
        parts.append(tuple(_task(word) for word in words))
    return TaskSet(*parts)


def demonstrations(count: int, seed: int, params: Mapping[str, object] | None = None) -> list[tuple[str, str]]:
    """Make ``count`` pairs ``(prompt, completion)`` of the noisy teacher; the end token is the caller's.

    Words are drawn with replacement from those that are neither in a pool nor held out. ``params`` are those of
    ``load_spell_backward``; their ``seed`` is not used here.

    Raises:
        TaskError: A parameter is unknown or out of range.
    """
    lengths = _validated(params or {}).lengths
    rng = Random(f"demonstrations {seed}")
    weights = [0.5 if length >= LONG else 1.0 for length in lengths]
    chosen = rng.choices(lengths, weights, k=count)
    words = (_draw(rng, length, Split.DEMONSTRATION) for length in chosen)
    return [(word + SEPARATOR, _teach(rng, word)) for word in words]


def split_of(word: str) -> Split:
    """What a word is for: a function of the word and nothing else."""
    sixteenth = hashlib.blake2b(word.encode(), digest_size=1).digest()[0] % 16
    if sixteenth < Split.DEMONSTRATION:
        return Split.DEMONSTRATION
    return Split.POOL if sixteenth < Split.DEMONSTRATION + Split.POOL else Split.HELD_OUT


def teacher_error_rate(length: int) -> float:
    """0.97 * sigmoid(length - 8): the probability that a demonstration of a word of ``length`` letters is wrong."""
    return 0.97 / (1.0 + math.exp(8 - length))


def _validated(params: Mapping[str, object]) -> _Params:
    known = [field.name for field in fields(_Params)]
    for name, value in params.items():
        if name not in known:
            raise TaskError(f"task.params has no {name!r} for spell_backward; it takes {', '.join(known)}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise TaskError(f"task.params {name} = {value!r} must be a whole number")
    return _Params(**params)  # type: ignore[arg-type]  # every value was just checked to be an int


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
            found[_draw(rng, length, part)] = None
        return list(found)
    every = [word for word in _every_word(length) if split_of(word) is part]
    return rng.sample(every, min(wanted, len(every)))


def _patterns(length: int) -> list[list[str]]:
    """The two alternations of consonants and vowels: one set of letters per place."""
    return [[(CONSONANTS, VOWELS)[(place + start) % 2] for place in range(length)] for start in (0, 1)]


def _every_word(length: int) -> Iterator[str]:
    for pattern in _patterns(length):
        yield from map("".join, itertools.product(*pattern))


def _draw(rng: Random, length: int, part: Split) -> str:
    patterns = _patterns(length)
    while True:
        word = "".join(map(rng.choice, rng.choice(patterns)))
        if split_of(word) is part:
            return word


# -- the teacher ------------------------------------------------------------------------------------------------------


def _teach(rng: Random, word: str) -> str:
    """Return the reversed word, with the length's error rate misspelt by one slip or (each time 1 in 4) more."""
    answer = word[::-1]
    if rng.random() >= teacher_error_rate(len(word)):
        return answer
    text = _slip(rng, answer)
    while text == answer or rng.random() < 0.25:
        text = _slip(rng, text)
    return text


def _slip(rng: Random, text: str) -> str:
    """Swap two neighbours, drop a letter (never the last one), double one or replace one.

    Vowels and consonants alternate in a word, so one slip always changes it.
    """
    kind = rng.choice(("swap", "drop", "double", "replace") if len(text) > 1 else ("double", "replace"))
    place = rng.randrange(len(text) - (kind == "swap"))
    before, letter, after = text[:place], text[place], text[place + 1 :]
    match kind:
        case "swap":
            return before + after[0] + letter + after[1:]
        case "drop":
            return before + after
        case "double":
            return before + letter + letter + after
    others = (CONSONANTS + VOWELS).replace(letter, "")
    return before + rng.choice(others) + after
