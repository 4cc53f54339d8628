"""What the report says, word for word where it matters."""

import json

import pytest
from synthetic_run import write_ledger, write_run

from rekindle.observability.advice import advice
from rekindle.observability.narrative import (
    accuracy_change,
    conservation,
    economy,
    headline,
    made_of,
    title,
)
from rekindle.observability.runs import load_run
from rekindle.observability.summary import Summary


def made(tmp_path, composition, metrics=(), pool="recycling", **spent):
    """A run of which every step had the groups of ``composition(step)``: ``{(outcome, first, fate): count}``."""
    write_run(tmp_path, steps=0, planned=40, batch=64)
    config = (tmp_path / "config.toml").read_text().replace('"recycling"', f'"{pool}"')
    (tmp_path / "config.toml").write_text(config)
    rows = []
    for step in range(1, 41):
        for (result, first, fate), count in composition(step).items():
            for _ in range(count):
                rows.append((len(rows) + 1, step, 0, f"t/{len(rows)}", "solver", 4, 1.0, 0, result, first, first, fate,
                             4, 4, 0.1))  # fmt: skip
    (tmp_path / "ledger.sqlite").unlink()
    write_ledger(tmp_path / "ledger.sqlite", rows).close()
    last = {
        "step": 40,
        "version": 40,
        "total_rollouts": 4 * len(rows),
        "total_seconds": 93.0,
        "total_generated_tokens": 2e4,
    } | spent
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*metrics, last]))
    return Summary(load_run(tmp_path))


TRAINED, WRONG, RIGHT = ("mixed", None, "trained"), ("all_wrong", None, "recycled"), ("all_correct", None, "recycled")


def evaluations(*accuracies, every=5):
    """The first at step 0, the others at the end of a run of 40 steps."""
    steps = [0, *range(40 - every * (len(accuracies) - 2), 41, every)][: len(accuracies)]
    return [
        {"step": step, "eval/accuracy": value, "eval/greedy": value + 0.1}
        for step, value in zip(steps, accuracies, strict=True)
    ]


def test_the_first_paragraph(tmp_path):
    summary = made(tmp_path, lambda step: {TRAINED: 32, WRONG: 32}, evaluations(0.3, 0.5, 0.6, 0.7, 0.8))
    assert title(summary) == "recycle on spell_backward"
    assert made_of(summary) == (
        "This run trains a tiny model made from scratch (4 layers, 64 wide) on spell_backward with the recipe recycle. "
        "It made 40 updates in 40 steps from 10,240 rollouts and 20k generated tokens in 1 min 33 s."
    )
    assert headline(summary) == [
        "Sampled accuracy on held-out prompts rose from 0.30 at the start to 0.70, the mean of the last 3 evaluations "
        "(greedy: 0.40 to 0.80).",
    ]


def test_evaluations_that_are_greedy_alone_are_told_as_such(tmp_path):
    greedy = [{"step": line["step"], "eval/greedy": line["eval/greedy"]} for line in evaluations(0.3, 0.6, 0.7, 0.8)]
    assert headline(made(tmp_path, lambda step: {TRAINED: 32, WRONG: 32}, greedy)) == [
        "Greedy accuracy on held-out prompts rose from 0.40 at the start to 0.80, the mean of the last 3 evaluations."
    ]


def test_the_second_paragraph(tmp_path):
    hard, easy = ("mixed", "all_wrong", "trained"), ("mixed", "all_correct", "trained")
    counts = {TRAINED: 10, hard: 6, easy: 4, WRONG: 20, RIGHT: 8, ("mixed", None, "excess"): 2}
    pool = {"pool/live": 700, "pool/size": 1024, "pool/resets": 2}
    assert economy(made(tmp_path, lambda step: counts, **pool)) == [
        "Of 2,000 groups, 40% were trained on; 40% were never solved, 16% were always solved and 4% carried signal but "
        "were not needed.",
        "Of the trained groups, 50% were recycled: when their prompt was first seen, all its rollouts were wrong "
        "(30%) or all right (20%).",
        "After step 40, 700 of the pool's 1,024 prompts could still be drawn; the pool was reset 2 times.",
    ]  # fmt: skip


