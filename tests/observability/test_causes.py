"""The likely cause of never-solved groups, by table."""

import json

import pytest
from synthetic_run import write_ledger, write_run

from rekindle.observability.causes import unsolved_cause
from rekindle.observability.runs import load_run
from rekindle.observability.summary import Summary


def summary_of(directory, groups, failures=0, **tables):
    """A run of one step with these groups of 4: (outcome, successes, sampled tokens of the whole group)."""
    write_run(directory, steps=0)
    (directory / "ledger.sqlite").unlink()
    rows = [
        (number, 1, 0, f"t/{number}", "solver", 4, 1.0, successes, outcome, None, None, "retired", 4, tokens, 0.1)
        for number, (outcome, successes, tokens) in enumerate(groups, start=1)
    ]
    write_ledger(directory / "ledger.sqlite", rows).close()
    line = {"step": 1, "version": 0, "total_rollouts": 4 * len(rows), "verify/failures": failures}
    (directory / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    summary = Summary(load_run(directory))
    summary.run.config.update({"task": {"verifier": "math"}, "engine": {"max_new_tokens": 32}} | tables)
    return summary


MATH = 'task.verifier = "math"'
WRONG, LONG, RIGHT = ("all_wrong", 0, 40), ("all_wrong", 0, 128), ("all_correct", 4, 40)


@pytest.mark.parametrize(
    ("groups", "failures", "words"),
    [
        (
            [WRONG] * 3,
            0,
            f"The likely cause is the verifier or the format: no rollout was ever right, so {MATH}",
        ),
        ([WRONG, RIGHT], 0, f"Unless they are too hard, {MATH} does not read the format of their answers"),
        (
            [LONG, LONG, RIGHT],
            0,
            "The likely cause is the length: their rollouts have 32 of at most 32 tokens",
        ),
        ([LONG, WRONG], 0, "The likely cause is the verifier or the format"),
        ([WRONG, WRONG], 2, f"The likely cause is the verifier: 2 of 8 rollouts have no verdict ({MATH})"),
        ([LONG] * 20, 2, "The likely cause is the length"),
    ],
)
def test_causes_by_hand(groups, failures, words, tmp_path):
    assert unsolved_cause(summary_of(tmp_path, groups, failures)).startswith(words)


def test_the_verifier_of_the_source_is_named_as_it_is_set(tmp_path):
    assert 'task.verifier = "auto"' in unsolved_cause(summary_of(tmp_path, [WRONG], task={}))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"task": {}, "rewards": [{"function": "/a/my.py:score"}]}, "so the reward score may not read"),
        ({"rewards": [{"function": "my.py:score", "name": "mine"}]}, f"so the reward mine and {MATH} may not read"),
    ],
)
def test_reward_functions_are_named(tables, words, tmp_path):
    assert words in unsolved_cause(summary_of(tmp_path / "run", [WRONG] * 3, **tables))
