"""Which rollouts of a step are kept, and the lines of samples.jsonl."""

import math
from dataclasses import replace

import pytest
from test_loop import finish, opened

from rekindle.observability.metrics import read_metrics
from rekindle.observability.runs import load_run
from rekindle.records.rollout_samples import SampleRecorder, spread
from rekindle.scheduling.group_records import records_of
from rekindle.types import Fate, Group, GroupRequest, Outcome, Rollout, outcome_of


def rollout(reward, text="w", **fields):
    return Rollout(
        token_ids=[*b"ab", *text.encode()],
        loss_mask=[False] * 2 + [True] * len(text),
        logprobs=[0.0] * (2 + len(text)),
        reward=reward,
        text=text,
        **fields,
    )


def request(number, n=1, temperature=1.0):
    return GroupRequest(
        id=number, task_id=f"t{number}", row=number, n=n, temperature=temperature, seed=0, version=3, step=5
    )


def recorded(most, groups, *, order=1):
    """Lines for groups given as {request id: [rollouts]}, told in this order or the reverse."""
    recorder = SampleRecorder(most, lambda ids: bytes(ids).decode())
    records = []
    for number, rollouts in list(groups.items())[::order]:
        one = request(number, len(rollouts))
        recorder.note(one, rollouts)
        outcome = outcome_of([each.reward for each in rollouts])
        records += records_of(Group(request=one, rollouts=tuple(rollouts), outcome=outcome), Fate.TRAINED)
    return recorder.drain(5, 4, records)


WRONG, RIGHT = rollout(0.0, "no"), rollout(1.0, "yes")
STEP = {
    1: [WRONG, WRONG],
    2: [WRONG, RIGHT],
    3: [RIGHT, RIGHT],
    4: [rollout(0.0, "down", failure="judge", void=True), RIGHT],
    5: [RIGHT, WRONG],
    6: [WRONG],
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, [(2, 1.0)]),
        (2, [(2, 1.0), (2, 0.0)]),
        (3, [(1, 0.0), (2, 1.0), (2, 0.0)]),
        (4, [(1, 0.0), (2, 1.0), (2, 0.0), (3, 1.0)]),
        (7, [(1, 0.0), (2, 1.0), (2, 0.0), (3, 1.0), (4, 1.0), (5, 1.0), (5, 0.0)]),
        (99, [(1, 0.0), (2, 1.0), (2, 0.0), (3, 1.0), (4, 1.0), (5, 1.0), (5, 0.0), (6, 0.0)]),
    ],
)
def test_the_few_are_spread_over_outcomes_whatever_the_order_of_arrival(most, expected, order):
    assert [(line["request_id"], line["reward"]) for line in recorded(most, STEP, order=order)] == expected


def test_a_line_by_hand():
    (line,) = recorded(1, {2: [rollout(1.0, "yes!", truncated=True, version=3, turns=1)]})
    assert line == {
        "step": 5, "version": 3, "split": "train", "role": "solver", "task_id": "t2", "request_id": 2,
        "outcome": "all_correct", "fate": "trained", "temperature": 1.0, "reward": 1.0, "truncated": True,
        "generated_tokens": 4, "turns": 1, "failure": None, "prompt": "ab", "completion": "yes!",
        "rewards": {}, "audits": {}, "answer": None,
    }  # fmt: skip


def test_a_completion_without_tokens_a_conversation_and_a_reward_that_json_has_not():
    silent, talk = rollout(0.0, ""), rollout(math.nan, "ask", transcript="ask <information>found</information>")
    first, second = recorded(2, {1: [silent], 2: [talk]})
    assert (first["prompt"], first["completion"], first["generated_tokens"]) == ("ab", "", 0)
    assert second["completion"].endswith("found</information>")
    assert second["reward"] is None


def test_the_outcome_of_a_topped_up_group_is_that_of_the_whole():
    recorder, first, more = SampleRecorder(4, str), request(1), request(2)
    for one, rollouts in ((first, [WRONG]), (more, [RIGHT])):
        recorder.note(one, rollouts)
    group = Group(request=first, rollouts=(WRONG, RIGHT), outcome=Outcome.MIXED, topped_up=(more,))
    lines = recorder.drain(1, 0, records_of(group, Fate.EXCESS))
    assert [(line["outcome"], line["fate"]) for line in lines] == [("mixed", "excess")] * 2


def test_proposers_and_held_out_prompts_have_lines_of_their_own_and_a_step_begins_empty():
    recorder = SampleRecorder(1, str)
    recorder.note(request(1), [WRONG])
    for temperature in (1.0, 0.0):
        recorder.note_held_out(replace(request(7), temperature=temperature), [RIGHT, WRONG])
    lines = recorder.drain(5, 4, proposed=[(request(-1), [RIGHT])])
    assert [(line["split"], line["role"], line["reward"]) for line in lines] == [
        ("train", "proposer", 1.0), ("train", "solver", 0.0), ("held_out", "solver", 1.0), ("held_out", "solver", 1.0)
    ]  # fmt: skip
    assert [line["temperature"] for line in lines[2:]] == [1.0, 0.0]
    assert {line["version"] for line in lines[2:]} == {4}
    assert recorder.drain(6, 4) == []


def test_none_are_kept_where_none_are_wanted():
    assert recorded(0, STEP) == []


@pytest.mark.parametrize(("count", "most", "rows"), [(10, 2, [0, 5]), (3, 5, [0, 1, 2]), (7, 3, [0, 2, 4]), (4, 0, [])])
def test_held_out_prompts_are_evenly_spread(count, most, rows):
    assert list(spread(count, most)) == rows


def test_a_run_keeps_samples_and_completion_metrics_and_a_resumed_one_the_same(quick_config, tmp_path):
    config = quick_config("recycle", "engine.max_new_tokens=5", "checkpoint.keep=9")
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    finish(config, whole)
    with opened(config, halves) as loop:
        loop.begin()
        for _ in range(3):  # killed after a step behind its last checkpoint
            loop.do_step()
    finish(config, halves, resume=True)
    assert (whole / "samples.jsonl").read_bytes() == (halves / "samples.jsonl").read_bytes()
    samples, metrics = load_run(whole).samples, read_metrics(whole / "metrics.jsonl")
    trained = [line for line in samples if line["split"] == "train"]
    held_out = [line for line in samples if line["split"] == "held_out"]
    assert {line["step"] for line in trained} == {1, 2, 3, 4}
    assert {line["step"] for line in held_out} == {0, 3, 4}
    assert len(held_out) == 3 * 2 * 2
    assert len({line["task_id"] for line in held_out}) == 2, "the same prompts in every evaluation"
    assert all(line["prompt"] and len(line["completion"]) <= line["generated_tokens"] for line in samples)
    assert metrics[0]["completion/length_mean"] is metrics[0]["completion/truncated"] is None
    for line in metrics[1:]:
        assert line["completion/length_mean"] == line["generated_tokens"] / line["rollouts"]
        assert 0 <= line["completion/truncated"] <= 1
    assert any(line["completion/truncated"] for line in metrics[1:])
