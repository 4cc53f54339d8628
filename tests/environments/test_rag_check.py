import random
import socket
import warnings
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rag_cases import PARAMS, POISON, Says, document, facts, follow, planted, proposal

from fast import sample
from rekindle.engines.endpoint import Endpoint, EndpointError
from rekindle.engines.engine import SamplingLimits
from rekindle.environments.search.codec import PolicyCodec
from rekindle.environments.search.documents import DocumentWriter
from rekindle.environments.self_play.answering import EndpointAnswerer, PolicyAnswerer
from rekindle.environments.self_play.proposals import Reason
from rekindle.environments.self_play.rag_check import RagCheck
from rekindle.tasks.search_world import vocabulary
from rekindle.types import UserError
from rekindle.verifiers.exact import ExactMatchVerifier
from rekindle.verifiers.judge import JudgeVerifier
from rekindle.verifiers.judge_cache import VerdictCache
from rekindle.verifiers.judge_prompt import SYSTEM_PROMPT
from rekindle.verifiers.qa import QaVerifier
from rekindle.verifiers.verifier import Verdict
from rekindle.warm_starts.tiny_model import build_tiny
from search_cases import CharacterCodec, NoTemplate, ScriptedEngine
from searching import answering

EXACT = QaVerifier("qa_exact_match")
KNOWN, UNANSWERABLE, UNVERIFIED = Reason.KNOWN, Reason.UNANSWERABLE, Reason.UNVERIFIED


def opened(book):
    return bool(book.documents)


def by_book(with_documents, *without):
    """An answerer that answers so with documents, and so at the attempts without."""
    replies = iter(without)
    return Says(lambda book: with_documents if opened(book) else next(replies))


def judged(answerer, *proposals, verifier=EXACT, seed=0, **options):
    """The reasons after a check."""
    proposals = proposals or (proposal(1, [document(1)]),)
    check = RagCheck(answerer, verifier, seed=seed, **options)
    check.judge(proposals)
    return [one.reason for one in proposals]


class Verdicts:
    """A verifier that gives these, whatever it is asked; an exception is raised."""

    def __init__(self, *verdicts):
        self.verdicts, self.asked = verdicts, []

    def judge(self, items):
        self.asked += items
        for one in self.verdicts:
            if isinstance(one, BaseException):
                raise one
        return list(self.verdicts)

    def close(self):
        pass


# -- what passes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "replies", "expected"),
    [
        ("right", ["right", ""], None),
        ("right", ["The RIGHT.", "wrong"], None),
        ("right", ["wrong", "right"], UNANSWERABLE),
        ("right", ["right answer", ""], UNANSWERABLE),
        ("right", ["incorrect", ""], UNANSWERABLE),
        ("right", ["", ""], UNANSWERABLE),
        ("right", ["unknown", ""], UNANSWERABLE),
        ("right", [None, ""], UNVERIFIED),
        ("right", ["right", "right"], KNOWN),
        ("right", ["right", None], UNVERIFIED),
        (("a b", "right"), ["right", ""], None),
        (("a b", "right"), ["a, b!", ""], None),
        (("a b", "right"), ["a", ""], UNANSWERABLE),
        (("a b", "right"), ["('a b', 'right')", ""], UNANSWERABLE),
        (("a b", "right"), ["right", "A B"], KNOWN),
        (("", "right"), ["right", ""], None),
        ((), ["right", ""], UNVERIFIED),
        ("", ["right", ""], UNVERIFIED),
        ("北京", ["北京。", ""], None),
    ],
)
def test_outcomes_by_hand(answer, replies, expected):
    given_one = proposal(1, [document(1)], answer)
    assert judged(by_book(*replies), given_one) == [expected]
    assert given_one.reply == replies[0]


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        (["", "wrong", "no"], None),
        (["", "", "right"], KNOWN),
        (["right", None, ""], KNOWN),
        (["", None, "wrong"], UNVERIFIED),
        ([], None),
    ],
)
def test_attempts_without_documents(attempts, expected):
    answerer = by_book("right", *attempts)
    assert judged(answerer, closed_book=len(attempts)) == [expected]
    books = [book for book in answerer.asked if not opened(book)]
    assert len(books) == len(attempts)
    assert len({book.seed for book in answerer.asked}) == 1 + len(attempts)


