"""Words of questions: where marks end them, and where no spaces are written between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.environments.self_play.words import joined_words, split_words


@pytest.mark.parametrize(
    ("text", "joined", "split"),
    [
        ("Who wrote it?", "who wrote it", "who wrote it"),
        ("The U.S. rock-and-roll", "us rockandroll", "the u s rock and roll"),
        ("Paris's mayor", "pariss mayor", "paris s mayor"),
        ("The The", "the the", "the the"),
        ("A-ha!", "aha", "a ha"),
        ("!!!", "!!!", ""),
        ("? !", "? !", ""),
        ("", "", ""),
        # What normalisation keeps stays in both.
        ("C++ or C#", "c++ or c#", "c++ or c#"),
        ("10,000 at -5 or 3.5", "10000 at -5 or 3.5", "10000 at -5 or 3.5"),
        ("1861\u201365", "1861 65", "1861 65"),
        ("Café-Cre\u0300me", "cafecreme", "cafe creme"),
        ("Pa\u200bris", "paris", "pa ris"),
        # Without spaces: characters, with their vowel signs and tones.
        ("谁发明了iPhone？", "谁 发 明 了 iphone", None),
        ("กรุงเทพ", "ก รุ ง เ ท พ", None),
        ("ວຽງຈັນ", "ວ ຽ ງ ຈັ ນ", None),
        ("ភ្នំ", "ភ្ នំ", None),
        ("བོད་", "བོ ད", None),
        ("Thai ไทยx", "thai ไ ท ย x", None),
        # With spaces: words, whatever the script.
        ("दिल्ली कहाँ", "दिल्ली कहाँ", None),
        ("Москва?", "москва", None),
    ],
)  # fmt: skip
def test_words(text, joined, split):
    assert joined_words(text) == tuple(joined.split())
    assert split_words(text) == tuple((joined if split is None else split).split())


@given(st.text())
def test_no_word_of_any_text_is_empty_or_has_white_space(text):
    assert all(word and not any(map(str.isspace, word)) for word in joined_words(text) + split_words(text))
