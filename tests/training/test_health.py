"""What is said of a run that goes wrong: once, at once, with the likely cause; by tables."""

import json
import re
from dataclasses import replace

import pytest
from test_loop import Screen, finish, opened

from rekindle.notices import collecting, warn
from rekindle.observability.runs import load_run
from rekindle.recipes import resolve
from rekindle.records.audit_watch import GROUPS
from rekindle.records.health import HealthWatch
from rekindle.types import GroupRequest, Rollout


def rollout(reward=0.0, text="so it is 41", **fields):
    return Rollout(token_ids=[0, 1], loss_mask=[False, True], logprobs=[0.0, 0.0], reward=reward, text=text, **fields)


REQUEST = GroupRequest(id=1, task_id="t", row=0, n=1, temperature=1.0, seed=0, version=0, step=1)


@pytest.fixture
def watch(tmp_path):
    def made(*settings, held_out=200, answers=("42",)):
        path = tmp_path / "run.toml"
        path.write_text("[model]\npath = 'm'\n[task]\nsource = 'jsonl'\npath = 't.jsonl'\n[train]\nsteps = 300\n")
        return HealthWatch(resolve(path, None, settings), held_out, lambda row: answers)

    return made


@pytest.fixture
def tiny(quick_config):
    return lambda *settings: HealthWatch(quick_config("grpo", *settings), 200)


def said(watch, *rollouts, **metrics):
    watch.note(REQUEST, rollouts)
    return list(watch.step({key.replace("__", "/"): value for key, value in metrics.items()}))


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((), []),
        (("train.learning_rate=1e-5",), []),
        (("train.learning_rate=2e-5",), ["train.learning_rate = 2e-05 is high where all weights"]),
        (("optimizer.warmup_steps=300",), []),
        (("optimizer.warmup_steps=301",), ["longer than the run of at most 300 updates", "set it to 30"]),
        (("train.rollouts=2560", "optimizer.warmup_steps=12"), ["of at most 11 updates"]),
    ],
)
def test_settings_that_ruin_a_run_are_said_before_it(settings, words, watch):
    found = list(watch(*settings).begin())
    assert bool(found) == bool(words)
    assert all(word in found[0] for word in words)


def test_a_tiny_model_may_have_any_rate_and_is_told_of_its_warm_up(tiny):
    assert list(tiny("train.learning_rate=0.01", "optimizer.warmup_steps=4").begin()) == []
    assert len(list(tiny("optimizer.warmup_steps=5").begin())) == 1


# -- truncated completions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cut", "whole", "settings", "words"),
    [
        (16, 48, (), None),
        (
            17,
            47,
            (),
            "27% of the last 64 completions are truncated.*answers are longer than engine.max_new_tokens = 512",
        ),
        (63, 0, (), None),
        (64, 0, (), "100% .*does not end its answers: look for a missing end token or engine.stop"),
        (40, 24, ("task.environment=search", "retriever.corpus=c"), "raise search.max_turns or engine.max_new_tokens"),
    ],
)
def test_truncated_completions(cut, whole, settings, words, watch):
    one = watch(*settings)
    rights = [rollout(1.0)] * whole + [rollout(1.0, truncated=True)] * cut
    found = said(one, *rights)
    assert bool(found) == bool(words)
    if words:
        assert re.search(words, found[0])
        assert not [text for text in said(one, *rights) if "truncated" in text], "once"


def test_truncated_ones_are_counted_over_at_least_64_rollouts_of_several_steps(watch):
    one = watch()
    few = [rollout(1.0, truncated=True)] * 3 + [rollout(1.0)] * 5
    assert [len(said(one, *few)) for _ in range(20)] == [0] * 7 + [1] + [0] * 12


def test_old_rollouts_do_not_hide_new_ones(watch):
    one = watch()
    assert said(one, *[rollout(1.0)] * 640) == []
    assert len(said(one, *[rollout(1.0, truncated=True)] * 64)) == 1