def test_only_what_passed_is_asked_without_documents():
    proposals = [proposal(n, [document(n)], answer) for n, answer in enumerate(["right", "left", "right"])]
    answerer = Says(lambda book: "right" if opened(book) else "")
    check = RagCheck(answerer, EXACT, seed=0, closed_book=2)
    check.judge(proposals)
    assert [one.reason for one in proposals] == [None, UNANSWERABLE, None]
    assert [opened(book) for book in answerer.asked] == [True] * 3 + [False] * 4
    counts = {"open_book": 3, "closed_book": 4, "no_reply": 0, "no_verdict": 0}
    assert check.counts == {f"rag_check/{name}": count for name, count in counts.items()}
    assert check.seconds["generate"] == 0.5
    assert check.seconds["verify"] > 0


def test_what_was_rejected_is_left_alone():
    gone = proposal(1, [document(1)], question=None, reason=Reason.NO_QUESTION)
    answerer = Says(lambda _: "right")
    assert judged(answerer, gone, proposal(2, [document(2)]), closed_book=0) == [Reason.NO_QUESTION, None]
    assert gone.reply is None
    assert len(answerer.asked) == 1
    assert judged(answerer, gone) == [Reason.NO_QUESTION]
    assert len(answerer.asked) == 1


def test_switched_off_everything_passes():
    verifier = Verdicts(RuntimeError())
    gone = proposal(1, reason=Reason.TOO_LONG)
    check = RagCheck(None, verifier, seed=0)
    proposals = [gone, proposal(2, [document(2)]), proposal(3)]
    check.judge(proposals)
    assert [(one.reason, one.reply) for one in proposals] == [(Reason.TOO_LONG, None), (None, None), (None, None)]
    assert set(check.counts.values()) == {0}
    assert check.seconds == {"generate": 0.0, "verify": 0.0}
    check.judge([])


@pytest.mark.parametrize(("reply", "expected"), [("p q r", None), ("p q x", None), ("p x y", UNANSWERABLE)])
def test_the_score_that_is_right(reply, expected):
    one = proposal(1, [document(1)], "p q r")
    assert judged(by_book(reply, ""), one, verifier=QaVerifier("f1"), success_at=0.6) == [expected]


def test_the_verifier_sees_the_question_its_answers_and_the_reply_in_tags():
    verifier = Verdicts(Verdict(1.0))
    judged(by_book("right"), proposal(7, [document(1)], ("right", "a"), "why ?"), verifier=verifier, closed_book=0)
    ((task, text),) = verifier.asked
    assert (task.id, task.prompt, task.answer, text) == (
        "proposal/7",
        "why ?",
        ("right", "a"),
        "<answer>right</answer>",
    )


def test_an_empty_answer_is_wrong_whatever_the_verifier_says():
    one = proposal(1, [document(1)], ("", "right"))
    assert judged(by_book(""), one, verifier=ExactMatchVerifier()) == [UNANSWERABLE]


# -- fail closed ------------------------------------------------------------------------------------------------------


class Broken(Says):
    def __init__(self, error):
        super().__init__(None)
        self.error = error

    def answer(self, books):
        raise self.error


