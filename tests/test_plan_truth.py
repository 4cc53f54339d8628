"""Plans against runs: what counts as a first epoch, and that the pages say what was measured."""

import json
import sys
from pathlib import Path

import pytest

from rekindle import load_run

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "observability")]

from synthetic_run import write_run  # noqa: E402

import arms  # noqa: E402
import plan_truth  # noqa: E402


def test_a_first_epoch_ends_after_as_many_groups_as_prompts(tmp_path):
    """Steps of 2 x 16 groups: 96 prompts are an epoch of 3 steps. Shares are those of the ledger's groups."""
    directory = write_run(tmp_path / "run", steps=10, pool=96, batch=16)
    info = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps(info | {"pool": 96}))
    run = load_run(directory)
    found = plan_truth.first_epoch(run)
    rows = list(run.groups("step <= 3"))
    mixed = [row for row in rows if row["outcome"] == "mixed"]
    assert (found["steps"], found["groups"]) == (3, 96)
    assert found["share"] == len(mixed) / 96
    trained = [row for row in mixed if row["fate"] == "trained"]
    assert found["per_group"] == sum(row["n"] for row in rows) / len(trained)


def test_errors_above_the_target_are_marked():
    assert plan_truth.error(1.1, 1.0) == "+10%"
    assert plan_truth.error(0.8, 1.0) == "-20% (!)"


@pytest.mark.parametrize("page", plan_truth.PAGES, ids=str)
def test_the_pages_say_what_was_measured(page):
    text = (ROOT / "docs" / page).read_text()
    assert arms.block(text, plan_truth.BLOCK) == plan_truth.page(json.loads(plan_truth.RESULTS.read_text()))
