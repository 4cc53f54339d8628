"""Self-play in the search world: mentions, seeds, the oracle, and the teachers of proposing and verifying."""

import hashlib
import json
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.engines.conversing import converse
from rekindle.engines.engine import PartnerTurn, SamplingRequest
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.tasks.search_world import (
    CORPORA,
    Facts,
    Params,
    demonstration_tasks,
    distinct_questions,
    load_search_world,
    load_self_play,
    passages,
    self_play_passages,
    vocabulary,
)
from rekindle.tasks.search_world.world import world
from rekindle.types import Document
from rekindle.warm_starts.search_world import (
    ProposerTeacher,
    TeacherEngine,
    VerifierTeacher,
    Wish,
    misread,
    proposer_lessons,
    wishes,
)

PARAMS = Params(entities=60, name_words=40)
WORDS = vocabulary(PARAMS, self_play=True)
IDS = {word: index for index, word in enumerate(WORDS)}
FAULTLESS = ProposerTeacher(error_rates=(0.0,))
small_worlds = st.builds(
    Params,
    entities=st.integers(8, 16),
    name_words=st.integers(12, 30),
    relations=st.integers(1, 4),
    hops=st.integers(1, 4),
    distractors=st.integers(0, 2),
    seed=st.integers(0, 99),
)


# -- what stays as it was ---------------------------------------------------------------------------------------------


def digest(value):
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()


def test_worlds_without_self_play_are_what_they_always_were():
    """Published runs were made with these."""
    told = [[one.id, one.title, one.text] for corpus in CORPORA for one in passages(Params(), corpus)]
    found = load_search_world({"seed": 0}, pool_size=300, eval_prompts=100, seed=0)
    tasks = (*found.pool, *found.held_out, *demonstration_tasks(Params(), 200, 0))
    asked = [[one.id, one.prompt, one.answer, dict(one.metadata)] for one in tasks]
    assert digest(vocabulary(Params())) == "2465c9c23fb1b6d6"
    assert digest(told) == "5b80b652781231df"
    assert digest(asked) == "2599093e8fbc9962"


# -- mentions ---------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(params=small_worlds, corpus=st.sampled_from(CORPORA))
def test_every_current_fact_is_told_a_second_time_on_the_page_of_its_object(params, corpus):
    plain, told = passages(params, corpus), self_play_passages(params, corpus)
    assert told[: len(plain)] == plain
    mentions = {one.title: [] for one in told[len(plain) :]}
    for one in told[len(plain) :]:
        mentions[one.title].append(one.text)
    expected = {}
    for (entity, relation), value in world(params, corpus).facts.items():
        expected.setdefault(" ".join(value), []).append(f"see {' '.join(entity)} {relation} {' '.join(value)} .")
    assert {title: sorted(texts) for title, texts in mentions.items()} == {
        title: sorted(texts) for title, texts in expected.items()
    }
    assert len({one.id for one in told}) == len(told)
    assert {word for one in told for word in one.text.split()} <= set(vocabulary(params, self_play=True))


@given(small_worlds)
def test_self_play_only_adds_words(params):
    words, more = vocabulary(params), vocabulary(params, self_play=True)
    assert more[: len(words)] == words
    assert len(set(more)) == len(more)


def test_solvers_find_facts_and_proposers_find_mentions():
    """At the size of the example."""
    here = world(Params(), "pool")
    index = LexicalIndex.in_memory(self_play_passages(Params(), "pool"))
    pairs = [(" ".join(entity), relation, " ".join(value)) for (entity, relation), value in here.facts.items()]
    forward = index.search([f"{entity} {relation}" for entity, relation, _ in pairs], 2)
    stated = [f"{entity} {relation} {value} ." for entity, relation, value in pairs]
    first = [hits[0].document.text == text for hits, text in zip(forward, stated, strict=True)]
    either = [any(text in hit.document.text for hit in hits) for hits, text in zip(forward, stated, strict=True)]
    assert sum(first) > 0.95 * len(first)
    assert sum(either) > 0.995 * len(either)

    ends = sorted({value for *_, value in pairs})
    for queries, least in (
        ([f"see {end}" for end in ends], 0.97),
        ([f"see {relation} {end}" for end in ends for relation in here.relations], 0.93),
    ):
        found = index.search(queries, 2)
        usable = [
            any(
                hit.document.text.startswith("see") and hit.document.title == query[-len(hit.document.title) :]
                for hit in hits
            )
            for query, hits in zip(queries, found, strict=True)
        ]
        assert sum(usable) > least * len(usable)


# -- seeds ------------------------------------------------------------------------------------------------------------


