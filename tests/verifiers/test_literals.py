"""Literal numbers are read and compared exactly; what still has to be worked out is none."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.verifiers.literals import MOST_CHARACTERS, literals_in, read_literal, same_number
from rekindle.verifiers.plain_text import plain
from rekindle.verifiers.results import compare


@pytest.mark.parametrize(
    ("text", "kind", "value", "unit"),
    [
        ("72", "decimal", "72", ""),
        (" -1,234.50 ", "decimal", "-1234.5", ""),
        ("$18.", "decimal", "18", "dollar"),
        ("\\$18.00", "decimal", "18", "dollar"),
        ("$18$", "decimal", "18", ""),
        ("-$5", "decimal", "-5", "dollar"),
        ("US$5", "decimal", "5", "dollar"),
        ("10{,}000", "decimal", "10000", ""),
        ("10\u2009000\u2009000", "decimal", "10000000", ""),
        ("\u22125", "decimal", "-5", ""),
        (".5", "decimal", "1/2", ""),
        ("007", "decimal", "7", ""),
        ("\uff11\uff12", "decimal", "12", ""),
        ("\u0663", "decimal", "3", ""),
        ("1.5e3", "scientific", "1500", ""),
        ("2 \\times 10^{-2}", "scientific", "1/50", ""),
        ("10\u2076", "scientific", "1000000", ""),
        ("3/4", "fraction", "3/4", ""),
        ("\\tfrac34", "fraction", "3/4", ""),
        ("-(3/4)", "fraction", "-3/4", ""),
        ("\u00be", "fraction", "3/4", ""),
        ("2\\frac{3}{4}", "mixed", "11/4", ""),
        ("2\u00be", "mixed", "11/4", ""),
        ("0.1\\overline{6}", "repeating", "1/6", ""),
        ("50%", "percent", "50", ""),
        ("50 per cent", "percent", "50", ""),
        ("5 apples", "decimal", "5", ""),
        ("5cm", "decimal", "5", "cm"),
        ("5\\text{ sq. cm}", "decimal", "5", "cm^2"),
        ("5\\text{ m/s}", "decimal", "5", "m per second"),
        ("5 hours", "decimal", "5", "hour"),
        ("1.5 million", "decimal", "1500000", ""),
        ("**42**", "decimal", "42", ""),
    ],
)
def test_literals(text, kind, value, unit):
    number = read_literal(text)
    assert number is not None
    assert (number.kind, number.value, number.unit) == (kind, Fraction(value), unit)


@pytest.mark.parametrize(
    "text",
    [
        *["", "-", ".", "1,23", "x=5", "5x", "5 x", "5i", "17+25", "2*3", "9**9", "2^10", "2^{2^2}", "4!", "sqrt 4"],
        *["inf", "nan", "five", "about 5", "5 or 6", "5 or more", "5 is wrong", "1/0", "1 2/0", "1e99999", "10^99999"],
        *["52_8", "3:4", "(1,2)", "--5", "5-", "\\frac{1}{x}", "\\sqrt{4}", "1" * (MOST_CHARACTERS + 1)],
    ],
)
def test_texts_other_than_literals(text):
    assert read_literal(text) is None


@pytest.mark.parametrize("text", ["2^10", "2^{10}", "2**10", "2\u00b9\u2070"])
def test_powers_are_literals_only_by_option(text):
    number = read_literal(text, powers=True)
    assert number is not None
    assert number.value == 1024
    assert read_literal(text) is None
    assert compare(f"\\boxed{{{text}}}", "1024") is False
    assert compare(f"\\boxed{{{text}}}", "1024", powers=True) is True
    assert compare(f"\\boxed{{{text}}}", "1024", f"What is {text}?", powers=True) is False


@pytest.mark.parametrize("text", ["2^99999", "0^{-1}", "9^{9^9}", "9^400^400", "1234567890123^2"])
def test_powers_are_bounded(text):
    assert read_literal(text, powers=True) is None


def test_the_numbers_of_a_text_by_form():
    assert literals_in("Of 3/4, 25% and 1.50 kg, x2 or 7") == {
        ("fraction", (3, 4)),
        ("percent", (25,)),
        ("decimal", (Fraction(3, 2),)),
        ("decimal", (7,)),
    }


NUMBERS = st.integers(-(10**12), 10**12)


@settings(max_examples=25)
@given(number=NUMBERS, other=NUMBERS)
def test_integers_in_any_dress_are_compared_by_value(number, other):
    latex = f"{number:,}".replace(",", "{,}")
    for dressed in (f"{number}", f"{number:,}", f"{number}.00", f"{number:,}.", latex, latex.replace("{,}", "\\,")):
        for text in (f"\\boxed{{{dressed}}}", f"because\n#### {dressed}", f"The answer is {dressed}"):
            assert compare(text, str(other)) is (number == other)
            assert compare(text, str(number)) is True


@settings(max_examples=50)
@given(number=st.fractions(max_denominator=1000), places=st.integers(0, 12))
def test_decimals_are_exact_but_for_fractions_without_one(number, places):
    cut = read_literal(f"{float(round(number, places)):.{places}f}")
    reference = read_literal(f"{number.numerator}/{number.denominator}")
    assert cut is not None
    assert reference is not None
    if same_number(cut, reference):
        has_decimal = 10**24 % number.denominator == 0
        assert cut.value == number or not has_decimal
        assert abs(cut.value - number) <= abs(number) / 10**5


@given(
    st.text(alphabet="0123456789.,$-+/*^{}\\ #boxed answer\n=()%"), st.sampled_from(["7", "1,2", "B", "x^2", "east"])
)
def test_no_text_breaks_the_rule(text, reference):
    compare(text, reference, text)


@given(st.text(max_size=40))
def test_any_text_has_a_plain_form_that_stays(text):
    assert isinstance(plain(text), str)
