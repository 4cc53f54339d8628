"""Which samples the report shows, and how much of them."""

from hypothesis import given
from hypothesis import strategies as st

from rekindle.observability.report.sample_choice import TEXT, chosen


def line(step, reward=0.0, **others):
    return {"step": step, "split": "train", "reward": reward, "prompt": "", "completion": "", **others}


def why(found, step):
    return set().union(*(one.why for one in found if one.line["step"] == step))


def test_ends_extremes_and_cut_ones_of_a_long_run():
    lines = [line(step) for step in range(1, 1001) for _ in range(4)]
    lines[1200] |= {"reward": 9.0}
    lines[1300] |= {"reward": -9.0}
    lines[1400] |= {"truncated": True}
    found, count = chosen(lines, 1000)
    assert count == 4000
    assert [one.place for one in found] == sorted({one.place for one in found})
    reasons = {one.place: one.why for one in found}
    assert (reasons[1200], reasons[1300], reasons[1400]) == ({"best"}, {"worst"}, {"truncated"})
    assert [step for step in range(1, 1001) if "first" in why(found, step)] == [1, 2, 3]
    assert [step for step in range(1, 1001) if "last" in why(found, step)] == [996, 997, 998, 999, 1000]
    between = {one.line["step"] for one in found if not one.why}
    assert len(between) >= 15
    assert max(between) - min(between) > 800


def test_of_equal_rewards_the_latest_are_shown():
    found, _ = chosen([line(step, reward=1.0) for step in range(1, 101)], 100)
    assert {one.line["step"] for one in found if "best" in one.why} == set(range(89, 101))


def test_held_out_samples_have_their_own_places():
    lines = [line(step, split=split) for step in range(1, 101) for split in ("held_out", "train")]
    found, _ = chosen(lines, 100)
    assert sum(one.line["split"] == "train" for one in found) == sum(one.line["split"] == "held_out" for one in found)


def test_a_megabyte_is_kept_as_its_beginning_and_its_end():
    (one,), _ = chosen([line(1, completion="a" * 500_000 + "b" * 500_000)], 1)
    text = one.line["completion"]
    assert len(text) < TEXT + 100
    assert text.startswith("aaa")
    assert text.endswith("bbb")
    assert "[980,000 characters left out]" in text


@given(
    st.lists(st.tuples(st.integers(0, 40), st.none() | st.floats(0, 1), st.booleans()), max_size=300),
    st.integers(0, 40),
)
def test_the_choice_is_bounded_and_the_same_again(rows, last):
    lines = [line(step, reward, truncated=cut) for step, reward, cut in sorted(rows, key=lambda row: row[0])]
    found, count = chosen(lines, last)
    assert count == sum(step <= last for step, *_ in rows)
    assert len(found) <= min(count, 250)
    assert [one.place for one in found] == [one.place for one in chosen(iter(lines), last)[0]]