# -- nothing was ever solved -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rollouts", "words"),
    [
        ([rollout()] * 127, None),
        ([rollout()] * 127 + [rollout(1.0)], None),
        ([rollout()] * 128, "the difficulty: the completions end, and the right answer is in none or few of them"),
        ([rollout(text="It is 42!")] * 20 + [rollout()] * 108, "the format of the answers: 16% .*does not accept it"),
        ([rollout(text="421 or 142")] * 128, "the difficulty"),
        ([rollout(text=" \n")] * 90 + [rollout()] * 38, "the prompt format: 70% of the completions are empty"),
        ([rollout(text="42", truncated=True)] * 128, "the length: 100% of the completions are truncated; raise engine"),
        ([rollout(failure="timeout")] * 128, "the verifier: 100% of them have no verdict"),
        ([rollout(void=True, failure="judge")] * 200, None),
    ],
)
def test_the_likely_cause_where_nothing_was_solved(rollouts, words, watch):
    found = [text for text in said(watch(), *rollouts) if "was right" in text]
    assert bool(found) == bool(words)
    if words:
        assert found[0].startswith("none of the first 128 rollouts was right. Likely cause: ")
        assert re.search(words, found[0])


def test_it_is_said_once_and_not_of_a_pool_in_which_something_was_solved(watch):
    one, other = watch(), watch()
    steps = [[rollout()] * 64] * 5
    assert [len(said(one, *step)) for step in steps] == [0, 1, 0, 0, 0]
    assert said(other, rollout(1.0)) == []
    assert [len(said(other, *step)) for step in steps] == [0] * 5


# -- greedy accuracy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "now", "held_out", "falls"),
    [
        (0.50, 0.36, 200, False),  # 0.72 of the start
        (0.50, 0.34, 200, True),
        (0.50, 0.34, 40, False),  # 20 and 14 of 40 prompts may be chance
        (0.03, 0.01, 200, False),  # and so may be 6 and 2
        (0.00, 0.00, 200, False),
        (1.00, 0.00, 2, True),
    ],
)
def test_a_fallen_greedy_accuracy(start, now, held_out, falls, watch):
    one = watch(held_out=held_out)
    assert said(one, eval__greedy=start) == []
    found = said(one, eval__greedy=now)
    assert bool(found) == falls
    assert not said(one, eval__greedy=now), "once"


@pytest.mark.parametrize(
    ("settings", "metrics", "words"),
    [
        (("train.learning_rate=1e-4",), {}, "train.learning_rate = 0.0001, which is high"),
        ((), {"completion__truncated": 0.4}, "the length: 40% of the completions"),
        ((), {"reward__mean": 0.9}, "the reward rose from 0.20 to 0.90 all the same"),
        ((), {"reward__mean": 0.25}, "too large steps (train.learning_rate = 1e-06)"),
        ((), {"reward__mean": None}, "too large steps"),
    ],
)
def test_the_likely_cause_of_the_fall(settings, metrics, words, watch):
    one = watch(*settings)
    said(one, eval__greedy=0.8)
    said(one, reward__mean=0.2)
    (found,) = said(one, eval__greedy=0.1, **metrics)
    assert "fell from 0.80 to 0.10" in found
    assert words in found


# -- resume ------------------------------------------------------------------------------------------------------------


def test_restored_in_the_middle_it_says_what_it_would_have_said(watch):
    steps = [([rollout(text="42")] * 40, {"eval__greedy": 0.9 - 0.2 * step, "reward__mean": 0.0}) for step in range(5)]
    whole = watch()
    expected = [said(whole, *rollouts, **metrics) for rollouts, metrics in steps]
    assert sum(map(len, expected)) == 2
    for cut in range(5):
        first, second = watch(), watch()
        found = [said(first, *rollouts, **metrics) for rollouts, metrics in steps[:cut]]
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        found += [said(second, *rollouts, **metrics) for rollouts, metrics in steps[cut:]]
        assert found == expected
        assert second.state_dict() == whole.state_dict()


class Voice(Screen):
    """Says warnings in the channel, as the command line does."""

    def warn(self, text):
        warn(text)


def spoken(parts):
    return replace(parts, observer=Voice())


def kept(directory):
    return [(one.text, one.count, one.first_step) for one in load_run(directory).warnings() if one.source == "rekindle"]


