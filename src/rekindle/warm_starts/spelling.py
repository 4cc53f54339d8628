"""Teacher of the spelling task: spells words backward, with deliberate spelling errors.

Longer words have more errors. A policy that imitates the teacher starts with pass rates spread over the lengths, which
is what reinforcement learning needs.
"""

import math
from collections.abc import Mapping
from random import Random

from rekindle.tasks.spell_backward import CONSONANTS, SEPARATOR, VOWELS, Split, drawn_word, read_params

__all__ = ["demonstrations", "teacher_error_rate"]

LONG = 9
"""Demonstrations of words this long or longer are half as likely."""


def demonstrations(count: int, seed: int, params: Mapping[str, object] | None = None) -> list[tuple[str, str]]:
    """Make ``count`` pairs ``(prompt, completion)`` of the noisy teacher, without the end token.

    Words are drawn with replacement from the words that are neither in a pool nor held out. ``params`` are those of
    ``load_spell_backward``; their ``seed`` is not used here.

    Raises:
        TaskError: A parameter is unknown or out of range.
    """
    lengths = read_params(params or {}).lengths
    rng = Random(f"demonstrations {seed}")
    weights = [0.5 if length >= LONG else 1.0 for length in lengths]
    chosen = rng.choices(lengths, weights, k=count)
    words = (drawn_word(rng, length, Split.DEMONSTRATION) for length in chosen)
    return [(word + SEPARATOR, _teacher_answer(rng, word)) for word in words]


def teacher_error_rate(length: int) -> float:
    """0.97 * sigmoid(length - 8): the probability that a demonstration of a word of ``length`` letters is wrong."""
    return 0.97 / (1.0 + math.exp(8 - length))


def _teacher_answer(rng: Random, word: str) -> str:
    """Return the reversed word; with ``teacher_error_rate`` it has one slip, and each time 1 in 4 a further one."""
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