def test_a_pool_in_turn_recycles_nothing(tmp_path):
    """GRPO comes back to every prompt, also to those that had no signal at first."""
    counts = {TRAINED: 10, ("mixed", "all_wrong", "trained"): 6, ("all_wrong", None, "retired"): 20}
    assert not [words for words in economy(made(tmp_path, lambda step: counts, pool="cycling")) if "recycled" in words]


def test_the_two_recycled_shares_are_told_apart(tmp_path):
    counts = {TRAINED: 10, ("mixed", "all_wrong", "trained"): 6, WRONG: 4}
    summary = made(tmp_path, lambda step: counts)
    (tmp_path / "null_control.json").write_text('{"recycled_share": 0.74, "frozen_share": 0.57}')
    assert economy(summary)[1] == (
        "Of the trained groups, 38% were recycled: when their prompt was first seen, all its rollouts were wrong (38%) "
        "or all right (0%). In the last quarter of the steps, which the null control is about, they were 74%; the same "
        "sampler with a frozen policy recycles 57%."
    )


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ([], "No evaluation on held-out prompts has been made."),
        ([0.3], "At the start it solved 30% of the held-out prompts; there is no later evaluation yet."),
        ([0.5, 0.2], "fell from 0.50 at the start to 0.20, at the last evaluation"),
        ([0.4, 0.41], "with 256 prompts a change this small may be noise."),
    ],
)
def test_accuracy_in_words(tmp_path, accuracies, words):
    assert words in headline(made(tmp_path, lambda step: {TRAINED: 1}, evaluations(*accuracies)))[0]


@pytest.mark.parametrize(
    ("every", "mean", "averaged"), [(1, 0.4, 3), (5, 0.4, 3), (7, 0.5, 2), (10, 0.5, 2), (11, 0.7, 1), (13, 0.7, 1)]
)
def test_the_end_of_an_accuracy_is_a_mean_of_the_last_quarter_of_the_run(tmp_path, every, mean, averaged):
    summary = made(tmp_path, lambda step: {TRAINED: 1}, evaluations(0.9, 0.2, 0.3, 0.7, every=every))
    for kind, more in (("accuracy", 0.0), ("greedy", 0.1)):
        change = accuracy_change(summary, kind)
        assert change is not None
        assert (change.start, change.averaged) == (0.9 + more, averaged)
        assert change.end == pytest.approx(mean + more)


def test_an_unfinished_run_says_so(tmp_path):
    assert "has so far made 40 updates in 40 of 60 steps" in _unfinished(tmp_path)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (38, "It made 38 updates in 40 steps from 160 rollouts and 20k generated tokens in 1 min 33 s."),
        (1, "It made 1 update in 40 steps from 160 rollouts"),
        (0, "It made 0 updates in 40 steps from 160 rollouts"),
        (0, "in 1 min 33 s. The policy is still the start policy."),
    ],
)
def test_updates_are_counted_and_not_steps(tmp_path, version, words):
    assert words in made_of(made(tmp_path, lambda step: {WRONG: 1}, version=version))


@pytest.mark.parametrize("train", [{"rollouts": 160}, {"tokens": 20_000}, {"steps": 40}])
def test_a_run_at_the_end_of_its_budget_is_finished(tmp_path, train):
    summary = made(tmp_path, lambda step: {TRAINED: 1})
    summary.run.config["train"] = train
    assert "It made 40 updates in 40 steps" in made_of(summary)
    summary.run.config["train"] = {key: 2 * end for key, end in train.items()}
    assert "It has so far made 40 updates in 40" in made_of(summary)


