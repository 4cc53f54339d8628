"""When the watch over audits speaks: about a gap that grows, or is wide from the start, and about no other."""

import json

import pytest

from rekindle.records.audit_watch import GROUPS, AuditWatch
from rekindle.records.tally import RewardTally
from rekindle.types import GroupRequest, Rollout, Task
from rekindle.verifiers.audited import AuditedVerifier, verifier_audit
from rekindle.verifiers.functions import LocalFunction
from rekindle.verifiers.last_number import LastNumberVerifier
from rekindle.verifiers.verifier import Written, judged
from rekindle.verifiers.weighted import WeightedVerifier, function_part


def request(number):
    return GroupRequest(
        id=number, task_id=f"t{number}", row=0, n=4, temperature=1.0, seed=number, version=0, step=0
    )  # fmt: skip


def rollout(reward, audit, text="w", **fields):
    return Rollout(
        token_ids=[1, 2], loss_mask=[False, True], logprobs=[0.0, 0.0], reward=reward, text=text,
        audits={} if audit is None else {"strict": audit}, **fields,
    )  # fmt: skip


def said(*windows, watch=None, n=4):
    """Warnings for windows given as (share rewarded, share accepted by the audit)."""
    watch = watch or AuditWatch(1.0)
    texts = []
    for rewarded, accepted in windows:
        for number in range(GROUPS):
            rows = [number * n + place for place in range(n)]
            total = GROUPS * n
            spread = [(row * 37 % total) / total for row in rows]
            watch.note(request(number), [rollout(float(one < rewarded), float(one < accepted)) for one in spread])
        texts += watch.step()
    return texts


@pytest.mark.parametrize(
    ("windows", "begins"),
    [
        (
            [(0.5, 0.5), (0.97, 0.0)],
            "reward says 0.98, strict says 0.00 (at first reward says 0.50, strict says 0.50):",
        ),
        ([(0.6, 0.55), (0.7, 0.6), (0.9, 0.4)], "reward says 0.91, strict says 0.41 (at first "),
        ([(0.9, 0.1)], "reward says 0.91, strict says 0.10 (from the start):"),
    ],
)
def test_a_gap_that_grows_or_is_wide_is_said_once(windows, begins):
    (text,) = said(*windows, windows[-1])
    assert text.startswith(begins)
    assert "the policy may have found a hole in the verifier. Rewarded, and not accepted by strict: " in text
    assert text.count("(task t") == 3


@pytest.mark.parametrize(
    "windows",
    [
        [(0.5, 0.5)] * 4,
        [(0.8, 0.6)] * 4,  # a generous verifier
        [(0.5, 0.45), (0.9, 0.85)],  # both rise
        [(0.5, 0.4), (0.52, 0.38)],  # noise
        [(0.3, 0.1)],
        [(0.5, 0.9), (0.5, 0.5)],
    ],
)
def test_other_differences_are_not_said(windows):
    assert said(*windows) == []


def test_a_resumed_watch_goes_on_as_if_there_were_no_break():
    watch = AuditWatch(1.0)
    assert said((0.5, 0.5), watch=watch) == []
    watch.note(request(1), [rollout(1.0, 0.0)])
    restored = AuditWatch(1.0)
    restored.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    assert restored.state_dict() == watch.state_dict()
    assert said((0.97, 0.0), watch=restored) == said((0.97, 0.0), watch=watch) != []
    assert said((0.97, 0.0), watch=restored) == []


def test_rollouts_without_an_audit_count_for_nothing():
    watch = AuditWatch(1.0)
    for number in range(9 * GROUPS):
        watch.note(request(number), [rollout(1.0, None), rollout(1.0, 0.0, failure="x", void=True)])
        watch.note(request(number), [Rollout(token_ids=[1], loss_mask=[True], logprobs=[0.0], reward=1.0)])
    assert list(watch.step()) == []


def test_a_policy_that_learns_to_repeat_the_question_is_found_before_step_20():
    """The reward evaluates expressions, as our maths verifier once did; four groups a step, a tenth more each."""

    def evaluates(completions, answer):
        return [float(eval(text) == int(right)) for text, right in zip(completions, answer, strict=True)]

    reward = WeightedVerifier([function_part("value", 1.0, LocalFunction(evaluates, "r"))])
    verifier = AuditedVerifier(reward, [verifier_audit("last_number", 1.0, LastNumberVerifier())])
    watch, found = AuditWatch(0.5), {}
    for step in range(1, 20):
        for group in range(4):
            task = Task(f"t{group}", f"What is {group + 2} + 9?", str(group + 11))
            copied = min(8, step // 2)
            texts = [f"{group + 2} + 9"] * copied + [str(group + 11), "0"] * ((8 - copied) // 2)
            verdicts = judged(verifier, [(task, text) for text in texts], [Written(text) for text in texts])
            watch.note(request(group), [
                Rollout(token_ids=[1], loss_mask=[True], logprobs=[0.0], reward=one.score, text=text, audits=one.audits)
                for one, text in zip(verdicts, texts, strict=True)
            ])  # fmt: skip
        found |= dict.fromkeys(watch.step(), step)
    ((text, step),) = found.items()
    assert step < 20
    assert "the policy may have found a hole in the verifier" in text
    assert '"2 + 9" (task t0), "3 + 9" (task t1), "4 + 9" (task t2)' in text


def test_the_tally_means_what_applies_and_counts_rewarded_truncated_rollouts():
    tally = RewardTally(1.0)
    rewards = [{"a": 1.0, "b": None}, {"a": 0.0, "b": -3.0}]
    tally.note([rollout(1.0, 1.0, rewards=rewards[0], truncated=True), rollout(0.0, None, rewards=rewards[1])])
    tally.note([rollout(0.5, 0.0, truncated=True), rollout(1.0, 0.0)])
    tally.note([rollout(1.0, 1.0, truncated=True), rollout(0.0, None, failure="judge", void=True)])
    expected = {"reward/a": 0.5, "reward/b": -3.0, "audit/strict": 1 / 3, "completion/rewarded_truncated": 0.25}
    assert tally.drain() == expected
    assert tally.drain() == {}
