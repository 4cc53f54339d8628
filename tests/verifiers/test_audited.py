"""Audits: the last number, second opinions beside verdicts, and that they change none."""

import pytest

from rekindle.config.facts import own_audit
from rekindle.config.tables import Config
from rekindle.config.tables.rewards import AuditTable, RewardTable
from rekindle.config.tables.task import TaskTable
from rekindle.environments.rewards import build_rewards, trouble_of
from rekindle.notices import RekindleWarning
from rekindle.types import Task, UserError
from rekindle.verifiers.audited import Audit, AuditedVerifier, function_audit
from rekindle.verifiers.exact import ExactMatchVerifier
from rekindle.verifiers.functions import LocalFunction
from rekindle.verifiers.last_number import last_number
from rekindle.verifiers.qa import QaVerifier
from rekindle.verifiers.verifier import Verdict, Written, draw_of, judged

ASKED = "What is 17 + 25? Answer briefly."


@pytest.mark.parametrize(
    ("text", "answer", "score"),
    [
        ("42", "42", 1.0),
        ("17 + 25 = 42", "42", 1.0),
        ("The answer is **42**.", "42", 1.0),
        (r"\boxed{42}", "42", 1.0),
        ("<think>it may be 41</think> 42", "42", 1.0),
        ("<answer>42</answer> or 43", "42", 1.0),
        ("It costs $1,250.50", "1250.5", 1.0),
        ("x = -5", "-5", 1.0),
        ("42 apples", ("no", "42"), 1.0),
        (r"\boxed{\frac{3}{4}}", r"\frac{3}{4}", 1.0),
        ("it is 3/4", "0.75", 1.0),
        ("0.75", "3/4", 1.0),
        # what has still to be worked out, or was copied
        ("17 + 25", "42", 0.0),
        ("17 + 25", "25", 0.0),
        ("17+25=", "25", 0.0),
        ("30 - 5", "-5", 0.0),
        ("(30) -5", "-5", 0.0),
        (r"5 \cdot 25", "25", 0.0),
        ("84/2", "42", 0.0),
        ("6/8", "3/4", 0.0),
        ("1+3/4", "3/4", 0.0),
        ("2^{10}", "10", 0.0),
        (ASKED, "25", 0.0),
        (f"{ASKED} {ASKED}", "25", 0.0),
        ("What is 17 + 25?", "25", 0.0),
        # another number is the last one
        ("42 or 43", "42", 0.0),
        ("It is 42. That took 2 steps", "42", 0.0),
        ("", "42", 0.0),
        ("no idea", "42", 0.0),
        # no number to compare with
        ("x + 1", "x+1", None),
        ("B", r"\text{(B)}", None),
    ],
)
def test_the_last_number(text, answer, score):
    assert last_number(text, answer, ASKED) == score


def items(*texts):
    rows = [(Task(f"t{number}", "Who?", "Ada Lovelace"), text) for number, text in enumerate(texts)]
    return rows, [Written(text, (), number / len(texts)) for number, text in enumerate(texts)]


def test_scores_are_beside_the_verdicts_and_those_are_as_they_were():
    cover, exact = QaVerifier("cover_match"), Audit("strict", 1.0, exact_scores, lambda: None)
    rows, written = items("Ada Lovelace", "it was Ada Lovelace", "Grace")
    verdicts = judged(AuditedVerifier(cover, [exact]), rows, written)
    assert [(one.score, one.audits) for one in verdicts] == [
        (1.0, {"strict": 1.0}), (1.0, {"strict": 0.0}), (0.0, {"strict": 0.0}),
    ]  # fmt: skip
    assert AuditedVerifier(cover, [exact]).judge(rows) == cover.judge(rows)
    assert [Verdict(one.score, one.failure, one.void) for one in verdicts] == cover.judge(rows)


def exact_scores(rows, written):
    return [one.score for one in ExactMatchVerifier().judge(rows)]


def test_an_audit_judges_its_share_of_training_and_all_of_an_evaluation():
    verifier = AuditedVerifier(QaVerifier("f1"), [Audit("strict", 0.5, exact_scores, lambda: None)])
    rows = items("a", "b", "c", "d")
    assert [set(one.audits) for one in judged(verifier, *rows)] == [{"strict"}, {"strict"}, set(), set()]
    assert [set(one.audits) for one in judged(verifier.judging_all(), *rows)] == [{"strict"}] * 4


def test_void_rollouts_are_not_audited_and_failures_of_audits_are_said():
    class Down:
        def judge(self, rows):
            return [Verdict(0.0, "judge", void=True), Verdict(1.0)]

        def close(self): ...

    def fails(completions):
        raise ValueError("no")

    broken = function_audit("mine", 1.0, LocalFunction(fails, "audits[0]"))

    def refused(rows, written):
        raise UserError("the key is wrong")

    verifier = AuditedVerifier(Down(), [broken, Audit("judge", 1.0, refused, lambda: None)])
    with pytest.warns(RekindleWarning) as caught:
        void, right = judged(verifier, *items("a", "b"))
    assert (void.audits, right.score, right.audits) == ({}, 1.0, {"mine": None, "judge": None})
    texts = [str(one.message) for one in caught]
    assert texts[0].startswith('audit "mine" failed: ValueError: no (test_audited.py')
    assert texts[1] == 'audit "judge" failed: the key is wrong'
    assert trouble_of(verifier) == "", "a dead audit ends no run"


def test_draws_are_uniform_and_belong_to_the_request_alone():
    draws = [draw_of(seed, place) for seed in range(200) for place in range(8)]
    assert draws == [draw_of(seed, place) for seed in range(200) for place in range(8)]
    assert len(set(draws)) == len(draws)
    assert 0 <= min(draws) < 0.01 < 0.99 < max(draws) < 1
    assert 0.22 < sum(one < 0.25 for one in draws) / len(draws) < 0.28


@pytest.mark.parametrize(
    ("settings", "audit"),
    [
        ({}, None),
        ({"verifier": "math"}, "last_number"),
        ({"verifier": "cover_match"}, "qa_exact_match"),
        ({"verifier": "f1"}, "qa_exact_match"),
        ({"verifier": "qa_exact_match"}, None),
        ({"verifier": "math", "audit": "off"}, None),
    ],
)
def test_a_verifier_with_a_stricter_sibling_is_audited_by_it(settings, audit):
    task = TaskTable(source="jsonl", path="p", **settings)
    assert own_audit(Config(task=task)) == audit
    reward = RewardTable(function="a.py:f")
    assert own_audit(Config(task=task, rewards=(reward,))) == audit, "a verifier with a name is one of the rewards"
    assert own_audit(Config(task=task, audits=(AuditTable(verifier="exact_match"),))) is None
    assert own_audit(Config(task=TaskTable(source="gsm8k", path="p"), rewards=(reward,))) is None


def test_audits_are_built_where_they_are_wanted(tmp_path):
    (tmp_path / "own.py").write_text("def strict(completions):\n    return [0.0] * len(completions)\n")
    audits = (
        AuditTable(verifier="qa_exact_match"),
        AuditTable(function=f"{tmp_path}/own.py:strict", name="mine", in_process=True),
    )
    config = Config(audits=audits)
    assert type(build_rewards(config)) is ExactMatchVerifier
    verifier = build_rewards(config, audits=True)
    rows = items("Ada Lovelace")
    assert judged(verifier, *rows)[0].audits == {"qa_exact_match": 1.0, "mine": 0.0}
    verifier.close()
    assert type(build_rewards(Config(), audits=True)) is ExactMatchVerifier
