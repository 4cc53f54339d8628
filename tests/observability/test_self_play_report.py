"""Self-play in the report: words, figures, fates of two roles, and untrusted texts."""

import json
import re
import sqlite3
from typing import Any

import pytest
from synthetic_run import write_run
from synthetic_self_play import write_self_play
from test_report import assert_only_our_script, report

from rekindle.environments.self_play.proposals import Reason
from rekindle.observability.advice import advice
from rekindle.observability.narrative import conservation, economy
from rekindle.observability.runs import load_run
from rekindle.observability.self_play.narrative import self_play_advice, self_play_story
from rekindle.observability.summary import Summary
from rekindle.types import Fate

EASY: dict[str, Any] = {"skill": (0.0, 0.0), "every": 100}
"""A solver that neither improves nor leaves anything to advise."""


def game(tmp_path, **options):
    return Summary(load_run(write_self_play(tmp_path, **EASY | options)))


# -- words -------------------------------------------------------------------------------------------------------------


def test_self_play_that_goes_well(tmp_path):
    summary = game(tmp_path, steps=80)
    story = " ".join(self_play_story(summary))
    counted = sum(row.get("self_play/valid", 0) for row in summary.run.metrics)
    assert story.startswith(f"Of 1,280 proposals {counted / 1280:.0%} became questions for the solver (3")
    assert "The questions got harder: the start policy, which is never trained, solves 5" in story
    assert re.search(r"Of the accepted questions 9\d% \(95% interval: 9\d% to 9\d%\) are right", story)
    assert economy(summary)[0].startswith("Of 2,560 groups of the solver, ")
    assert advice(summary) is None


def test_questions_that_get_easier_and_some_of_which_nothing_is_known(tmp_path):
    assert "The questions got easier" in " ".join(self_play_story(game(tmp_path / "a", reference=(0.2, 0.7))))
    level = game(tmp_path / "b", reference=(0.5, 0.5), right=None)
    assert "It is unclear whether the questions got harder" in " ".join(self_play_story(level))
    assert "are right" not in " ".join(self_play_story(level))
    short = " ".join(self_play_story(game(tmp_path / "c", steps=5, reference=(1, 1))))
    assert "The start policy, which is never trained, solves 100% of the questions." in short
    assert "first quarter" not in short


def test_a_run_without_self_play_has_no_self_play_texts(tmp_path):
    summary = Summary(load_run(write_run(tmp_path, steps=20)))
    assert (summary.self_play, self_play_story(summary), self_play_advice(summary)) == (None, [], None)
    _, page = report(tmp_path)
    assert not {"Self-play", "Valid proposals", "check", "reference"} & set(page.texts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"valid": (0.1, 0.0), "reasons": ("duplicate", "known")}, "Late in the run 1% of the proposals were valid"),
        ({"valid": (0.0, 0.0), "steps": 6}, "So far none of the proposals was valid"),
        ({"reasons": ("leaks_answer",)}, 'Late in the run 100% of the rejections have one reason, "the answer is'),
        ({"reasons": ("leaks_answer",), "valid": (0.9, 0.9)}, None),
        ({"reasons": ("known", "unverified")}, "The verifier failed on "),
        ({"right": 0.3}, "Late in the run only 2"),
        ({"right": 0.3, "steps": 10, "config": '[check]\nkind = "off"\n'}, "So far only 2"),
        ({"right": 0.5}, None),
        ({"reference": (0.4, 0.4)}, "The questions did not get harder"),
        ({"reference": (0.05, 0.05)}, None),
        ({"reference": (0.4, 0.4), "config": '[self_play]\nfixed = "proposer"\n'}, None),
        ({"skill": (-4.0, -4.0)}, "Late in the run 90% of the solver's groups were never solved. Unless they are"),
        ({"skill": (4.0, 4.0)}, "Late in the run 89% of the solver's groups were always solved: request more hops"),
        ({"failing": 0.1}, "11% of the groups expired or failed: check the verifier's time limit"),
        ({"steps": 4, "valid": (0.0, 0.0)}, None),
    ],
)
def test_advice(tmp_path, options, words):
    given = advice(game(tmp_path, **options))
    assert given is None if words is None else given is not None and given.startswith(words), given


