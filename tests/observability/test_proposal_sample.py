"""Which proposals are shown."""

from hypothesis import given
from hypothesis import strategies as st

from rekindle.observability.self_play.proposal_sample import sampled


def lines(steps, per_step=8, valid=(0, 1)):
    return [
        {"step": step, "request_id": -place, "verdict": "valid" if place in valid else "known", "question": f"{step}?",
         "task_id": f"t/{step}" if place in valid else None, "documents": [{}] if place % 2 else []}
        for step in range(1, steps + 1) for place in range(per_step)
    ]  # fmt: skip


def test_they_are_spread_over_the_run_and_over_the_verdicts():
    shown = sampled(lines(90), 90, ()).lines
    assert [(line["step"] - 1) // 30 for line in shown] == [0, 0, 1, 1, 2, 2]
    for third in (shown[:2], shown[2:4], shown[4:]):
        assert {line["verdict"] for line in third} == {"valid", "known"}
    assert all(line["documents"] for line in shown)


def test_the_seed_decides_and_nothing_else():
    same = [sampled(lines(60), 60, ()).lines for _ in range(2)]
    assert same[0] == same[1] != sampled(lines(60), 60, (), seed=1).lines


def test_without_a_valid_one_there_are_as_many_others():
    shown = sampled(lines(30, valid=()), 30, ()).lines
    assert len(shown) == 6
    assert [(line["step"] - 1) // 10 for line in shown] == [0, 0, 1, 1, 2, 2]


def test_steps_that_are_not_finished_are_left_out():
    assert {line["step"] for line in sampled(lines(9), 2, ()).lines} == {1, 2}
    assert sampled(lines(9), 0, ()).lines == []


def test_questions_of_the_tasks_that_are_wanted():
    assert sampled(lines(9), 9, {"t/3", "t/9", "gone"}).questions == {"t/3": "3?", "t/9": "9?"}


@given(st.integers(0, 12), st.integers(0, 5), st.sets(st.integers(0, 4)))
def test_six_or_all_there_are(steps, per_step, valid):
    made = lines(steps, per_step, valid)
    shown = sampled(made, steps, ()).lines
    assert len(shown) == min(6, len(made))
    assert shown == [line for line in made if line in shown]
