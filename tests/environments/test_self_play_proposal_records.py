"""Rewards and fates of proposals, worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.environments.self_play.proposal_records import (
    assign_rewards,
    played_tasks,
    proposal_records,
    unsolved_rows,
)
from rekindle.environments.self_play.proposals import Proposal, Reason
from rekindle.environments.self_play.rewards import difficulty, intermediate, proposer_reward
from rekindle.learning.aggregation import group_token_mean
from rekindle.learning.credit import Credit
from rekindle.learning.estimators import ESTIMATORS
from rekindle.scheduling.group_records import GroupRecord
from rekindle.types import Fate, GroupRequest, Outcome, Rollout, Task

SEED = Task("seed/1", "Paris", "Paris")


def credit(estimator="reinforce", weight=1.0):
    return Credit(ESTIMATORS[estimator], group_token_mean, weight=weight)


def proposal(number, *, valid=True, reason=None, void=False, n=1):
    """A proposal of two sampled tokens; a valid one has the task "t<number>"."""
    request = GroupRequest(id=-number, task_id="seed/1", row=0, n=n, temperature=1.0, seed=number, version=3, step=7)
    rollout = Rollout(
        token_ids=[5, 6, 7],
        loss_mask=[False, True, True],
        logprobs=[0.0, -1.0, -2.0],
        reward=0.0,
        void=void,
        failure="retriever" * void,
    )
    accepted = valid and not void and reason is None
    task = Task(f"t{number}", "Capital of France?", "Paris") if accepted else None
    return Proposal(request, SEED, 2, rollout, "Capital of France?", reason, task=task)


def solved(number, rewards, outcome=Outcome.MIXED, fate=Fate.TRAINED):
    request = GroupRequest(
        id=number, task_id=f"t{number}", row=number, n=len(rewards), temperature=1.0, seed=0, version=3, step=7
    )
    return GroupRecord(request=request, fate=fate, outcome=outcome, reward_sum=sum(rewards))


def lost(number):
    return GroupRecord(
        request=GroupRequest(
            id=number, task_id=f"t{number}", row=number, n=4, temperature=1.0, seed=0, version=3, step=7
        ),
        fate=Fate.FAILED,
    )


@pytest.mark.parametrize(
    ("success", "hard", "middle"), [(0.0, 1.0, 0.0), (0.25, 0.75, 0.75), (0.5, 0.5, 1.0), (1.0, 0.0, 0.0)]
)
def test_rewards_by_hand(success, hard, middle):
    assert difficulty(success) == hard
    assert intermediate(success) == pytest.approx(middle)
    assert proposer_reward("difficulty", 0.0, 1.0)(success) == hard
    assert proposer_reward("intermediate", 0.0, 1.0)(success) == pytest.approx(middle)


@pytest.mark.parametrize(("extremes", "expected"), [(True, [1.0, 1.5, 1.5, 0.0]), (False, [0.0, 1.5, 1.5, 0.0])])
def test_intermediate_difficulty_by_hand_with_and_without_its_extremes(extremes, expected):
    """4 (0.25 + s) (1 - s) at s = 0, 1/4, 1/2 and 1."""
    reward = proposer_reward("intermediate", 0.25, 1.0, extremes=extremes)
    assert [reward(success) for success in (0.0, 0.25, 0.5, 1.0)] == expected
    wide = proposer_reward("intermediate", 0.5, 1.0, extremes=extremes)
    assert wide(1.0) == 0.0
    assert wide(0.0) == (2.0 if extremes else 0.0)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1))
def test_no_reward_is_negative(success, low, high):
    assert proposer_reward("intermediate", low, high)(success) >= 0
    assert difficulty(success) >= 0


def test_intermediate_bounds_move_the_optimum():
    narrow = proposer_reward("intermediate", 0.0, 0.5)
    assert narrow(0.25) == pytest.approx(4 * 0.25 * 0.25)
    assert narrow(0.75) == 0.0, "beyond high it would be negative"
    assert proposer_reward("intermediate", 0.25, 1.0)(0.0) == pytest.approx(1.0), "low pays for the unsolved"


def test_success_is_the_mean_over_all_requests_that_did_not_fail():
    rows = [solved(1, [1, 0, 0, 0]), solved(1, [1, 1, 0, 0]), solved(2, [1.0, 1.0]), lost(3), lost(1)]
    assert played_tasks(rows) == {"t1": 3 / 8, "t2": 1.0, "t3": None}


def test_valid_questions_earn_their_difficulty_and_invalid_ones_nothing():
    ones = [proposal(1), proposal(2), proposal(3, reason=Reason.LEAKS_ANSWER), proposal(4, void=True), proposal(5)]
    ones.append(proposal(6, reason=Reason.UNVERIFIED))
    assign_rewards(ones, {"t1": 0.25, "t2": 1.0}, difficulty)
    assert [one.reward for one in ones] == [0.75, 0.0, 0.0, None, None, None]
    assert [one.success for one in ones] == [0.25, 1.0, None, None, None, None]


def test_an_unsolved_question_is_invalid_where_it_is_refused():
    """Solved by one of four rollouts, by none, not played yet, its solvers failed; and one rejected by the filters."""
    ones = [proposal(1), proposal(2), proposal(3), proposal(4), proposal(5, reason=Reason.TOO_SHORT)]
    played = {"t1": 0.25, "t2": 0.0, "t4": None}
    assign_rewards(ones, played, difficulty, unsolved_refused=True)
    assert [one.reason for one in ones] == [None, Reason.UNSOLVED, None, None, Reason.TOO_SHORT]
    assert [one.valid for one in ones] == [True, False, True, True, False]
    assert [one.reward for one in ones] == [0.75, 0.0, None, None, 0.0]
    _, records = proposal_records(ones, played, credit(), learns=True)
    assert [one.fate for one in records] == [Fate.TRAINED, Fate.RETIRED, Fate.EXCESS, Fate.FAILED, Fate.RETIRED]
    assert [one.successes for one in records[:2]] == [1, 0], "a success is a valid question"
    allowed = [proposal(1), proposal(2)]
    assign_rewards(allowed, played, difficulty)
    assert [(one.reason, one.reward) for one in allowed] == [(None, 0.75), (None, 1.0)]


def test_unsolved_rows_are_those_whose_first_visit_had_no_success():
    """Row 1 is solved in its second request, row 2 in none, row 3 failed, row 4 was solved at an earlier visit."""
    again = solved(4, [0, 0])
    again.previous_outcome = Outcome.MIXED
    rows = [solved(1, [0, 0]), solved(1, [0, 1]), solved(2, [0, 0]), solved(2, [0, 0]), lost(3), again]
    assert unsolved_rows(rows) == [2]
    assert unsolved_rows([]) == []


def test_every_proposal_has_one_fate():
    ones = [
        proposal(1),  # solved sometimes: learned from
        proposal(2),  # always solved: reward 0, no signal
        proposal(3, reason=Reason.TOO_SHORT),  # invalid: earns 0
        proposal(4, void=True),  # the retriever was down
        proposal(5, reason=Reason.UNVERIFIED),  # the verifier was down
        proposal(6),  # not played this time
        proposal(7),  # its solvers failed
    ]
    played = {"t1": 0.25, "t2": 1.0, "t7": None}
    assign_rewards(ones, played, difficulty)
    samples, records = proposal_records(ones, played, credit(), learns=True)
    fates = [Fate.TRAINED, Fate.RETIRED, Fate.RETIRED, Fate.FAILED, Fate.FAILED, Fate.EXCESS, Fate.FAILED]
    assert [one.fate for one in records] == [one.fate for one in ones] == fates
    assert [one.request.id for one in records] == [-1, -2, -3, -4, -5, -6, -7]
    assert all(one.generated_tokens == 2 and one.prompt_tokens == 1 for one in records), "all of it was paid for"
    assert [sample.prompt_key for sample in samples] == [-1, -2, -3]
    assert [list(sample.advantages) for sample in samples] == [[0, 0.75, 0.75], [0, 0, 0], [0, 0, 0]]
    # Each of the three known proposals weighs a third, and its tokens share it.
    assert [sample.weight for sample in samples] == [pytest.approx(1 / 6)] * 3
    assert [one.successes for one in records[:3]] == [1, 1, 0], "a success is a valid question"
    assert [one.reward_sum for one in records[:3]] == [0.75, 0.0, 0.0]


def test_the_weight_scales_the_loss_of_the_role():
    ones = [proposal(1)]
    assign_rewards(ones, {"t1": 0.5}, difficulty)
    (sample,), _ = proposal_records(ones, {"t1": 0.5}, credit(weight=0.25), learns=True)
    assert sample.weight == 0.25 / 2


def test_a_proposer_that_does_not_learn_is_retired():
    ones = [proposal(1), proposal(2, valid=False, reason=Reason.NO_QUESTION)]
    assign_rewards(ones, {"t1": 0.0}, difficulty)
    samples, records = proposal_records(ones, {"t1": 0.0}, credit(), learns=False)
    assert samples == []
    assert [one.fate for one in records] == [Fate.RETIRED, Fate.RETIRED]


def test_centring_on_the_batch_also_teaches_from_invalid_questions():
    ones = [proposal(1), proposal(2, reason=Reason.NO_QUESTION)]
    assign_rewards(ones, {"t1": 0.0}, difficulty)
    samples, records = proposal_records(ones, {"t1": 0.0}, credit("batch_centred"), learns=True)
    assert [sample.advantages[1] for sample in samples] == [0.5, -0.5]
    assert [one.fate for one in records] == [Fate.TRAINED, Fate.TRAINED]


def test_proposals_of_one_seed_are_compared_by_a_group_estimator():
    first, second = proposal(1, n=2), proposal(1, n=2, reason=Reason.NO_QUESTION)
    third, fourth = proposal(2, n=2), proposal(2, n=2)
    fourth.task = Task("t4", "?", "Paris")
    ones, played = [first, second, third, fourth], {"t1": 0.0, "t2": 0.5, "t4": None}
    assign_rewards(ones, played, difficulty)
    samples, records = proposal_records(ones, played, credit("dr_grpo"), learns=True)
    assert [sample.advantages[1] for sample in samples] == [0.5, -0.5]
    assert [one.fate for one in records] == [Fate.TRAINED, Fate.FAILED], "a group with a lost member fails as a whole"
    assert [one.request.n for one in records] == [2, 2]
    assert records[0].outcome is Outcome.MIXED
