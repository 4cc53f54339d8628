"""Formatting of numbers and of untrusted text for people."""

import math
import unicodedata
from decimal import Decimal

__all__ = [
    "compact",
    "counted",
    "duration",
    "excerpt",
    "excerpt_of_both_ends",
    "flops",
    "grouped",
    "isolated",
    "percent",
    "rate",
    "ticks",
]

_JOINERS = "\u200c\u200d"
"""Invisible characters that scripts and emoji need."""
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_CONTROL_PICTURES = 0x2400
"""Where the pictures of the control characters begin: U+241B shows an escape."""


def grouped(value: float) -> str:
    """``45056 -> "45,056"``; fractions are rounded away."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}"


def counted(count: int, what: str) -> str:
    """``(1, "step") -> "1 step"``, ``(1200, "step") -> "1,200 steps"``."""
    return f"{grouped(count)} {what}{'' if count == 1 else 's'}"


def compact(value: float) -> str:
    """Three significant digits and a suffix: ``45056 -> "45.1k"``, ``0.4637 -> "0.464"``, ``4000 -> "4k"``."""
    return _scaled(value, ("", "k", "M", "B", "T"))


def flops(value: float) -> str:
    """Floating-point operations with an SI prefix: ``3.2e15 -> "3.2 PFLOP"``."""
    return _scaled(value, (" FLOP", " kFLOP", " MFLOP", " GFLOP", " TFLOP", " PFLOP", " EFLOP", " ZFLOP"))


def rate(value: float) -> str:
    """An accuracy or another value between 0 and 1: ``0.4637 -> "0.46"``."""
    return f"{value:.2f}"


def percent(part: float, whole: float = 1.0) -> str:
    """A share, never rounded to 0 or 100: ``percent(1, 1000) -> "<1%"``, ``percent(0, 0) -> "0%"``."""
    share = part / whole if whole else 0.0
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share:.0%}"


def duration(seconds: float) -> str:
    """The two largest units: ``93.4 -> "1 min 33 s"``, ``7260 -> "2 h 1 min"``, ``4.21 -> "4.2 s"``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest} s"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) inside ``[low, high]``: at least one, about ``count``.

    Ascending for any two finite numbers. An empty or reversed range gives its lower end; so does one in which no round
    number is a float.
    """
    if not high > low:
        return [low]
    # Decimals hold what is written (0.1 is a tenth), and neither overflow nor vanish where a float would.
    start, end = Decimal(repr(float(low))), Decimal(repr(float(high)))
    step = _round_step((end - start) / count)
    first, last = math.ceil(start / step), math.floor(end / step)
    # Neighbouring floats are closer than a step's ticks: several of those are then the same float.
    return list(dict.fromkeys(float(index * step) for index in range(first, last + 1))) or [low]


def _round_step(least: Decimal) -> Decimal:
    """1, 2 or 5 times a power of ten, and not less than ``least`` by more than a thousandth."""
    unit = Decimal(1).scaleb(least.adjusted())
    return next(unit * times for times in (1, 2, 5, 10) if unit * times >= least * Decimal("0.999"))


def excerpt(text: str, limit: int) -> str:
    """The first ``limit`` characters of an untrusted text; an ellipsis marks a cut.

    Control characters become their pictures; other invisible characters and marks of writing direction become U+FFFD,
    so that no text can hide or disguise itself in a report. Line breaks stay.
    """
    if len(text) > limit:
        text = text[: limit - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return "".join(map(_visible, text))


def excerpt_of_both_ends(text: str, limit: int) -> str:
    """``excerpt`` of a long text whose end matters as well: a third of what is left is from the end."""
    if len(text) <= limit:
        return excerpt(text, limit)
    first, last = limit - limit // 3, limit // 3
    left = f"\n\n[{len(text) - first - last:,} characters left out]\n\n"
    return excerpt(text[:first], first) + left + excerpt(text[-last:], last)


def isolated(text: str) -> str:
    """A text for the middle of a sentence: one that runs right to left cannot reorder the words around it."""
    turns = any(unicodedata.bidirectional(char) in {"R", "AL", "AN"} for char in text)
    return f"{_FIRST_STRONG_ISOLATE}{text}{_POP_ISOLATE}" if turns else text


def _visible(char: str) -> str:
    if char == "\n" or char in _JOINERS:
        return char
    if char in "\t\r":
        return " "
    if char < " ":
        return chr(_CONTROL_PICTURES + ord(char))
    if char == "\x7f":
        return "\N{SYMBOL FOR DELETE}"
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else char


def _scaled(value: float, suffixes: tuple[str, ...]) -> str:
    exponent = 0
    while abs(value) >= 999.5 and exponent < len(suffixes) - 1:
        value /= 1000
        exponent += 1
    digits = f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"
    return digits + suffixes[exponent]