def test_seeds_are_the_entities_that_facts_end_at_and_held_out_questions_those_of_the_search_world():
    found = load_self_play({}, eval_prompts=40, seed=3)
    ends = {" ".join(value) for value in world(Params(), "pool").facts.values()}
    assert {one.answer for one in found.pool} == {one.prompt for one in found.pool} == ends
    assert len(found.pool) == len(ends) == len({one.id for one in found.pool})
    assert all(one.id.startswith("seed/") and one.metadata == {"corpus": "pool"} for one in found.pool)
    assert found.held_out == load_search_world({}, pool_size=1, eval_prompts=40, seed=3).held_out
    assert found == load_self_play({}, eval_prompts=40, seed=3)
    assert load_self_play({"seed": 0}, eval_prompts=40, seed=3) == load_self_play({"seed": 0}, eval_prompts=40, seed=4)


def test_too_few_held_out_questions_are_said():
    values = {"entities": 6, "name_words": 10, "relations": 1, "hops": 1}
    with pytest.warns(UserWarning, match="eval.prompts = 50, but only 6 questions were found in a world of 6"):
        load_self_play(values, eval_prompts=50, seed=0)


# -- the oracle -------------------------------------------------------------------------------------------------------


def told(*texts):
    return [Document(str(number), "", text) for number, text in enumerate(texts)]


CHAIN = ("ka lo boss me ti .", "see me ti home ru na .", "ka lo once boss zu zu .")


@pytest.mark.parametrize(
    ("texts", "question", "answers"),
    [
        (CHAIN, "ka lo boss ?", {"me ti"}),
        (CHAIN, "ka lo boss home ?", {"ru na"}),
        (CHAIN, "me ti home ?", {"ru na"}),
        (CHAIN, "ka lo home ?", None),  # not stated
        (CHAIN, "ka lo boss boss ?", None),
        (CHAIN, "lo ka boss ?", None),
        (CHAIN, "ka lo ?", None),  # no relation
        (CHAIN, "ka lo boss", None),  # no question
        (CHAIN, "boss ?", None),
        (CHAIN, "?", None),
        (CHAIN, "", None),
        (CHAIN, "ka lo once boss ?", None),
        (CHAIN, "  ka lo\nboss ?", {"me ti"}),
        ((*CHAIN, "ka lo boss pi pi ."), "ka lo boss ?", {"me ti", "pi pi"}),
        ((*CHAIN, "ka lo boss pi pi ."), "ka lo boss home ?", {"ru na"}),  # one of the two has a home
        ((*CHAIN, "ka lo boss pi pi .", "pi pi home ka lo ."), "ka lo boss home ?", {"ru na", "ka lo"}),
        (("ka lo boss me .", "Paris is big .", "", "see", "ka lo boss me ti ,"), "ka lo boss ?", None),
        (("ka lo boss me ti .", "see ka lo boss me ti ."), "ka lo boss ?", {"me ti"}),
        (("ka lo boss ka lo .",), "ka lo boss boss boss ?", {"ka lo"}),
    ],
)
def test_the_oracle_follows_what_is_stated_and_nothing_else(texts, question, answers):
    assert Facts(told(*texts)).answers(question) == answers


@settings(max_examples=30)
@given(params=small_worlds, corpus=st.sampled_from(CORPORA))
def test_the_oracle_knows_the_answer_of_every_question(params, corpus):
    whole, plain = Facts(self_play_passages(params, corpus)), Facts(passages(params, corpus))
    for task in distinct_questions(params, corpus, 40, 0):
        assert whole.answers(task.prompt) == plain.answers(task.prompt) == {task.answer}


@given(st.text())
def test_the_oracle_never_raises(text):
    Facts(told(text, *CHAIN)).answers(text)


# -- the proposer's teacher -------------------------------------------------------------------------------------------


def encode(text):
    return [IDS[word] for word in text.split()]


def decode(ids):
    return " ".join(WORDS[token] for token in ids)


class Library:
    """Finds two passages per query, as the environment would."""

    def __init__(self, index):
        self.index, self.written, self.read = index, {}, {}

    def on_turn(self, request, sample, completion):
        assert completion.token_ids == encode(completion.text)
        turns = self.written.setdefault(request, [])
        turns.append(completion.text)
        return "</question>" not in completion.text and len(turns) < 9

    def respond(self, conversations):
        return [
            PartnerTurn(encode(f"<information> {self.found(request)} </information>"), 32)
            for request, _ in conversations
        ]

    def found(self, request):
        query = self.written[request][-1].partition("<search> ")[2].removesuffix(" </search>")
        hits = self.index.search([query], 2)[0]
        self.read.setdefault(request, []).extend(hit.document for hit in hits)
        return " ".join(hit.document.text for hit in hits)


@pytest.fixture(scope="module")
def index():
    return LexicalIndex.in_memory(self_play_passages(PARAMS, "demonstrations"))


