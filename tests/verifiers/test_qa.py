"""Short answers: what is the same word, and the three scores."""

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.config.tables.task import TaskTable, VerifyTable
from rekindle.types import Task
from rekindle.verifiers import cover_match, exact_match, f1, qa_exact_match
from rekindle.verifiers.exact import ExactMatchVerifier
from rekindle.verifiers.normalize import answer_tokens
from rekindle.verifiers.qa import MAX_FURTHER_TOKENS, QaVerifier, repeats_question
from rekindle.verifiers.rewards import build_verifier
from rekindle.verifiers.verifier import Verdict

# -- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # SQuAD's rule.
        ("The  Beatles!", "beatles"),
        ("An apple a day", "apple day"),
        ("Theatre", "theatre"),
        ("U.S.", "us"),
        ("rock-and-roll", "rockandroll"),
        ("James's", "jamess"),
        ("snake_case", "snakecase"),
        ("No. 5", "no 5"),
        ("$5", "5"),
        ("", ""),
        ("  \n", ""),
        # Numbers.
        ("10,000", "10000"),
        ("1,234,567.5", "1234567.5"),
        ("1,2,3", "1 2 3"),
        ("3.5", "3.5"),
        ("3.5.", "3.5"),
        ("35", "35"),
        ("-5", "-5"),
        ("(\u22125)", "-5"),
        ("May-5", "may5"),
        ("1861-65", "1861 65"),
        ("1861\u201365", "1861 65"),
        ("13.02.2004", "13 02 2004"),
        ("13/02/2004", "13 02 2004"),
        ("10:30", "10 30"),
        ("\u00bd", "1 2"),
        ("9,000+", "9000+"),
        # Unicode.
        ("Ram\u00edrez", "ramirez"),
        ("Rami\u0301rez", "ramirez"),
        ("Kr\u00f8yer \u0141\u00f3d\u017a", "kroyer lodz"),
        ("Stra\u00dfe", "strasse"),
        ("\u0130zmir", "izmir"),
        ("Eto\u2019o", "etoo"),
        ("Hawai\u02bbi", "hawaii"),
        ("\u201cKids\u201d \u2026", "kids"),
        ("Trenton\u2013Mercer", "trentonmercer"),
        ("\uff21\uff22\uff23\uff0e", "abc"),
        ("a\u00a0b\u200bc", "bc"),
        ("\u0439", "\u0439"),  # no Latin letter: the mark is part of it
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("\u20ac5", "\u20ac5"),
        # Signs that distinguish.
        ("C", "c"),
        ("C++", "c++"),
        ("C#", "c#"),
        ("1+1", "1 1"),
        # What would leave nothing.
        ("The The", "the the"),
        ("A", "a"),
        ("?", "?"),
        # Without spaces between words.
        ("\u674e\u5c0f\u9f99\u3002", "\u674e \u5c0f \u9f99"),
        ("\u5f20 \u4e09", "\u5f20 \u4e09"),
        ("2008\u5e74", "2008 \u5e74"),
        ("\u6771\u4eac\u30bf\u30ef\u30fc", "\u6771 \u4eac \u30bf \u30ef \u30fc"),
        ("\uff76\uff9e", "\u30ac"),
        ("\uc11c\uc6b8", "\uc11c \uc6b8"),
        ("T\u6064", "t \u6064"),
    ],
)
def test_tokens(text, tokens):
    assert answer_tokens(text) == tuple(tokens.split())


def squad_tokens(text):
    bare = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


@given(st.text(st.sampled_from("aAbthenHE .,;:'\"!?()-_/& \n\t")))
def test_ascii_without_digits_is_as_in_squad(text):
    assert list(answer_tokens(text)) == squad_tokens(text) or not squad_tokens(text)


@given(st.text(), st.sampled_from([" ", "\n", "\u00a0", "\u3000"]))
def test_any_text_has_tokens_and_white_space_around_it_does_not_count(text, space):
    tokens = answer_tokens(text)
    assert answer_tokens(f"{space}{text}{space}") == tokens
    assert bool(tokens) or not text.strip()
    assert all(token and not token.isspace() for token in tokens)