def test_a_single_question_without_a_verdict_does_not_hide_other_advice(tmp_path):
    summary = game(tmp_path, reasons=("leaks_answer",))
    summary.run.metrics[3]["self_play/rejected/unverified"] = 1
    assert "have one reason" in str(advice(summary))
    for row in summary.run.metrics[1:]:
        row["self_play/rejected/leaks_answer"] = 0
    assert str(advice(summary)).startswith("The verifier failed on 1 of the proposals (<1%)")


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        ("", "read the warnings, and leave the check more room (lower check.noise or search.document_tokens)."),
        ('[check]\nkind = "endpoint"\n', "check that the server at check.url is up and answers in time"),
    ],
)
def test_remedies_for_the_verifier(tmp_path, config, remedy):
    given = str(advice(game(tmp_path, reasons=("unverified",), config=config)))
    assert f"they were rejected without a verdict: {remedy}" in given


def test_proposals_that_failed(tmp_path):
    summary = game(tmp_path)
    for row in summary.run.metrics[1:]:
        row["self_play/failed"] = 4
    assert str(advice(summary)).startswith("25% of the proposals failed, because a search gave no answer")


# -- conservation -----------------------------------------------------------------------------------------------------


def test_the_fates_add_up_over_both_roles(tmp_path):
    """40 steps of 32 groups of 4 rollouts and 16 proposals."""
    summary = game(tmp_path)
    assert conservation(summary) == (
        True, "Every rollout has a fate: ledger and step log both count 5,760."
    )  # fmt: skip
    by_role = {
        role: sum(count.rollouts for count in summary.role_fates(role).values()) for role in ("solver", "proposer")
    }
    assert by_role == {"solver": 5120, "proposer": 640}
    assert summary.composition.total() == 40 * 32
    assert summary.composition.of().tolist() == [32] * 40
    text, page = report(tmp_path)
    assert "alarm" not in [value for _, name, value in page.attributes if name == "class"]
    assert (
        "<tr><td>all</td>"
        + "".join(f'<td class="right">{cell}</td>' for cell in ("1,920", "5,760", "100%", "5,120", "640"))
        in text
    )
    trained = [summary.role_fates(role)[Fate.TRAINED].rollouts for role in ("solver", "proposer")]
    assert f'<td class="right">{trained[0]:,}</td><td class="right">{trained[1]:,}</td>' in text


def test_prompts_are_the_solvers(tmp_path):
    summary = game(tmp_path)
    assert not [row for row in summary.most_drawn(2000) if row["task_id"].startswith("seed/")]


def test_counts_per_rollout_are_those_of_one_role(tmp_path):
    text, _ = report(write_self_play(tmp_path, steps=12))
    table = {name: text[text.index(f"<h3>{name}</h3>") :] for name in ("Per rollout", "Per proposal")}
    assert '<td>queries answered</td><td class="right">1</td>' in table["Per rollout"]
    assert '<td>queries answered</td><td class="right">2</td>' in table["Per proposal"]
    assert "questions that were forced" in table["Per proposal"].split("</table>")[0]
    assert "tool tokens" not in table["Per rollout"].split("</table>")[0]


# -- the page ----------------------------------------------------------------------------------------------------------

FIGURES = {
    "Valid proposals", "Difficulty of new questions", "Right questions", "Requested hops and searches",
    "Valid proposals by requested hops", "Novelty", "New and replayed questions of a step",
    "Mean reward of the proposals", "Verdicts on all proposals", "Fate of all proposals",
}  # fmt: skip


def test_the_section(tmp_path):
    text, page = report(write_self_play(tmp_path, steps=60))
    assert {"Self-play", "Share of the proposals", "Per proposal", "Sample of the proposals"} | FIGURES <= set(
        page.texts
    )
    assert text.count('<dl class="record">') == 6
    assert {"check", "reference", "retrieve"} <= set(page.texts)  # where the time went
    assert {"first quarter", "last quarter", "whole run", "not answered from its documents"} <= set(page.texts)
    shown = [words for words in page.texts if re.match(r"Step \d+, valid: Who keeps the lamp of harbour \d+\?", words)]
    assert len(shown) == 3
    question = next(words for words in page.texts if re.fullmatch(r"Who keeps the lamp of harbour \d+\?", words))
    assert page.texts.count(question) >= 1
    assert "1. Who keeps the lamp of harbour first\n2. Who keeps the lamp of harbour second" in page.texts