def proposals(index, asked, teacher=FAULTLESS, seed=0):
    """(turns, documents read) of each wish."""
    engine = TeacherEngine(proposer_lessons(asked, PARAMS, teacher), encode=encode, decode=decode)
    library = Library(index)
    converse(engine, [SamplingRequest([0], max_new_tokens=32, seed=seed + row) for row in range(len(asked))], library)
    return [(library.written[row], library.read.get(row, [])) for row in range(len(asked))]


def question_of(turns):
    return turns[-1].removeprefix("<question> ").removesuffix(" </question>")


def queries_of(turns):
    return [turn.partition("<search> ")[2].removesuffix(" </search>") for turn in turns[:-1]]


def test_wishes_are_even_over_the_hops():
    asked = wishes(PARAMS, "pool", 400, 0)
    assert Counter(one.hops for one in asked) == dict.fromkeys((1, 2, 3, 4), 100)
    assert {one.answer for one in asked} <= {" ".join(value) for value in world(PARAMS, "pool").facts.values()}
    assert asked == wishes(PARAMS, "pool", 400, 0) != wishes(PARAMS, "pool", 400, 1)


def test_without_errors_questions_lead_to_their_answer_by_what_was_read(index):
    facts, asked = Facts(passages(PARAMS, "demonstrations")), wishes(PARAMS, "demonstrations", 400, 0)
    whole = 0
    for wish, (turns, read) in zip(asked, proposals(index, asked), strict=True):
        question = question_of(turns)
        hops = len(question.split()) - 3
        if not hops:
            continue  # nothing was found
        assert facts.answers(question) == {wish.answer} == Facts(read).answers(question)
        assert hops <= wish.hops
        assert wish.answer not in question
        assert len(set(queries_of(turns))) == len(turns) - 1
        whole += hops == wish.hops
    assert whole > 0.93 * len(asked)


def test_every_thought_is_the_draft_of_the_question(index):
    ((turns, _),) = proposals(index, [Wish(wishes(PARAMS, "demonstrations", 1, 0)[0].answer, 4)])
    drafts = [turn.split("</think>")[0].removeprefix("<think>").split() for turn in turns[:-1]]
    assert [len(draft) for draft in drafts] == [2, 3, 4, 5]
    for shorter, longer in zip(drafts, [*drafts[1:], question_of(turns).split()[:-1]], strict=True):
        assert longer[3:] == shorter[2:]
    for draft, query in zip(drafts, queries_of(turns), strict=True):
        assert query.split()[0] == "see"
        assert query.split()[-2:] == draft[:2]


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_errors_are_as_frequent_as_they_should_be(index, hops):
    """A wrong relation may be another way to the answer, a distractor may be missing: the bounds are generous."""
    rate, facts = (0.15, 0.3, 0.45, 0.55)[hops - 1], Facts(passages(PARAMS, "demonstrations"))
    asked = [Wish(one.answer, hops) for one in wishes(PARAMS, "demonstrations", 600, hops)]
    fine = 0
    for wish, (turns, _) in zip(asked, proposals(index, asked, ProposerTeacher()), strict=True):
        question, queries = question_of(turns), queries_of(turns)
        right = facts.answers(question) == {wish.answer} and wish.answer not in question
        fine += right and len(question.split()) - 3 == wish.hops and len(set(queries)) == len(queries)
    assert 1 - rate - 0.12 < fine / len(asked) < 1 - rate + 0.08


def kind(wish, turns, facts):
    question, queries = question_of(turns), queries_of(turns)
    if wish.answer in question:
        return "leak"
    if len(set(queries)) < len(queries):
        return "repetition"
    hops = len(question.split()) - 3
    right = facts.answers(question) == {wish.answer}
    if right:
        return "none" if hops == wish.hops else "early"
    return "omission" if hops < wish.hops else "other"


def test_all_kinds_of_errors_occur(index):
    facts, asked = Facts(passages(PARAMS, "demonstrations")), wishes(PARAMS, "demonstrations", 1200, 0)
    always = ProposerTeacher(error_rates=(0.0, 1.0, 1.0, 1.0))
    found = Counter(
        kind(wish, turns, facts)
        for wish, (turns, _) in zip(asked, proposals(index, asked, always), strict=True)
        if wish.hops > 1
    )
    total = sum(found.values())  # where no other fact is in view, or only one relation leads back, there is no error
    for name, low, high in (
        ("early", 0.3, 0.42),
        ("other", 0.15, 0.35),
        ("omission", 0.1, 0.2),
        ("leak", 0.05, 0.11),
        ("repetition", 0.03, 0.1),
        ("none", 0.0, 0.2),
    ):
        assert low < found[name] / total < high, (name, found)


