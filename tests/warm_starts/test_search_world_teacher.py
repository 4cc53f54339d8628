"""The noisy teacher: conversations with a partner that looks up exactly what is asked."""

import math
from collections import Counter
from typing import Any

import pytest

from rekindle.engines.conversing import converse
from rekindle.engines.engine import PartnerTurn, SamplingRequest
from rekindle.tasks.search_world import Params, demonstration_tasks, load_search_world, passages, vocabulary
from rekindle.types import Task
from rekindle.warm_starts.search_world import Teacher, TeacherEngine, solver_lessons

pytestmark = pytest.mark.slow

PARAMS = Params(entities=40, name_words=40)
FAULTLESS = Teacher(error_rates=(0.0,))
WORDS = vocabulary(PARAMS)
IDS = {word: index for index, word in enumerate(WORDS)}


def encode(text):
    return [IDS[word] for word in text.split()]


def decode(ids):
    return " ".join(WORDS[token] for token in ids)


class Librarian:
    """Finds the fact asked for and, after it, another one of the same entity; records the turns."""

    def __init__(self, corpus, most_turns=9):
        self.texts = sorted(document.text for document in passages(PARAMS, corpus))
        self.written, self.most_turns = {}, most_turns

    def on_turn(self, request, sample, completion):
        assert completion.token_ids == encode(completion.text)
        assert len(completion.logprobs) == len(completion.token_ids)
        turns = self.written.setdefault((request, sample), [])
        turns.append(completion.text)
        return "</answer>" not in completion.text and len(turns) < self.most_turns

    def respond(self, conversations):
        return [PartnerTurn(encode(f"<information> {self.found(name)} </information>"), 8) for name in conversations]

    def found(self, name):
        open_, *query, close = self.written[name][-1].split()
        assert (open_, close) == ("<search>", "</search>")
        first = next(text for text in self.texts if text.split()[:3] == query)
        second = next(text for text in self.texts if text.split()[:2] == query[:2] and text != first)
        return f"{first} {second}"


def conversations(tasks, teacher, seed=0, n=1, corpus="demonstrations"):
    engine = TeacherEngine(solver_lessons(tasks, PARAMS, teacher), encode=encode, decode=decode)
    librarian = Librarian(corpus)
    requests = [SamplingRequest(encode(task.prompt), n=n, seed=seed + row) for row, task in enumerate(tasks)]
    converse(engine, requests, librarian)
    return librarian.written


def answer(turns):
    return turns[-1].removeprefix("<answer> ").removesuffix(" </answer>")


def test_without_errors_every_question_is_answered_in_one_search_per_hop():
    found = load_search_world({"entities": 40, "name_words": 40}, pool_size=200, eval_prompts=100, seed=0)
    for corpus, tasks in (("pool", found.pool), ("held_out", found.held_out)):
        written = conversations(tasks, FAULTLESS, corpus=corpus)
        for row, task in enumerate(tasks):
            path: Any = task.metadata["path"]
            relations: Any = task.metadata["relations"]
            searches = [f"<search> {at} {relation} </search>" for at, relation in zip(path, relations, strict=False)]
            assert written[row, 0] == [*searches, f"<answer> {task.answer} </answer>"]


ROWS = 6000


@pytest.fixture(scope="module")
def shown():
    tasks = demonstration_tasks(PARAMS, ROWS, 0)
    return list(zip(tasks, (turns for _, turns in sorted(conversations(tasks, Teacher()).items())), strict=True))


def kind(task, turns):
    """Kind of the mistake in a conversation, found from its turns."""
    path, relations = task.metadata["path"], task.metadata["relations"]
    right = [f"<search> {at} {relation} </search>" for at, relation in zip(path, relations, strict=False)]
    if answer(turns) == task.answer:
        return "right"
    if turns[:-1] == right[: len(turns) - 1] and answer(turns) == path[len(turns) - 1]:
        return "short"  # a hop early, or given up
    asked = [turn.split()[3] for turn in turns[:-1]]
    return "distractor" if asked == relations else "relation"


def test_the_teacher_errs_as_often_as_it_should(shown):
    wrong, total = Counter(), Counter()
    for task, turns in shown:
        total[len(task.metadata["relations"])] += 1
        wrong[len(task.metadata["relations"])] += kind(task, turns) != "right"
    for hops, rate in enumerate((0.3, 0.6, 0.8, 0.9), 1):
        # in a world of 40 an error leads to the right answer once in 40 or so when it goes on: kinds .3 of the errors
        assert wrong[hops] <= binomial_bounds(total[hops], rate)[1]
        assert wrong[hops] >= binomial_bounds(total[hops], rate * (1 - 0.3 / 10))[0]


