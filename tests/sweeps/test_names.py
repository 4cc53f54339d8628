"""Lists of seeds and recipes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.config import ConfigError
from rekindle.sweeps.names import named_recipes, named_seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-4", [0, 1, 2, 3, 4]), ("3", [3]), ("5-5", [5]), ("7,0-2, 4", [7, 0, 1, 2, 4]), ("007", [7])],
)
def test_lists_of_seeds(text, seeds):
    assert named_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--seeds '' is empty; write e.g. 0-4 or 0,3,7"),
        (" , ", "is empty"),
        ("1,,2", "has nothing between two commas or at an end"),
        ("3-1", "the range 3-1 goes down; write 1-3"),
        ("0-2,1", "names 1 twice"),
        ("-1", "'-1' is no seed and no range"),
        ("1-", "'1-' is no seed"),
        ("0..4", "'0..4' is no seed"),
        ("1.5", "'1.5' is no seed"),
        ("٣", "is no seed"),
        ("0-1000", "names 1,001 seeds, and a sweep has at most 1,000"),
        ("0-999,1000-1999", "names 2,000 seeds"),
        ("0-99999999999", "names 100,000,000,000 seeds"),
        ("9" * 5000, "99999999999999999999... is too large"),
    ],
)
def test_other_lists_are_refused_in_a_sentence(text, message):
    with pytest.raises(ConfigError) as caught:
        named_seeds(text)
    assert message in str(caught.value)
    assert len(str(caught.value).replace(text, "")) < 200


def test_recipes():
    assert named_recipes("grpo, recycle") == ["grpo", "recycle"]
    for text, message in (("", "is empty"), ("grpo,", "at an end"), ("erpo,grpo,erpo", "names erpo twice")):
        with pytest.raises(ConfigError, match=message):
            named_recipes(text)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), min_size=1, max_size=5))
def test_a_list_is_what_was_written_or_has_a_seed_twice(ranges):
    expected = [seed for first, more in ranges for seed in range(first, first + more + 1)]
    text = ",".join(f"{first}-{first + more}" for first, more in ranges)
    if len(set(expected)) == len(expected):
        assert named_seeds(text) == expected
    else:
        with pytest.raises(ConfigError, match="twice"):
            named_seeds(text)