SCORES = {
    "void": [Verdict(0.0, "judge", void=True)],
    "void and right": [Verdict(1.0, void=True)],
    "a failure": [Verdict(0.0, "timeout")],
    "a failure and right": [Verdict(1.0, "error")],
    "no number": [Verdict(float("nan"))],
    "over one": [Verdict(2.0)],
    "below zero": [Verdict(-1.0)],
    "a word": [Verdict("1.0")],  # type: ignore[arg-type]
    "nothing": [None],
    "too few": [],
    "too many": [Verdict(1.0)] * 3,
    "raising": [RuntimeError("no verdict")],
    "raising a value error": [ValueError("no verdict")],
    "raising an end": [StopIteration()],
    "no memory": [MemoryError()],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("verdicts", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize("book", [True, False])
def test_a_verifier_without_a_verdict_passes_nothing(verdicts, book):
    """In either part of the check."""

    class Half(Verdicts):
        def judge(self, items):
            wanted = all("open" in text for _, text in items) == book
            return super().judge(items) if wanted else [Verdict(float(not book))] * len(items)

    answerer = Says(lambda asked: "open" if opened(asked) else "closed")
    assert judged(answerer, verifier=Half(*verdicts)) == [UNVERIFIED]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "answerer",
    [
        Broken(RuntimeError("the engine is gone")),
        Broken(TimeoutError()),
        Broken(ValueError("a prompt")),
        Broken(StopIteration()),
        Says(lambda _: None),
    ],
)
def test_an_answerer_without_a_reply_passes_nothing(answerer):
    proposals = [proposal(n, [document(n)]) for n in range(3)]
    assert judged(answerer, *proposals) == [UNVERIFIED] * 3
    assert {one.reply for one in proposals} == {None}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("replies", [[], ["right"], ["right"] * 3])
def test_another_number_of_replies_passes_nothing(replies):
    class Other(Says):
        def answer(self, books):
            return replies

    assert judged(Other(None), proposal(1, [document(1)]), proposal(2)) == [UNVERIFIED] * 2


@pytest.mark.filterwarnings("ignore")
def test_an_engine_that_raises_passes_nothing():
    class Engine:
        first = False

        def generate(self, requests):
            if self.first:
                yield from ScriptedEngine(CharacterCodec(), lambda *_: "<answer>right</answer>").generate(requests[:1])
            raise RuntimeError("out of memory")

    for Engine.first in (False, True):
        assert judged(by_policy(Engine()), proposal(1, [document(1)]), proposal(2, [document(2)])) == [UNVERIFIED] * 2


def test_one_missing_verdict_concerns_one_question():
    class Some(ExactMatchVerifier):
        def judge(self, items):
            return [Verdict(0.0, "judge", void=True) if "2" in task.id else Verdict(1.0) for task, _ in items]

    proposals = [proposal(n, [document(n)]) for n in range(4)]
    answerer = Says(lambda book: None if book.question == "gone" else "right")
    proposals[1].question = "gone"
    check = RagCheck(answerer, Some(), seed=0, closed_book=0)
    check.judge(proposals)
    assert [one.reason for one in proposals] == [None, UNVERIFIED, UNVERIFIED, None]
    assert (check.counts["rag_check/no_reply"], check.counts["rag_check/no_verdict"]) == (1, 1)


def test_what_raises_is_told_once_and_without_control_characters():
    with pytest.warns(UserWarning, match="its 2 questions are rejected as unverified") as warned:
        judged(Broken(RuntimeError("gone\x1b[2J\nfor good")), proposal(1, [document(1)]), proposal(2))
    assert len(warned) == 1
    assert "RuntimeError: gone [2J for good" in str(warned[0].message)


@pytest.mark.parametrize("error", [UserError("a wrong key"), KeyboardInterrupt()])
def test_what_the_user_can_mend_goes_through(error):
    for answerer, verifier in ((Broken(error), EXACT), (by_book("right"), Verdicts(error))):
        with pytest.raises(type(error)):
            judged(answerer, verifier=verifier)


# -- a judge behind a server ------------------------------------------------------------------------------------------


def judge_at(url):
    settings: dict[str, Any] = {"timeout_seconds": 2.0, "retries": 0, "concurrency": 2, "backoff_seconds": 0.001}
    endpoint = Endpoint(f"{url}/v1", "grader", system_prompt=SYSTEM_PROMPT, **settings)
    return JudgeVerifier(endpoint, concurrency=2, cache=VerdictCache(None))


def chat(text, reason="stop"):
    choices = [{"message": {"role": "assistant", "content": text}, "finish_reason": reason}]
    return 200, {"choices": choices, "usage": {"completion_tokens": 1, "prompt_tokens": 1}}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (chat("CORRECT"), None),
        (chat("INCORRECT"), UNANSWERABLE),
        (chat("incorrect."), UNANSWERABLE),
        (chat("not correct"), UNVERIFIED),
        (chat("It is correct, I think"), UNVERIFIED),
        (chat("CORRECT INCORRECT"), UNVERIFIED),
        (chat("CORRECT", "length"), UNVERIFIED),
        (chat(""), UNVERIFIED),
        ((200, ["CORRECT"]), UNVERIFIED),
        ((200, "CORRECT"), UNVERIFIED),
        ((500, {"error": "CORRECT"}), UNVERIFIED),
        ((429, {"error": "slow down"}), UNVERIFIED),
    ],
)
def test_a_real_judge(reply, expected):
    with answering(lambda *_: reply) as url:
        answerer = Says(lambda book: "about right" if opened(book) else "")
        assert judged(answerer, verifier=judge_at(url)) == [expected]
        exact = Says(lambda book: "Right!" if opened(book) else "")
        assert judged(exact, verifier=judge_at(url)) == [None], "an exact match needs no judge"