@pytest.mark.parametrize(
    ("accuracies", "held_out", "noise"),
    [
        ([0.0, 0.01], 256, True),  # 1.96 standard errors of the pooled .005 are .012
        ([0.0, 0.02], 256, False),  # and those of .01 are .017
        ([1.0, 0.99], 256, True),
        ([0.0, 0.05], 51, True),
        ([0.40, 0.50], 256, False),
        ([0.40, 0.50], 51, True),
    ],
)
def test_noise_is_that_of_the_real_number_of_prompts(tmp_path, accuracies, held_out, noise):
    """eval.prompts is 256 and the data set has ``held_out``; at 0 and 1 chance has a width too."""
    summary = made(tmp_path, lambda step: {TRAINED: 1}, evaluations(*accuracies))
    summary.run.info["held_out"] = held_out
    words = headline(summary)[0]
    assert (f"with {held_out} prompts a change this small may be noise" in words) == noise
    assert noise or "noise" not in words


@pytest.mark.parametrize(
    ("info", "steps", "words"),
    [
        ({"ending": {"name": "done", "why": ""}}, 40, []),
        ({"ending": {"name": "bound", "why": "the pool is empty; use more prompts"}}, 60,
         ["It stopped before its target: the pool is empty; use more prompts."]),
        ({"ending": {"name": "interrupted", "why": ""}}, 60, ["It was interrupted after step 40."]),
        ({}, 60, ["It has not ended: it is still going on, or it was killed."]),
        ({}, 40, []),
    ],
)  # fmt: skip
def test_the_headline_says_how_a_run_ended_before_its_target(tmp_path, info, steps, words):
    summary = made(tmp_path, lambda step: {TRAINED: 1}, evaluations(0.3, 0.5))
    summary.run.info.clear()
    summary.run.info.update(info)
    summary.run.config["train"]["steps"] = steps
    assert headline(summary)[1:] == words


def test_a_run_without_evaluation_is_told_by_its_reward(tmp_path):
    rows = [{"step": step, "reward/mean": step / 40} for step in range(1, 40)]
    summary = made(tmp_path, lambda step: {TRAINED: 1}, rows, **{"reward/mean": 1.0})
    assert headline(summary) == [
        "The mean reward of the rollouts was 0.14 in the first quarter of the steps and 0.89 in the last.",
        "No evaluation on held-out prompts has been made.",
    ]
    single = made(tmp_path / "single", lambda step: {TRAINED: 1}, **{"reward/mean": 0.25})
    assert headline(single)[0] == "The mean reward of the first step was 0.25."


def test_names_of_users_cannot_reorder_or_hide_words(tmp_path):
    summary = made(tmp_path, lambda step: {TRAINED: 1})
    config = summary.run.config
    config |= {"recipe": "a\u202eb\x1b", "task": {"name": "\u05d0\u05d1"}}
    assert title(summary) == "a\ufffdb\u241b on \u2068\u05d0\u05d1\u2069"


def _unfinished(tmp_path):
    summary = made(tmp_path, lambda step: {TRAINED: 1})
    summary.run.config["train"]["steps"] = 60
    return made_of(summary)


def test_conservation(tmp_path):
    summary = made(tmp_path, lambda step: {TRAINED: 8})
    assert conservation(summary) == (
        True, "Every rollout has a fate: ledger and step log both count 1,280."
    )  # fmt: skip
    lost = made(tmp_path / "lost", lambda step: {TRAINED: 8}, total_rollouts=1300)
    assert conservation(lost) == (
        False,
        "Ledger and step log disagree: the fates add up to 1,280 rollouts, the step log counts 1,300; 20 are missing "
        "from the ledger. Likely cause: a damaged or edited file; restore it.",
    )
    assert "20 are in the ledger but not" in conservation(
        made(tmp_path / "more", lambda step: {TRAINED: 8}, total_rollouts=1260)
    )[1]  # fmt: skip