class Scripted:
    """Partner with scripted replies."""

    def __init__(self, *replies):
        self.replies, self.written = list(replies), []

    def on_turn(self, request, sample, completion):
        self.written.append(completion.text)
        return bool(self.replies)

    def respond(self, conversations):
        return [PartnerTurn(encode(f"<information> {self.replies.pop(0)} </information>"), 32) for _ in conversations]


def scripted(*replies, hops, seed=0):
    partner = Scripted(*replies)
    lessons = proposer_lessons([Wish(f"{A} {B}", hops)], PARAMS, FAULTLESS)
    TeacherEngine(lessons, encode=encode, decode=decode).converse(
        [SamplingRequest([0], max_new_tokens=32, seed=seed)], partner
    )
    return partner.written


A, B, C, D, E, F = vocabulary(PARAMS)[-6:]


def test_the_proposer_goes_by_facts_that_lead_where_it_stands_and_never_in_a_circle():
    written = scripted(
        f"{A} {B} home {E} {F} . see {C} {D} boss {A} {B} .",
        f"see {A} {B} twin {C} {D} . see {E} {F} home {C} {D} .",
        hops=2,
    )
    assert written[1].startswith(f"<think> {C} {D} boss </think> <search> see ")
    assert written[2] == f"<question> {E} {F} home boss ? </question>"


def test_a_proposer_who_finds_nothing_looks_once_more_and_asks_with_what_it_has():
    nothing = f"{A} {B} home {E} {F} ."
    assert scripted(nothing, nothing, hops=3)[-1] == f"<question> {A} {B} ? </question>"
    written = scripted(nothing, f"see {C} {D} boss {A} {B} .", nothing, nothing, hops=3)
    assert {len(query.split()) for query in queries_of(written[:3])} == {3, 4}  # once with a relation, once without
    assert written[-1] == f"<question> {C} {D} boss ? </question>"
    former = f"see {C} {D} once boss {A} {B} ."
    assert scripted(former, former, hops=1)[-1] == f"<question> {A} {B} ? </question>"


# -- the verifier's teacher -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "thought", "answer"),
    [
        ("ka lo boss ?", "ka lo boss me ti", "me ti"),
        ("ka lo boss home ?", "ka lo boss me ti home ru na", "ru na"),
        ("ka lo home boss ?", "ka lo home", "unknown"),
        ("ka lo boss home boss ?", "ka lo boss me ti home ru na boss", "unknown"),
        ("ru na boss ?", "ru na boss", "unknown"),
    ],
)
def test_the_verifier_follows_the_documents_and_says_where_they_end(question, thought, answer):
    written = VerifierTeacher(error_rates=(0.0,)).reply(question, CHAIN, Random(0))
    assert written == f"<think> {thought} </think> <answer> {answer} </answer>"


@settings(max_examples=30)
@given(params=small_worlds, seed=st.integers(0, 999))
def test_a_faultless_verifier_is_right_about_right_and_wrong_questions(params, seed):
    rng, documents = Random(seed), self_play_passages(params, "pool")
    for task in distinct_questions(params, "pool", 10, seed):
        shown = rng.sample(documents, rng.randrange(len(documents)))
        for question in (task.prompt, misread(task.prompt, params, rng)):
            written = VerifierTeacher(error_rates=(0.0,)).reply(question, [one.text for one in shown], rng)
            answer = written.split(" <answer> ")[1].removesuffix(" </answer>")
            assert {answer} == (Facts(shown).answers(question) or {"unknown"})


def test_the_verifier_errs_now_and_then_and_never_stops_at_an_entity_on_the_way():
    texts, counts = (*CHAIN, "pi pi twin zu zu ."), Counter()
    for seed in range(2000):
        written = VerifierTeacher(error_rates=(0.0, 0.5)).reply("ka lo boss home ?", texts, Random(seed))
        counts[written.split(" <answer> ")[1].removesuffix(" </answer>")] += 1
    assert 0.5 < counts["ru na"] / 2000 < 0.65  # another entity is the right one by chance
    assert counts["unknown"] / 2000 > 0.25
    assert counts["me ti"] / 2000 < 0.05


@given(seed=st.integers(0, 9999), hops=st.integers(1, 4))
def test_a_misread_question_differs_in_one_word_at_most_and_is_a_question_all_the_same(seed, hops):
    rng, words = Random(seed), set(vocabulary(PARAMS))
    task = next(one for one in distinct_questions(PARAMS, "pool", 8, 0) if one.metadata["level"] == hops)
    before, after = task.prompt.split(), misread(task.prompt, PARAMS, rng).split()
    assert len(before) == len(after)
    assert sum(one != other for one, other in zip(before, after, strict=True)) <= 1
    assert after[-1] == "?"
    assert set(after) <= words