def test_prompts_are_named_by_their_questions(tmp_path):
    write_self_play(tmp_path, steps=30, pool=64)
    text, _ = report(tmp_path)
    assert '<td><span dir="auto">Who keeps the lamp of harbour' in text


def test_a_run_without_a_valid_question(tmp_path):
    _, page = report(write_self_play(tmp_path, steps=12, valid=(0.0, 0.0)))
    assert any(words.startswith("None of the 192 proposals became a question for the solver.") for words in page.texts)
    assert "Self-play" in page.texts
    assert not {"Difficulty of new questions", "Right questions", "Novelty"} & set(page.texts)
    assert sum(words.startswith("Step ") for words in page.texts) == 6


def test_self_play_before_its_first_group(tmp_path):
    """Nothing valid and nothing to replay: the ledger has proposals only, and every step is empty."""
    write_self_play(tmp_path, steps=9, valid=(0.0, 0.0))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    rows = [
        row | ({"total_rollouts": 16 * row["step"], "rollouts": 16, "groups/asked": 0} if row["step"] else {})
        for row in rows
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ledger = sqlite3.connect(tmp_path / "ledger.sqlite")
    ledger.execute("delete from groups where role = 'solver'")
    ledger.commit()
    ledger.close()
    _, page = report(tmp_path)
    assert "Every rollout has a fate: ledger and step log both count 144." in page.texts
    assert not {"Outcomes of the groups", "Pool and batch", "Prompts"} & set(page.texts)


def test_proposals_of_a_step_that_is_not_finished_are_left_out(tmp_path):
    write_self_play(tmp_path, steps=3)
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(line + "\n" for line in log.read_text().splitlines()[:3]))
    _, page = report(tmp_path)
    assert not [words for words in page.texts if words.startswith("Step 3")]
    assert any(words.startswith("Of 32 proposals") for words in page.texts)


ATTACK = "</dd></dl><script>alert(1)</script><img src=x onerror=alert(1)>\"'& \u202egnp\u2066 \x00\x1b[31m \ud800"


def test_hostile_texts(tmp_path):
    text, page = report(write_self_play(tmp_path, steps=12, pool=64, text=ATTACK, reasons=(ATTACK, "duplicate")))
    assert_only_our_script(text, page)
    assert "img" not in page.tags
    assert "onerror" not in [name for _, name, _ in page.attributes]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b\ud800-\udfff]", text)
    assert any("</dd></dl><script>alert(1)</script>" in words for words in page.texts)


def test_long_and_many_texts_are_cut(tmp_path):
    write_self_play(tmp_path, steps=12, text="word " * 2000)
    lines = [json.loads(line) for line in (tmp_path / "proposals.jsonl").read_text().splitlines()]
    many = [{"id": str(place), "title": "", "text": "text"} for place in range(99)]
    (tmp_path / "proposals.jsonl").write_text(
        "".join(json.dumps(line | {"documents": many, "queries": ["query"] * 50}) + "\n" for line in lines)
    )
    text, page = report(tmp_path)
    assert len(text) < 400_000
    assert any(words.endswith("12. text\nand 87 more") for words in page.texts)
    assert any(words.endswith("12. query\nand 38 more") for words in page.texts)


def test_a_proposal_of_which_little_is_known(tmp_path):
    write_self_play(tmp_path, steps=9)
    (tmp_path / "proposals.jsonl").write_text(
        '{"step": 1}\n{"step": 2, "verdict": "the retriever is down", "reply": ""}\n'
    )
    _, page = report(tmp_path)
    assert {"Step 1, failed: no question", "Step 2, the retriever is down: no question"} <= set(page.texts)
    assert {"not asked, or no reply", "no answer between its tags", "not played", "not tried", "not known"} <= set(
        page.texts
    )


def test_nothing_is_loaded(tmp_path):
    text, page = report(write_self_play(tmp_path, steps=12))
    assert not {"link", "img", "iframe", "object", "embed", "form", "use", "image"} & set(page.tags)
    assert_only_our_script(text, page)


def test_a_run_with_every_reason(tmp_path):
    _, page = report(write_self_play(tmp_path, steps=40, proposals=32, reasons=tuple(Reason)))
    assert (
        sum(words in page.texts for words in ("too short", "too few searches", "not verified", "several answers")) == 4
    )