@pytest.mark.parametrize(
    ("composition", "words"),
    [
        (lambda step: {TRAINED: 32, WRONG: 20, RIGHT: 12}, None),
        (lambda step: {TRAINED: 61, ("mixed", None, "failed"): 3}, "5% of the groups expired or failed"),
        (lambda step: {TRAINED: 40 if step < 20 else 5, WRONG: 64}, "The pool starved"),
        (lambda step: {TRAINED: 20, WRONG: 44}, "Late in the run 69% of the groups were never solved. The likely"),
        (lambda step: {TRAINED: 20, RIGHT: 44}, "Late in the run 69% of the groups were always solved"),
    ],
)
def test_advice(tmp_path, composition, words):
    given = advice(made(tmp_path, composition))
    assert given is None if words is None else given is not None and given.startswith(words)


FAILED = ("mixed", None, "failed")
RETRIEVER = "check that the server at retriever.url is up, or raise retriever.timeout_seconds or retriever.retries"
JUDGE = "check that the server at judge.url is up, or raise judge.timeout_seconds"


@pytest.mark.parametrize(
    ("tables", "who", "remedies"),
    [
        ({"retriever": {"kind": "http"}}, "the retriever", RETRIEVER),
        ({"task": {"verifier": "judge"}}, "the judge", JUDGE),
        (
            {"retriever": {"kind": "http"}, "task": {"verifier": "judge"}, "judge": {"max_calls": 9}},
            "the retriever or the judge",
            f"{RETRIEVER}, and {JUDGE} or judge.max_calls",
        ),
    ],
)
def test_a_service_that_did_not_answer(tmp_path, tables, who, remedies):
    summary = made(tmp_path, lambda step: {TRAINED: 63, FAILED: 1 + 3 * (step > 20)}, **{"verify/failures": 12})
    summary.run.config.update(tables)
    assert economy(summary)[1] == (
        f"100 groups with 400 rollouts failed: without an answer of {who} the whole group is dropped. "
        f"To lose fewer, {remedies}."
    )
    assert advice(summary) == f"4% of the groups expired or failed: fix {who} first."


@pytest.mark.parametrize(("failures", "kind"), [(0, "http"), (12, "lexical")])
def test_no_service_is_blamed_without_a_reason(tmp_path, failures, kind):
    summary = made(tmp_path, lambda step: {TRAINED: 60, FAILED: 4}, **{"verify/failures": failures})
    summary.run.config["retriever"] = {"kind": kind}
    assert not [words for words in economy(summary) if "dropped" in words]
    assert str(advice(summary)).endswith("check the verifier's time limit and the engine's log first.")


def test_advice_on_a_fall(tmp_path):
    summary = made(tmp_path, lambda step: {TRAINED: 32, WRONG: 32}, evaluations(0.3, 0.7, 0.5, 0.4, 0.3))
    assert advice(summary) == (
        "Accuracy was best at step 25 (0.70) and has fallen since: lower train.learning_rate, or stop there."
    )


def test_advice_names_what_a_script_of_another_trainer_sets(tmp_path):
    summary = made(tmp_path, lambda step: {TRAINED: 32, WRONG: 32}, evaluations(0.3, 0.7, 0.5, 0.4, 0.3))
    summary.run.info.update(trainer="trl 1.16.0", names={"train.learning_rate": "learning_rate"})
    assert str(advice(summary)).endswith("has fallen since: lower learning_rate, or stop there.")
    assert summary.key("train.temperature") == "train.temperature"


def test_remedies_that_are_in_use_are_not_recommended(tmp_path):
    summary = made(tmp_path, lambda step: {TRAINED: 40 if step < 20 else 5, WRONG: 64})
    told = "The pool starved: late in the run most of its prompts had no signal. Use more prompts"
    both = ", or leave trained prompts some weight (pool.alpha = 0.1), or reset it earlier (pool.reset_below = 0.25)."
    assert advice(summary) == told + both
    summary.run.config["pool"] |= {"alpha": 0.1, "reset_below": 0.25}
    assert advice(summary) == f"{told}."


def test_only_a_recycling_pool_starves(tmp_path):
    given = advice(made(tmp_path, lambda step: {TRAINED: 40 if step < 20 else 5, WRONG: 64}, pool="cycling"))
    assert given is not None
    assert "starved" not in given