# -- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prediction", "answers", "same", "covered", "shared"),
    [
        ("The Beatles!", "beatles", 1, 1, 1),
        ("Boise, Idaho", "Boise", 0, 1, 2 / 3),
        ("Boise", "Boise, Idaho", 0, 0, 2 / 3),
        ("Idaho Boise", "Boise Idaho", 0, 0, 1),
        ("New York City", "York", 0, 1, 1 / 2),
        ("Yorkshire", "York", 0, 0, 0),
        ("Boise", ("Paris", "Boise Idaho", "Boise"), 1, 1, 1),
        ("Daniel Patrick Moynihan", 'Daniel Patrick "Pat" Moynihan', 0, 0, 6 / 7),
        ("a b b c", "b b d", 0, 0, 2 / 3),  # of b b c and b b d, two are shared
        ("big big dog", "big dog", 0, 1, 4 / 5),
        ("big big big", "big dog", 0, 0, 2 / 5),  # the one big of the reference is shared once
        ("35", "3.5", 0, 0, 0),
        ("10000 people", "10,000", 0, 1, 2 / 3),
        ("acid house", "acid-house", 0, 0, 0),
        ("", "Boise", 0, 0, 0),
        ("Boise", "", 0, 0, 0),
        ("", "", 0, 0, 0),
        ("the", "The The", 0, 0, 2 / 3),
        ("Boise", (), 0, 0, 0),
        ("?", "!", 0, 0, 0),
        # Yes, no and noanswer.
        ("Yes.", "yes", 1, 1, 1),
        ("yes, both are", "yes", 0, 1, 0),
        ("no", "yes", 0, 0, 0),
        ("yes or no", "yes", 0, 0, 0),
        ("yes or no", "no", 0, 0, 0),
        ("there is no sign", "no", 0, 0, 0),
        ("no", "no man's land", 0, 0, 0),
        ("no man", "no man's land", 0, 0, 2 / 5),
        ("noanswer", "noanswer", 1, 1, 1),
        # Without spaces.
        ("\u4ed6\u662f\u674e\u5c0f\u9f99", "\u674e\u5c0f\u9f99", 0, 1, 3 / 4),
        ("\u674e\u9f99", "\u674e\u5c0f\u9f99", 0, 0, 4 / 5),
        ("\u674e \u5c0f\u00b7\u9f99", "\u674e\u5c0f\u9f99", 1, 1, 1),
        ("\u5728\uff12\uff10\uff10\uff18\u5e74", "2008\u5e74", 0, 1, 4 / 5),
    ],
)
def test_scores(prediction, answers, same, covered, shared):
    assert qa_exact_match(prediction, answers) == same
    assert cover_match(prediction, answers) == covered
    assert f1(prediction, answers) == pytest.approx(shared)


WORDS = st.lists(
    st.sampled_from(["a", "the", "yes", "no", "York", "new", "3.5", "35", "\u674e", "C#", "!"]), max_size=5
)
ANSWER = WORDS.map(" ".join) | st.text(max_size=8)
SCORES = (qa_exact_match, cover_match, f1)


@given(ANSWER, st.lists(ANSWER, max_size=3), ANSWER)
def test_a_further_alias_never_costs_and_scores_are_scores(prediction, answers, alias):
    for score in SCORES:
        assert 0 <= score(prediction, answers) <= score(prediction, [*answers, alias]) <= 1
        assert score(prediction, [alias, *answers]) == max(score(prediction, answers), score(prediction, alias))


@given(ANSWER, ANSWER)
def test_exact_match_and_f1_do_not_mind_who_is_who(one, other):
    assert qa_exact_match(one, other) == qa_exact_match(other, one)
    assert f1(one, other) == f1(other, one)


@given(ANSWER, ANSWER)
def test_an_exact_match_is_covered_and_has_all_words(one, other):
    if qa_exact_match(one, other):
        assert cover_match(one, other) == f1(one, other) == 1
    assert qa_exact_match(one, one) == bool(answer_tokens(one))
    if exact_match(one, other) and answer_tokens(one):
        assert qa_exact_match(one, other)


@given(WORDS, WORDS, WORDS)
def test_a_covered_answer_stays_covered_by_more_words(before, wanted, after):
    text = " ".join(["x", *before, "x", *wanted, "x", *after])
    if answer_tokens(" ".join(wanted)) not in {("yes",), ("no",), ()} and not {"a", "the", "!"} & set(wanted):
        assert cover_match(text, " ".join(wanted)) == 1


# -- the verifier -----------------------------------------------------------------------------------------------------


def judged(metric, text, answer="Boise"):
    return QaVerifier(metric).judge([(Task("t", "?", answer), text)])[0]


def test_the_final_answer_is_judged_in_order_and_no_reference_is_an_error():
    about: Any = pytest.approx
    task, none = Task("a", "?", ("Boise", "Boise City")), Task("b", "?", ())
    verifier = QaVerifier("f1")
    texts = ["thinking <answer> boise. </answer>", "<answer>Boise, Idaho</answer>", "Paris", "boise city"]
    items = [(task, text) for text in texts]
    assert verifier.judge([*items, (none, "Boise"), (Task("c", "?", " "), "")]) == [
        Verdict(1.0),
        Verdict(about(2 / 3)),
        Verdict(0.0),
        Verdict(1.0),
        Verdict(0.0, "error"),
        Verdict(0.0, "error"),
    ]
    verifier.close()
    verifier.close()


