"""Stop texts, with a decoder whose tokens give no, one or several characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.engines.stopping import StopTexts, contains_stop

PIECES = ["", "a", "b", "ab", "</", "answer", ">", "stop here", "\n\n"]


def decode(ids):
    return "".join(PIECES[token] for token in ids)


@pytest.mark.parametrize(
    ("ids", "stop", "expected"),
    [
        ([4, 5, 6], ["</answer>"], True),  # the text spans three tokens
        ([4, 5], ["</answer>"], False),
        ([3, 7], ["stop"], True),  # the token goes on after the text
        ([1, 2], ["x", "ab"], True),  # the second of two texts
        ([4, 0, 0, 5, 0, 6], ["</answer>"], True),  # special tokens in between
        ([4, 5, *[0] * 40, 6], ["</answer>"], True),  # more of them than the first look covers
        ([8], ["\n\n"], True),
        ([0], ["a"], False),
    ],
)
def test_cases(ids, stop, expected):
    assert contains_stop(ids, stop, decode) is expected


@given(st.lists(st.integers(0, 8), max_size=60), st.sampled_from(["ab", "</answer>", "aab", "\n\n", "b</"]))
def test_asked_after_every_token_it_finds_the_first_occurrence(ids, stop):
    found = next((count for count in range(1, len(ids) + 1) if contains_stop(ids[:count], [stop], decode)), None)
    expected = next((count for count in range(1, len(ids) + 1) if stop in decode(ids[:count])), None)
    assert found == expected


def test_the_tail_that_is_decoded_does_not_grow_with_the_completion():
    lengths = []

    def counting(ids):
        lengths.append(len(ids))
        return decode(ids)

    assert not contains_stop([1] * 5000, ["</answer>"], counting)
    assert lengths == [17]


def test_only_watched_rows_are_decoded():
    decoded = []

    def noting(ids):
        decoded.append(tuple(ids))
        return decode(ids)

    stops = StopTexts(noting)
    stops.watch(3, ())
    assert not stops
    stops.watch(4, ("ab",))
    stops.watch(5, ("</",))
    assert stops
    assert stops.completed([(3, 3), (4, 1), (5, 1)]) == set()
    assert stops.completed([(3, 3), (4, 2), (5, 1)]) == {4}
    assert decoded == [(1,), (1,), (1, 2), (1, 1)]
    stops.forget(4)
    stops.forget(3)
    assert stops.completed([(3, 4), (4, 4), (5, 4)]) == {5}