@pytest.mark.filterwarnings("ignore")
def test_no_question_passes_a_judge_that_is_down():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = judge_at(f"http://127.0.0.1:{free.getsockname()[1]}")
        proposals = [proposal(n, [document(n)]) for n in range(20)]
        assert judged(Says(lambda _: "about right"), *proposals, verifier=down) == [UNVERIFIED] * 20


def test_a_judge_with_a_wrong_key_is_an_error():
    with answering(lambda *_: (401, {})) as url, pytest.raises(EndpointError, match="API key"):
        judged(Says(lambda _: "about right"), verifier=judge_at(url))


# -- whose documents are shown ----------------------------------------------------------------------------------------


def batch(count=12):
    """Every other one rejected, some without documents, some with those of a neighbour."""
    reasons = [None, Reason.TOO_SHORT]
    shelves = [[], [0, 1], [2], [2, 3, 4], [5, 0]]
    return [
        proposal(n, [document(f"{n // 2}/{one}") for one in shelves[n % 5]], question=f"q{n}", reason=reasons[n % 2])
        for n in range(count)
    ]


def books_of(proposals, **options):
    """What is asked, by question."""
    answerer = Says(lambda _: "right")
    judged(answerer, *proposals, closed_book=0, **{"seed": 3} | options)
    return {book.question: book for book in answerer.asked}


@pytest.mark.parametrize("noise", [4, 50])
def test_own_documents_are_always_there_and_noise_is_spare(noise):
    proposals = batch()
    books = books_of(proposals, noise=noise)
    for one in (one for one in proposals if one.question in books):
        book = books[one.question]
        shown, own = [each.id for each in book.documents], {each.id for each in one.documents}
        assert len(set(shown)) == len(shown)
        assert {shown[index] for index in range(len(shown)) if index not in book.spare} == own
        assert len({each.rpartition("/")[0] for each in set(shown) - own}) <= noise


def test_own_documents_stand_anywhere():
    others = [proposal(n, [document(f"{n}/{one}") for one in range(3)], question=f"q{n}") for n in range(40)]
    books = books_of(others, noise=2)
    places = {min(set(range(9)) - book.spare) for book in books.values()}
    assert len(places) > 1


@pytest.mark.parametrize(("noise", "expected"), [(0, 1), (1, 2), (4, 5), (9, 10), (50, 10)])
def test_the_number_of_other_trajectories(noise, expected):
    rejected = [proposal(n, [document(n)], reason=Reason.DUPLICATE) for n in range(2, 11)]
    nothing = [proposal(n, question="nothing", reason=Reason.TOO_FEW_SEARCHES) for n in range(20, 30)]
    books = books_of([proposal(1, [document(1)]), *rejected, *nothing], noise=noise)
    assert [len(book.documents) for book in books.values()] == [expected]


def test_trajectories_of_the_same_request_are_no_noise():
    twins = [proposal(1, [document(n)], question=f"q{n}") for n in range(4)]
    assert [len(book.documents) for book in books_of(twins).values()] == [1] * 4
    books = books_of([*twins, proposal(2, [document(9)], question="q9")])
    assert sorted(len(book.documents) for book in books.values()) == [2, 2, 2, 2, 5]


def test_documents_depend_on_the_seed_and_the_request_and_nothing_else():
    proposals = batch(40)
    first, again = books_of(proposals), books_of(batch(40))
    assert first == again
    other_seed, other_noise = books_of(proposals, seed=4), books_of(proposals, noise=3)
    assert all(other_seed[name].seed != book.seed for name, book in first.items())
    assert sum(other_seed[name].documents != book.documents for name, book in first.items()) > len(first) // 2
    assert other_noise != first
    assert len({book.seed for book in first.values()}) == len(first)


@given(st.randoms())
def test_the_order_of_a_batch_does_not_matter(rng):
    proposals = [*batch(), *(proposal(5, [document(f"twin{n}")], question=f"twin{n}") for n in range(3))]
    expected = books_of(proposals)
    rng.shuffle(proposals)
    assert books_of(proposals) == expected