@pytest.mark.parametrize("metric", ["qa_exact_match", "cover_match", "f1"])
def test_every_metric_has_its_verifier(metric):
    function = {"qa_exact_match": qa_exact_match, "cover_match": cover_match, "f1": f1}[metric]
    for text in ["Boise", "Boise, Idaho", "Idaho", ""]:
        assert judged(metric, text) == Verdict(function(text, "Boise"))


def test_an_answer_that_lists_everything_covers_nothing():
    further = " ".join(f"Town{number}" for number in range(MAX_FURTHER_TOKENS))
    assert judged("cover_match", f"{further} Boise").score == 1
    assert judged("cover_match", f"{further} Boise City", "Boise City").score == 1
    assert judged("cover_match", f"{further} Boise Town").score == 0
    assert cover_match(f"{further} Boise Town", "Boise") == 1
    # A long alias does not lend its length to a short one.
    assert judged("cover_match", f"{further} Boise Town", ("Boise", " ".join(["x"] * 9))).score == 0


@pytest.mark.parametrize(
    ("text", "answer", "score"),
    [
        ("Which is older, the Rex or the Odeon?", "Rex", 0),
        ("the Rex or the Odeon", "Rex", 0),
        ("Rex, Odeon", "Rex", 0),
        ("It is the Rex", "Rex", 0),
        ("Rex", "Rex", 1),
        ("The Rex", "Rex Cinema", 2 / 3),
        ("Rex Cinema", "Rex", 0),
        ("the Rex Cinema of 1910", "Rex Cinema", 4 / 6),
        ("older than 1910", "1910", 1 / 2),
    ],
)
def test_words_of_the_question_are_no_answer(text, answer, score):
    task = Task("t", "Which is older, the Rex or the Odeon?", answer)
    assert QaVerifier("f1").judge([(task, text)])[0].score == pytest.approx(score)
    covered = QaVerifier("cover_match").judge([(task, text)])[0].score
    assert covered == float(score > 0 and cover_match(text, answer) > 0)
    assert QaVerifier("qa_exact_match").judge([(task, text)])[0].score == (score == 1)


def test_words_of_earlier_turns_are_words_of_the_question():
    turns = [("user", "Which is older, the Rex or the Odeon?"), ("assistant", "Of what town?"), ("user", "Leeds")]
    messages = tuple({"role": role, "content": content} for role, content in turns)
    task = Task("t", "Leeds", "Rex Cinema", messages=messages)
    assert QaVerifier("f1").judge([(task, "the Rex or the Odeon")])[0].score == 0
    assert QaVerifier("f1").judge([(Task("t", "Leeds", "Rex Cinema"), "the Rex or the Odeon")])[0].score > 0


@pytest.mark.parametrize(
    ("answer", "repeats"),
    [
        ("Which is older, the Rex or the Odeon?", True),
        ("So: is older, the Rex or?", True),
        ("Rex or the Odeon", False),
        ("The Rex", False),
        ("the Rex or the", False),
        ("", False),
    ],
)
def test_an_answer_that_repeats_half_of_the_question(answer, repeats):
    assert repeats_question(answer, "Which is older, the Rex or the Odeon?") is repeats


def test_a_completion_without_an_answer_tag_is_one_long_answer():
    assert (
        judged("cover_match", "I looked for it in all documents that were found, and all say it must be Boise").score
        == 0
    )
    assert judged("cover_match", "It is Boise").score == 1


def test_the_strict_exact_match_is_another_verifier():
    assert ExactMatchVerifier().judge([(Task("t", "?", "Boise"), "boise.")]) == [Verdict(0.0)]
    assert judged("qa_exact_match", "boise.") == Verdict(1.0)


@pytest.mark.parametrize("kind", ["qa_exact_match", "cover_match", "f1"])
def test_the_configuration_chooses_the_metric(kind):
    made = build_verifier(TaskTable(source="jsonl", path="x", verifier=kind), VerifyTable())
    for text in ["boise.", "Boise, Idaho"]:
        assert made.judge([(Task("t", "?", "Boise"), text)]) == [judged(kind, text)]


def test_the_search_world_is_judged_by_normalised_words():
    made = build_verifier(TaskTable(source="search_world"), VerifyTable())
    verdicts = made.judge([(Task("t", "?", "Boise"), text) for text in ("boise.", "Boise, Idaho")])
    assert verdicts == [Verdict(1.0), Verdict(0.0)]