@pytest.mark.slow  # its start policy is of its own
def test_a_resumed_run_has_the_same_warnings(quick_config, tmp_path):
    config = quick_config("grpo", "engine.max_new_tokens=2", "optimizer.warmup_steps=9", "task.params.min_length=4")

    with collecting(lambda *_: None):
        finish(config, tmp_path / "whole", adapt=spoken)
    with collecting(lambda *_: None), opened(config, tmp_path / "halves", adapt=spoken) as loop:
        loop.begin()
        for _ in range(3):
            loop.do_step()
    with collecting(lambda *_: None):
        finish(config, tmp_path / "halves", resume=True, adapt=spoken)
    found = kept(tmp_path / "whole")
    assert [first for _, _, first in found] == [0, 2, 4]
    assert found == kept(tmp_path / "halves")


# -- the first evaluation ----------------------------------------------------------------------------------------------


def test_a_verifier_that_misreads_is_named_before_the_first_step(watch):
    """Seven of eight answers are right, and count as wrong, because the whole text is compared."""
    watching = watch("task.verifier=exact_match")
    watching.note_start(("42",), [rollout(text="17 + 25 = 42")] * 7 + [rollout(text="43")])
    (found,) = watching.step({"eval/greedy": 0.0})
    assert found.startswith("7 of the 8 completions of the first evaluation contain the reference answer and count as")
    assert 'because task.verifier = "exact_match" does not accept them' in found
    watching.note_start(("42",), [rollout(text="17 + 25 = 42")] * 8)
    assert list(watching.step({})) == [], "once, and of the first evaluation alone"


@pytest.mark.parametrize(
    "rollouts",
    [
        [rollout(1.0, "42")] * 8,
        [rollout(text="142")] * 8,
        [rollout(text="42", failure="timeout")] * 8,
        [rollout(text="42", void=True)] * 8,
        [rollout(text="42")] + [rollout(text="no")] * 9,
    ],
    ids=["right", "no whole word", "no verdict", "void", "one in ten"],
)
def test_what_is_no_misreading(watch, rollouts):
    watching = watch()
    watching.note_start(("42",), rollouts)
    assert list(watching.step({})) == []


def test_a_resumed_run_has_no_first_evaluation(watch):
    watching, other = watch(), watch()
    other.load_state_dict(watching.state_dict())
    other.note_start(("42",), [rollout(text="it is 42")] * 8)
    assert list(other.step({})) == []


def test_audits_are_part_of_it_also_across_a_resume(watch):
    first = watch()
    hole = [rollout(1.0, audits={"strict": 0.0})] * 4
    for number in range(GROUPS - 1):
        first.note(replace(REQUEST, id=number), hole)
    assert not [text for text in first.step({}) if "strict" in text]
    restored = watch()
    restored.load_state_dict(json.loads(json.dumps(first.state_dict())))
    restored.note(REQUEST, hole)
    assert [text for text in restored.step({}) if "reward says 1.00, strict says 0.00 (from the start)" in text]
    earlier = {name: value for name, value in first.state_dict().items() if name != "audits"}
    watch().load_state_dict(earlier)


@pytest.mark.parametrize(
    ("metrics", "trouble", "why"),
    [
        ({"rollouts": 8, "verify/failures": 8}, "no", "none of the 8 rollouts of the step has a verdict: no"),
        ({"rollouts": 8, "verify/failures": 7}, "it raised", None),
        ({"rollouts": 8, "verify/failures": 8}, "", None),
        ({"rollouts": 0, "verify/failures": 0}, "it raised", None),
        ({"eval/failed": 4}, "it raised", "no rollout of the evaluation has a verdict: it raised"),
        ({"eval/failed": 3}, "it raised", None),
        ({}, "it raised", None),
    ],
)  # fmt: skip
def test_reward_functions_that_fail_on_everything_end_the_run(metrics, trouble, why, quick_config):
    found = HealthWatch(quick_config(), 4, trouble=lambda: trouble).dead(metrics)
    assert found == (why and f"{why}; fix the function, and continue with --resume")
