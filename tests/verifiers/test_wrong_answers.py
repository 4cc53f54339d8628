"""A run with the answers of other prompts as references has nothing to learn."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import arms  # noqa: E402
import verifier_wrong_answers as wrong  # noqa: E402


def test_no_prompt_has_its_own_answer(tmp_path):
    wrong.write_tasks(tmp_path / "tasks.jsonl", 50, seed=1)
    rows = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text().splitlines()]
    assert len(rows) > 40
    for row in rows:
        first, second = row["prompt"].rstrip("=").split("+")
        assert int(first) + int(second) != int(row["answer"])


def test_the_gain_of_every_verifier_is_within_the_bound():
    found = json.loads(wrong.RESULTS.read_text())
    assert set(found) == set(wrong.VERIFIERS)
    for one in found.values():
        assert one["steps"] == 30
        assert one["last"] - one["first"] <= wrong.BOUND
        assert one["held_out"][1] - one["held_out"][0] <= wrong.BOUND


def test_the_page_says_what_was_measured():
    page = (ROOT / "docs" / wrong.PAGE).read_text(encoding="utf-8")
    assert arms.block(page, wrong.BLOCK) == wrong.table(json.loads(wrong.RESULTS.read_text()))


@pytest.mark.slow
def test_thirty_steps_earn_nothing(tmp_path):
    pytest.importorskip("math_verify")
    wrong.prepare(tmp_path)
    arms.train(wrong.arguments("math", tmp_path, 30), tmp_path / "math")
    one = wrong.measured(tmp_path / "math")
    assert one["last"] - one["first"] <= wrong.BOUND
