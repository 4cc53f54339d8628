"""Our own prompts have no answer in them: copied as they are, they are neither an answer nor right."""

import pytest
from rag_cases import Says, document, proposal

from rekindle.environments.search import tags, tool_calls
from rekindle.environments.search.turn_protocol import ANSWER, PLACEHOLDER, QUESTION
from rekindle.environments.self_play.check_prompt import CLOSED_BOOK, OPEN_BOOK, UNKNOWN
from rekindle.environments.self_play.filters import FilterLimits, rejected
from rekindle.environments.self_play.proposals import Reason
from rekindle.environments.self_play.proposer import TAGS_INSTRUCTIONS, TOOL_INSTRUCTIONS
from rekindle.environments.self_play.rag_check import RagCheck
from rekindle.verifiers.qa import QaVerifier

PROMPTS = {
    "the solver's tags": tags.INSTRUCTIONS,
    "the solver's tool calls": tool_calls.INSTRUCTIONS,
    "the proposer's tags": TAGS_INSTRUCTIONS,
    "the proposer's tool calls": TOOL_INSTRUCTIONS,
    "the check, with documents": OPEN_BOOK,
    "the check, without": CLOSED_BOOK,
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_prompt_that_is_copied_has_no_answer_in_its_tags(prompt):
    nothing = {None, UNKNOWN} if prompt is OPEN_BOOK else {None}
    assert all(ANSWER.closed(text) in nothing for text in (prompt, *prompt.splitlines()))


@pytest.mark.parametrize("prompt", [TAGS_INSTRUCTIONS, TOOL_INSTRUCTIONS])
def test_a_prompt_that_is_copied_is_no_question(prompt):
    for text in (prompt, *prompt.splitlines()):
        copied = proposal(1, [document(1)], "right", QUESTION.closed(text))
        assert rejected(copied, FilterLimits()) in {Reason.NO_QUESTION, Reason.TOO_SHORT}


@pytest.mark.parametrize("answer", [PLACEHOLDER, UNKNOWN, "Unknown", "Beijing"])
@pytest.mark.parametrize("reply", [OPEN_BOOK, CLOSED_BOOK, f"<answer>{UNKNOWN}.</answer>", "<answer> ... </answer>"])
def test_no_question_is_confirmed_by_a_copy_of_the_prompt(answer, reply):
    """Whatever the seed's answer is, "unknown" or dots among them."""
    for read in (reply, *reply.splitlines()):
        check = RagCheck(Says(lambda book, read=read: ANSWER.closed(read) or ""), QaVerifier("qa_exact_match"), seed=0)
        one = proposal(1, [document(1)], answer)
        check.judge([one])
        assert one.reason is Reason.UNANSWERABLE


def test_dots_are_no_final_text_and_more_than_dots_are():
    assert ANSWER.closed(f"<answer>{PLACEHOLDER}</answer>") is None
    assert ANSWER.closed("<answer>Paris</answer> <answer>...</answer>") is None, "the last pair counts"
    assert ANSWER.closed("<answer>Paris ...</answer>") == "Paris ..."
