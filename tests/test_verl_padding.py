"""Dummy rows on verl: their arithmetic by hand, and the page that says what the benchmark found."""

import json
import sys
from pathlib import Path

import pytest

from rekindle.integrations.verl.row_counts import missing_rows, round_of

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import arms  # noqa: E402
import verl_padding  # noqa: E402


@pytest.mark.parametrize(
    ("processes", "steps", "trained", "scored", "rows"),
    [(2, 1, None, [], 2), (2, 4, None, [], 8), (8, 4, 4, [4], 128), (2, 1, 4, [6, 5], 120), (3, 2, 1, [], 6)],
)
def test_a_batch_is_divisible_over_processes_steps_and_micro_batches(processes, steps, trained, scored, rows):
    assert round_of(processes, steps, trained, scored) == rows
    assert missing_rows(rows, rows) == 0
    assert missing_rows(rows + 1, rows) == rows - 1


def test_shares_by_hand():
    steps = [[10, 10, 10], [5, 5]]
    assert verl_padding._shares(steps, 4, 2) == {"rows": 3 / 8, "tokens": 6 / 46}


def test_a_recipe_has_rows_with_a_gradient_alone(monkeypatch):
    monkeypatch.setattr(verl_padding, "PROMPTS", 64)
    monkeypatch.setattr(verl_padding, "ROLLOUTS", 64)
    steps = list(verl_padding.SimulatedRun("recycle").steps(2))
    assert all(0 < len(one) <= 64 for one in steps)
    assert all(len(one) % 8 == 0 for one in steps), "whole groups"


def test_the_page_says_what_was_measured():
    if not verl_padding.RESULTS.exists():
        pytest.skip("no numbers were measured here")
    page = (ROOT / "docs" / verl_padding.PAGE).read_text()
    found = json.loads(verl_padding.RESULTS.read_text())
    assert arms.block(page, verl_padding.BLOCK) == verl_padding.table(found)
