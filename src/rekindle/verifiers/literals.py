r"""Literal numbers: integer, decimal, fraction, mixed number, percentage, scientific notation; exact, no algebra.

``17 + 25``, ``\sqrt{9}`` and ``2^{10}`` are no literals: they still have to be worked out. A unit may follow, and a
currency sign may stand before (``\$18``, ``12\text{ cm}^2``). Values are fractions of whole numbers. A decimal equals
another number only exactly, with one exception: ``1/3`` has no decimal, so a decimal with six significant digits or
more, rounded or cut off, is equal to it.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from rekindle.verifiers.plain_text import THIN_SPACE, plain
from rekindle.verifiers.units import SCALES, unit_of

__all__ = ["MOST_CHARACTERS", "LiteralNumber", "literals_in", "read_literal", "same_number"]

Kind = Literal["decimal", "fraction", "mixed", "percent", "scientific", "repeating", "power"]

MOST_CHARACTERS = 1000
"""Longest text that is read as a number."""
MOST_EXPONENT = 400
"""Largest exponent of a power; the value of a larger one is not computed."""
ROUNDED_DIGITS = 6
"""Fewest significant digits of a decimal that stands for a fraction without an exact decimal."""

WHOLE = rf"(?:\d{{1,3}}(?:[,{THIN_SPACE}]\d{{3}})+(?!\d)|\d+)"
DECIMAL = rf"(?:{WHOLE}(?:\.\d*)?|\.\d+)"
EXPONENT = r"\^\s*\{?\s*([-+]?\d+)\s*\}?"
NUMBER = re.compile(
    rf"(?P<mixed_whole>{WHOLE})\s+(?P<mixed_top>\d+)\s*/\s*(?P<mixed_bottom>\d+)"
    rf"|(?P<top>-?{WHOLE})\s*/\s*(?P<bottom>-?{WHOLE})"
    rf"|10\s*{EXPONENT.replace('([', '(?P<ten>[')}"
    rf"|(?P<fixed>{WHOLE}?\.\d*)\\overline\s*\{{?(?P<period>\d+)\}}?"
    rf"|(?P<base>{WHOLE})\s*{EXPONENT.replace('([', '(?P<power>[')}"
    rf"|(?P<mantissa>{DECIMAL})"
    rf"(?:[eE](?P<e>[-+]?\d+)(?!\w)|\s*[×*x]\s*10\s*{EXPONENT.replace('([', '(?P<times>[')})?"
)
SIGN = re.compile(r"(?P<sign>[-+]?)\s*(?:(?:US|USD|AUD|CAD)?\s*(?P<currency>[$€£¥₹])\s*(?P<late_sign>[-+]?))?\s*")
PERCENT = re.compile(r"(?:%|per\s?cent(?:age)?\b|pct\b)\.?", re.IGNORECASE)
SPACED_WHOLE = re.compile(r"(?<![\d.,])(\d{1,3})((?: \d{3})+)(?![\d./])")
OPPOSITE = re.compile(r"-\s*\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class LiteralNumber:
    """A literal number, e.g. ``12.50`` or ``1 3/4 cm``.

    Attributes:
        form: How it is written: the kind and its parts. Two numbers of the same form look alike.
        value: Its value; of a percentage the number before the sign.
        unit: See ``units.unit_of``.
    """

    form: tuple[Kind, tuple[Fraction, ...]]
    value: Fraction
    unit: str = ""

    @property
    def kind(self) -> Kind:
        """The kind of its form."""
        return self.form[0]


def read_literal(text: str, *, powers: bool = False) -> LiteralNumber | None:
    """Parse a text that consists of one literal number and perhaps its unit; None for other texts.

    Args:
        text: Plain or LaTeX.
        powers: Whether a power of whole numbers (``2^10``) is a literal.
    """
    if len(text) > MOST_CHARACTERS:
        return None
    bare = _unwrapped(plain(text).removesuffix(".").strip())
    bare = SPACED_WHOLE.sub(lambda found: found[1] + found[2].replace(" ", ""), bare)
    if (opposite := OPPOSITE.fullmatch(bare)) and (inner := _unsigned(opposite[1], "", powers)):
        return _signed(inner, -1)
    opening = SIGN.match(bare)
    assert opening is not None  # it matches the empty text
    number = _unsigned(bare[opening.end() :], opening["currency"] or "", powers)
    return number and _signed(number, -1 if (opening["sign"] == "-") != (opening["late_sign"] == "-") else 1)


def literals_in(text: str) -> frozenset[tuple[Kind, tuple[Fraction, ...]]]:
    """The forms of the unsigned literal numbers in a text."""
    found = set()
    plainer = plain(text)
    position = 0
    while (match := NUMBER.search(plainer, position)) is not None:
        position = match.end()
        before = plainer[: match.start()][-1:]
        if (number := _value(match, powers=True)) is not None and not (before.isalnum() or before == "_"):
            percent = PERCENT.match(plainer, match.end()) or PERCENT.match(plainer, match.end() + 1)
            found.add(("percent", (number.value,)) if percent else number.form)
    return frozenset(found)


def same_number(said: LiteralNumber, reference: LiteralNumber) -> bool:
    """Whether two literals have the same value, and no different units.

    Where one is a percentage and the other is not, 25 % is both 25 and 0.25.
    """
    if said.unit and reference.unit and said.unit != reference.unit:
        return False
    percents = (said.kind == "percent") + (reference.kind == "percent")
    if percents != 1:
        return _equal(said, reference)
    percentage, other = (said, reference) if said.kind == "percent" else (reference, said)
    return other.value in {percentage.value, percentage.value / 100}


def _unwrapped(text: str) -> str:
    """The text without dollar signs, brackets or set braces around all of it."""
    for opening, closing in (("$", "$"), ("(", ")"), (r"\{", r"\}"), ("{", "}")):
        inner = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and inner and not set(inner) & set("(){}"):
            text = inner.strip()
    return text


def _unsigned(text: str, currency: str, powers: bool) -> LiteralNumber | None:
    match = NUMBER.match(text)
    if match is None or (number := _value(match, powers)) is None:
        return None
    rest = text[match.end() :].strip().removesuffix("$").rstrip()
    if percent := PERCENT.match(rest):
        return None if rest[percent.end() :].strip() else LiteralNumber(("percent", (number.value,)), number.value)
    scale, _, further = rest.partition(" ")
    if factor := SCALES.get(scale.lower()):
        value = number.value * factor
        number, rest = LiteralNumber(("decimal", (value,)), value), further
    unit = unit_of(rest)
    money = unit_of(currency) if currency else ""
    if unit is None:
        return None
    return LiteralNumber(number.form, number.value, money or unit)


def _signed(number: LiteralNumber, sign: int) -> LiteralNumber:
    if sign == 1:
        return number
    first, *others = number.form[1]
    return LiteralNumber((number.kind, (-first, *others)), -number.value, number.unit)


def _value(match: re.Match[str], powers: bool) -> LiteralNumber | None:
    """The number of a match; None where it is too large, divides by zero, or is a power that is not a literal."""
    if match["mixed_top"]:
        parts = [_whole(match[name]) for name in ("mixed_whole", "mixed_top", "mixed_bottom")]
        return _number("mixed", parts, parts[0] + parts[1] / parts[2]) if parts[2] else None
    if match["top"]:
        top, bottom = _whole(match["top"]), _whole(match["bottom"])
        return _number("fraction", [top, bottom], top / bottom) if bottom else None
    if match["period"]:
        return _repeating(match["fixed"], match["period"])
    if match["ten"] or match["times"] or match["e"]:
        return _scientific(match["mantissa"] or "1", match["ten"] or match["times"] or match["e"])
    if match["power"]:
        return _power(match["base"], match["power"]) if powers else None
    value = _decimal(match["mantissa"])
    return _number("decimal", [value], value)


def _number(kind: Kind, parts: list[Fraction], value: Fraction) -> LiteralNumber:
    return LiteralNumber((kind, tuple(parts)), value)


def _whole(digits: str) -> Fraction:
    return Fraction(int(digits.replace(",", "").replace(THIN_SPACE, "")))


def _decimal(digits: str) -> Fraction:
    whole, _, places = digits.replace(",", "").replace(THIN_SPACE, "").partition(".")
    return Fraction(int(whole + places or "0"), 10 ** len(places))


def _scientific(mantissa: str, exponent: str) -> LiteralNumber | None:
    if len(exponent) > 5 or abs(int(exponent)) > MOST_EXPONENT:
        return None
    parts = [_decimal(mantissa), Fraction(int(exponent))]
    return _number("scientific", parts, parts[0] * Fraction(10) ** int(exponent))


def _power(base: str, exponent: str) -> LiteralNumber | None:
    root = _whole(base)
    if len(base) > 12 or len(exponent) > 5 or abs(int(exponent)) > MOST_EXPONENT or (not root and int(exponent) <= 0):
        return None
    return _number("power", [root, Fraction(int(exponent))], root ** int(exponent))


def _repeating(fixed: str, period: str) -> LiteralNumber:
    places = len(fixed.partition(".")[2])
    start = _decimal(fixed)
    value = start + Fraction(int(period), (10 ** len(period) - 1) * 10**places)
    return _number("repeating", [start, Fraction(int(period)), Fraction(len(period))], value)


def _equal(one: LiteralNumber, other: LiteralNumber) -> bool:
    if one.value == other.value:
        return True
    exact = {"fraction", "mixed", "repeating"}
    if one.kind in exact:
        one, other = other, one
    if one.kind not in {"decimal", "scientific"} or other.kind not in exact or _ends(other.value):
        return False
    return _rounds(one, other.value)


def _ends(value: Fraction) -> bool:
    """Whether the value has an exact decimal."""
    bottom = value.denominator
    for prime in (2, 5):
        while bottom % prime == 0:
            bottom //= prime
    return bottom == 1


def _rounds(decimal: LiteralNumber, value: Fraction) -> bool:
    """Whether a decimal with enough significant digits is ``value`` rounded or cut off."""
    mantissa, unit = decimal.form[1][0], Fraction(1)
    places = 0
    while (mantissa * 10**places).denominator != 1:
        places += 1
    if decimal.kind == "scientific":
        unit = Fraction(10) ** int(decimal.form[1][1])
    significant = len(str(abs(int(mantissa * 10**places))))
    beyond = (abs(value) - abs(decimal.value)) * 10**places / unit
    same_sign = (value > 0) == (decimal.value > 0)
    return same_sign and significant >= ROUNDED_DIGITS and -Fraction(1, 2) <= beyond < 1