def test_no_global_random_state_is_touched():
    random.seed(1)
    before = random.getstate()
    books_of(batch())
    assert random.getstate() == before


# -- planted questions ------------------------------------------------------------------------------------------------

PROMPT, CLOSED = "<information>{documents}</information>{question}", "{question}"


def by_policy(engine, codec=None, **options):
    codec = codec or NoTemplate()
    writer = DocumentWriter(codec, document_format="{text} ", document_tokens=200)
    given: dict[str, Any] = {"max_new_tokens": 60, "context": 4000, "stop": ("</answer>",)}
    limits = SamplingLimits(**given | options)
    return PolicyAnswerer(codec, engine, writer=writer, limits=limits, prompt=PROMPT, closed_prompt=CLOSED)


def read(prompt, _=0):
    """Follow the hops of the question through the passages of the prompt, and nothing else."""
    documents, _, question = prompt.rpartition("</information>")
    return f"<answer>{follow(question, facts(documents.replace('<information>', '')))}</answer>"


@pytest.fixture(scope="module")
def tiny():
    return PolicyCodec(build_tiny(words=vocabulary(PARAMS), layers=1, hidden_size=8, heads=1, kv_heads=1))


def reasons(check, proposals):
    check.judge(proposals)
    return [one.reason for one in proposals]


@pytest.mark.parametrize("noise", sample([0, 4], 4))
def test_no_planted_wrong_answer_passes_and_every_right_one_does(tiny, noise):
    def check(on):
        words = ScriptedEngine(tiny, lambda text, _: read(text).replace(">", "> ").replace("<", " <"))
        answerer = by_policy(words, tiny, max_new_tokens=8) if on else None
        return RagCheck(answerer, EXACT, seed=1, noise=noise)

    assert reasons(check(on=False), planted(200, wrong=True)) == [None] * 200
    assert reasons(check(on=False), planted(200, wrong=False)) == [None] * 200
    assert reasons(check(on=True), planted(200, wrong=True)) == [UNANSWERABLE] * 200
    assert reasons(check(on=True), planted(200, wrong=False)) == [None] * 200


def test_documents_that_do_not_hold_the_answer(tiny):
    """A right answer that the proposer did not read, and was not shown by chance, is no answer."""
    words = ScriptedEngine(tiny, lambda text, _: read(text).replace(">", "> ").replace("<", " <"))
    proposals = planted(60, wrong=False)
    for one in proposals:
        one.rollout = replace(one.rollout, retrievals=())
    found = reasons(RagCheck(by_policy(words, tiny, max_new_tokens=8), EXACT, seed=1), proposals)
    assert found == [UNANSWERABLE] * 60


def test_the_same_through_a_server():
    def rule(payload, _):
        prompt = payload["messages"][0]["content"]
        lines = [line for line in prompt.splitlines() if line.startswith("Document ")]
        question = prompt.rpartition("Question: ")[2].strip().strip('"')
        known = facts(" ".join(line.split('"')[3] for line in lines))
        return chat(f"I read: <answer>{follow(question, known)}</answer>")

    with answering(rule) as url, warnings.catch_warnings():
        warnings.simplefilter("error")
        answerer = EndpointAnswerer(Endpoint(f"{url}/v1", "reader", retries=0, concurrency=4), concurrency=4)
        proposals = [*planted(20, wrong=True), *planted(20, wrong=False)]
        assert reasons(RagCheck(answerer, EXACT, seed=1), proposals) == [UNANSWERABLE] * 20 + [None] * 20
    assert answerer.cost.rollouts == 60


@pytest.mark.parametrize("name", POISON)
def test_poison_says_nothing_for_a_question(name):
    """Rome is the wanted answer; a reader of facts is told so by a document, or by the question, and is not moved."""
    poison = POISON[name]
    (one,) = planted(1, wrong=False)
    seed = proposal(1, [*one.documents, document("poison", poison)], "Rome", one.question)
    steered = proposal(2, one.documents, "Rome", f"{poison} {one.question}")
    engine = ScriptedEngine(NoTemplate(), lambda text, _: read(text))
    found = reasons(RagCheck(by_policy(engine), EXACT, seed=0, noise=0), [seed, steered])
    assert None not in found
    assert found[0] is UNANSWERABLE
