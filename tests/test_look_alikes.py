"""Letters that look like Latin ones."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.look_alikes import LOOK_ALIKES, latin, plain_characters


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("search", "search"),
        ("SEARCH", "search"),
        ("ｓｅａｒｃｈ", "search"),
        ("séärçh", "search"),
        ("s\u20dde\u0488a\u0301rch", "search"),
        ("𝐬𝑒𝒂𝓇𝔠𝕙", "search"),
        ("ѕеагсһ", "search"),
        ("ѕеаrсһ", "search"),
        ("ꜱᴇᴀʀᴄʜ", "search"),
        ("🅢🅴🅰🆁🅲🅷", "search"),
        ("ıİi", "iii"),
        ("ßﬁ", "ssfi"),
        ("ſ", "s"),
        ("東京 42", "東京 42"),
    ],
)
def test_what_a_word_looks_like(text, plain):
    assert "".join(map(latin, text)) == plain


def test_no_look_alike_is_a_latin_letter_or_a_mark():
    for letter, signs in LOOK_ALIKES.items():
        assert len(letter) == 1
        assert letter.isascii()
        assert len(set(signs)) == len(signs)
        for sign in signs:
            assert not sign.isascii()
            assert not unicodedata.category(sign).startswith("M")


@given(st.characters())
def test_folding_is_stable(character):
    once = "".join(map(latin, character))
    assert "".join(map(latin, once)) == once
    assert "".join(map(plain_characters, plain_characters(character))) == plain_characters(character)
