"""Plain answers are decided here, exactly; what is not plain is left alone."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.verifiers.plain_numbers import boxed_contents, plain_number, quick_equal


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("72", "72"),
        (" -1,234.50 ", "-1234.50"),
        ("$18.", "18"),
        ("\\$18.00", "18"),
        ("10{,}000", "10000"),
        ("\u22125", "-5"),
        (".5", "0.5"),
        ("+3", "3"),
        ("007", "7"),
    ],
)
def test_plain_numbers(text, number):
    assert plain_number(text) == Decimal(number)


@pytest.mark.parametrize(
    "text",
    ["", "-", ".", "1,23", "3/4", "50%", "1e5", "x=5", "(3)", "5 apples", "9**9", "\u0663", "inf", "nan", "1" * 41],
)
def test_texts_other_than_plain_numbers(text):
    assert plain_number(text) is None


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        (r"so \boxed{42}.", ["42"]),
        (r"\boxed{\frac{1}{2}} then \boxed{ 3 }", [r"\frac{1}{2}", " 3 "]),
        (r"\boxed{\{1, 2\}}", [r"\{1, 2\}"]),
        (r"\boxed{\frac{1}{2}", []),
        (r"\boxed{1} and \boxed{2", ["1"]),
        (r"\boxed{\boxed{7}}", [r"\boxed{7}"]),
        ("none", []),
    ],
)
def test_boxed_contents(text, contents):
    assert boxed_contents(text) == contents


@pytest.mark.parametrize(
    ("text", "answer", "equal"),
    [
        (r"It is 7, so \boxed{42}", "42", True),
        (r"\boxed{42} and 43", "43", False),
        (r"\boxed{1,234}", "1234", True),
        (r"\boxed{42.0}", "42", True),
        (r"\boxed{42} is \boxed{42}", "42", True),
        (r"\boxed{1} or \boxed{2}", "2", None),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", True),
        (r"\boxed{0.5}", r"\frac{1}{2}", None),
        (r"\boxed{3.14}", "3.14159", None),
        (r"\boxed{3.5}", "3", None),
        (r"\boxed{42", "42", None),
        ("#### 41\n#### 42", "42", True),
        ("#### 42\nNext question: 17", "42", True),
        ("#### 42", "43", False),
        ("#### 42 apples", "42", None),
        ("#### ", "42", None),
        ("The answer is $1,234.", "1234", True),
        ("The answer is **42**!", "42", True),
        ("Of 3 the answer is 42", "3", False),
        ("The answer to question 3 is 42", "42", None),
        ("12 + 30 = 42 apples", "42", True),
        ("so x = 3 / 4", "4", None),
        ("so 3 / 4 = x", "4", None),
        ("2^4", "4", None),
        ("(3,4)", "4", None),
        (r"so $\frac{3}{4}$", "4", None),
        ("50%", "50", None),
        ("I do not know", "42", None),
        ("", "42", None),
    ],
)
def test_quick_equal(text, answer, equal):
    assert quick_equal(text, [answer]) is equal


def test_one_of_several_answers_is_enough():
    assert quick_equal(r"\boxed{2}", ["1", "2"]) is True
    assert quick_equal(r"\boxed{3}", ["1", "2"]) is False
    assert quick_equal(r"\boxed{3}", ["1", "x"]) is None


@settings(deadline=None)
@given(number=st.integers(-(10**12), 10**12), other=st.integers(-(10**12), 10**12))
def test_integers_in_any_dress_are_compared_by_value(number, other):
    for dressed in (f"{number}", f"{number:,}", f"{number}.00", f"{number:,}.", f"{number:,}".replace(",", "{,}")):
        for text in (f"\\boxed{{{dressed}}}", f"because\n#### {dressed}", f"The answer is {dressed}"):
            assert quick_equal(text, [str(other)]) is (number == other)


@settings(deadline=None)
@given(st.text(alphabet="0123456789.,$-+/*^{}\\ #boxed answer\n"))
def test_no_text_breaks_it(text):
    assert quick_equal(text, ["7"]) in {True, False, None}