def test_the_kinds_of_errors_have_their_shares(shown):
    long = Counter(kind(task, turns) for task, turns in shown if len(task.metadata["relations"]) > 1)
    wrong = sum(long.values()) - long["right"]
    low, high = binomial_bounds(wrong, 0.7)  # .6 a hop early, .1 given up; the others succeed by chance now and then
    assert low <= long["short"] <= high + 0.03 * wrong
    assert 0.10 * wrong < long["distractor"] < 0.20 * wrong
    assert 0.10 * wrong < long["relation"] < 0.20 * wrong
    one = Counter(kind(task, turns) for task, turns in shown if len(task.metadata["relations"]) == 1)
    wrong = sum(one.values()) - one["right"]
    for name, share in (("distractor", 0.15 / 0.4), ("relation", 0.15 / 0.4), ("short", 0.1 / 0.4)):
        low, high = binomial_bounds(wrong, share)
        assert low - 0.05 * wrong <= one[name] <= high + 0.05 * wrong, name


def test_a_hop_early_is_the_commonest_error_of_long_questions(shown):
    four = [(task, turns) for task, turns in shown if len(task.metadata["relations"]) == 4]
    early = sum(answer(turns) == task.metadata["path"][-2] and len(turns) == 4 for task, turns in four)
    wrong = sum(kind(task, turns) != "right" for task, turns in four)
    assert 0.5 * wrong < early < 0.75 * wrong


def test_the_teacher_says_nothing_that_it_has_not_read_or_been_asked(shown):
    for task, turns in shown:
        assert all(turn.startswith("<search> ") and turn.endswith(" </search>") for turn in turns[:-1])
        assert turns[-1].startswith("<answer> ")
        assert len(turns) <= len(task.metadata["relations"]) + 1
        if len(turns) > 1:
            assert turns[0].split()[1:3] == task.prompt.split()[:2]


def test_a_conversation_depends_on_its_seed_and_sample_alone():
    tasks = demonstration_tasks(PARAMS, 60, 0)
    several = conversations(tasks, Teacher(), seed=5, n=3)
    assert several == conversations(tasks, Teacher(), seed=5, n=3)
    alone = {(row, 0): conversations([task], Teacher(), seed=5 + row)[0, 0] for row, task in enumerate(tasks)}
    assert alone == {name: turns for name, turns in several.items() if name[1] == 0}
    assert several != conversations(tasks, Teacher(), seed=500, n=3)
    assert any(several[row, 0] != several[row, 1] for row in range(60))


class Scripted:
    """Partner with scripted replies."""

    def __init__(self, *replies, limit=8):
        self.replies, self.limit, self.written = list(replies), limit, []

    def on_turn(self, request, sample, completion):
        self.written.append((completion.text, completion.truncated))
        return bool(self.replies)

    def respond(self, conversations):
        return [PartnerTurn(encode(self.replies.pop(0)), self.limit) for _ in conversations]


def play(partner, prompt, limit=8):
    task = Task("t", prompt, "-")
    engine = TeacherEngine(solver_lessons([task], PARAMS, FAULTLESS), encode=encode, decode=decode)
    engine.converse([SamplingRequest(encode(prompt), max_new_tokens=limit)], partner)
    return partner.written


def test_the_teacher_believes_what_it_reads_and_tells_former_values_apart():
    a, b, c, d, e, f = WORDS[-6:]
    reply = f"<information> {a} {b} once boss {e} {f} . {c} {d} boss {a} {b} . {a} {b} boss {c} {d} . </information>"
    written = play(Scripted(reply), f"{a} {b} boss ?")
    assert [text for text, _ in written] == [f"<search> {a} {b} boss </search>", f"<answer> {c} {d} </answer>"]


def test_a_reply_without_the_fact_leaves_the_teacher_where_it_was():
    a, b = WORDS[-2:]
    written = play(
        Scripted("<information> </information>", "<information> . boss . </information>"), f"{a} {b} boss home ?"
    )
    assert [text for text, _ in written] == [
        f"<search> {a} {b} boss </search>",
        f"<search> {a} {b} home </search>",
        f"<answer> {a} {b} </answer>",
    ]


def test_turns_keep_to_their_limits_and_end_when_the_partner_says_so():
    a, b = WORDS[-2:]
    written = play(Scripted("<answer>", limit=2), f"{a} {b} boss ?", limit=3)
    assert written == [(f"<search> {a} {b}", True), (f"<answer> {a}", True)]


def test_a_teacher_does_not_answer_in_one_go():
    engine = TeacherEngine(solver_lessons([], PARAMS), encode=encode, decode=decode)
    with pytest.raises(NotImplementedError, match="holds conversations"):
        engine.generate([])


def binomial_bounds(trials, p, alpha=1e-6):
    """Counts that a binomial variable leaves on either side with a probability below ``alpha``, exactly."""
    mass = [
        math.exp(
            math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
            + k * math.log(p) + (trials - k) * math.log1p(-p)
        )
        for k in range(trials + 1)
    ]  # fmt: skip
    low = next(k for k in range(trials + 1) if math.fsum(mass[: k + 1]) >= alpha)
    high = next(k for k in range(trials, -1, -1) if math.fsum(mass[k:]) >= alpha)
    return low, high
