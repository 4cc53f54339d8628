"""Which questions the rules reject, and why."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.environments.self_play.filters import FilterLimits, rejected
from rekindle.environments.self_play.proposals import Proposal, Reason
from rekindle.types import Document, GroupRequest, Retrieval, Rollout, Task
from rekindle.verifiers import cover_match

FOUND = Document("1", "Page", "It says something.")
LIMITS = FilterLimits()
R = Reason


def proposal(question, answer="Paris", searches=(("page of it", (FOUND,)),)):
    """A proposal whose searches are pairs of query and documents."""
    retrievals = tuple(Retrieval(turn, query, documents) for turn, (query, documents) in enumerate(searches, start=1))
    rollout = Rollout(token_ids=[1], loss_mask=[True], logprobs=[-1.0], reward=0.0, retrievals=retrievals)
    return Proposal(
        GroupRequest(id=0, task_id="seed/1", row=0, n=1, temperature=1.0, seed=0, version=0, step=0),
        Task("seed/1", "x", answer),
        1,
        rollout,
        question,
    )


# -- a question of some length -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (None, R.NO_QUESTION),
        ("", R.NO_QUESTION),
        (" \n\u3000\t", R.NO_QUESTION),
        # Characters.
        ("ab cd efg", R.TOO_SHORT),
        ("ab cd efgh", None),
        ("  ab   cd\nefg  ", R.TOO_SHORT),
        ("u\u0308b cd efg", R.TOO_SHORT),
        ("\U0001f600 b cd ef", R.TOO_SHORT),
        ("x y " + 996 * "z", None),
        ("x y " + 997 * "z", R.TOO_LONG),
        ("x  y \n" + 996 * "z", None),
        ("x y " + 996 * "e\u0301", None),
        # Words.
        ("incomprehensibilities", R.TOO_SHORT),
        ("who indeed?!", R.TOO_SHORT),
        ("ka lo boss ?", None),
        ("what is a dog", None),
        ("? ? ? ? ? ?", R.TOO_SHORT),
        ("... -- !!! \u2026 \u00a1", R.TOO_SHORT),
        ("\u200b" * 12, R.TOO_SHORT),
        # Words that are not set apart.
        ("谁发明了电话？", R.TOO_SHORT),
        ("法国最大的城市是哪个？", None),
        ("ใครเป็นผู้แต่ง", None),
        ("谁" * 1001, R.TOO_LONG),
    ],
)
def test_length(question, reason):
    assert rejected(proposal(question), LIMITS) == reason


def test_limits_are_those_that_are_given():
    assert rejected(proposal("who?"), FilterLimits(min_characters=4, min_words=1)) is None
    assert rejected(proposal("who?"), FilterLimits(min_characters=5, min_words=1)) == Reason.TOO_SHORT
    assert rejected(proposal("who was it then"), FilterLimits(min_words=5)) == Reason.TOO_SHORT
    assert rejected(proposal("who was it then"), FilterLimits(max_characters=14)) == Reason.TOO_LONG


# -- the answer in the question ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "question", "leaks"),
    [
        ("Paris", "What is the mayor of Paris called?", True),
        ("Paris", "What is the mayor of PARIS called?", True),
        ("paris", "What is the mayor of \uff30\uff41\uff52\uff49\uff53 called?", True),
        ("Paris", "What is Paris's main river?", True),
        ("Paris", "What is Paris\u2019 main river?", True),
        ("Paris", "Who runs the Paris-based museum?", True),
        ("Paris", "Who wrote \u201cParis\u201d, the song?", True),
        ("Paris", "Who runs the Parisian museum?", False),
        ("Paris", "Which capital lies on the Seine?", False),
        ("art", "Which party won the election?", False),
        ("art", "Which art is the seventh one?", True),
        ("The Beatles", "Who founded Beatles in Liverpool?", True),
        ("Beatles", "Who founded the Beatles in Liverpool?", True),
        ("The Beatles", "Who leads the Beatles-inspired band?", True),
        ("New York", "Which York is a new city?", False),
        ("New York", "Which mayor of New  York was it?", True),
        ("New York", "Which mayor of New-York was it?", True),
        ("New York", "Is it new? York is old, they say.", True),
        ("Jean-Luc Picard", "Who plays Jean Luc Picard on the ship?", True),
        ("Spider-Man", "Who draws spiderman for Marvel?", True),
        ("Spiderman", "Who draws Spider Man for Marvel?", True),
        ("U.S.", "Which US state is the largest one?", True),
        ("US", "Which U.S.-based company made it?", True),
        ("Ramírez", "Who was Ramirez to the king?", True),
        ("Straße", "Which STRASSE is the longest?", True),
        # Numbers.
        ("1,000", "Who had 1000 ships at Troy?", True),
        ("1000", "Who had 1,000 ships at Troy?", True),
        ("1000", "Who had 10000 ships at Troy?", False),
        ("12", "What happened on 1/2/1990 there?", False),
        ("12", "What happened on the 12th day?", False),
        ("12", "What happened on day 12?", True),
        ("5", "Who measured -5 degrees there?", False),
        ("5", "Who measured 3.5 degrees there?", False),
        ("3.5", "Who measured 3.5 degrees there?", True),
        ("35", "Who measured 3.5 degrees there?", False),
        ("1861\u201365", "Which war was fought 1861-65?", True),
        ("B-52", "Who flew the B 52 over there?", True),
        # Closed answers.
        ("yes", "Which Beyesian net is it?", False),
        ("no", "Which northern nook knows it?", False),
        ("no", "Is it so, yes or no?", True),
        ("yes", "Is it so, yes or no?", True),
        # Marks that distinguish.
        ("C", "Who designed the C++ language?", False),
        ("C++", "Who designed the C++-like language?", True),
        ("C#", "Who designed the C# language?", True),
        # Nothing is left of them by normalisation.
        ("!!!", "Who sings in the band !!!?", True),
        ("!!!", "Who sings in the band \uff01\uff01\uff01 now?", True),
        ("!!!", "Who sings in the band now!", False),
        ("?", "Who sings in the band now?", False),
        ("The The", "Who sings in The The now?", True),
        ("The The", "Who sings in the band now?", False),
        ("A", "Which is the type A of blood?", True),
        ("A", "Which is the type of blood?", False),
        ("", "Who sings in the band now?", False),
        ("  ", "Who sings in the band now?", False),
        # Without spaces between words.
        ("北京", "北京市的市长叫什么名字？", True),
        ("北京", "中国的首都是哪一座城市？", False),
        ("北京", "北方的京城是什么地方？", False),
        ("北 京", "北京市的市长叫什么名字？", True),
        ("東京", "東京タワーはいつ建てられた？", True),
        ("\uff76\uff9e\uff72\uff84\uff9e", "ガイドの名前は何ですか？", True),
        ("서울", "서울시의 시장은 누구입니까?", True),
        ("Tokyo", "Tokyoの知事は誰ですか？", True),
        ("กรุงเทพ", "ผู้ว่ากรุงเทพคือใคร", True),
        ("กรุงเทพ", "เมืองหลวงของไทยคือ", False),
        ("2008年", "那届奥运会 2008 年在哪里举行？", True),
        # Any of several names.
        (("Paris", "City of Light"), "Which river flows through the city of light?", True),
        (["Paris", "City of Light"], "What is the mayor of Paris called?", True),
        (["Paris", "City of Light"], "Which capital lies on the Seine?", False),
        (("Paris", ""), "Which capital lies on the Seine?", False),
    ],
)  # fmt: skip
def test_an_answer_in_the_question(answer, question, leaks):
    assert rejected(proposal(question, answer), LIMITS) == (R.LEAKS_ANSWER if leaks else None)


# -- searches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("searches", "limits", "reason"),
    [
        ([], {}, R.TOO_FEW_SEARCHES),
        ([], {"min_searches": 0}, None),
        ([("seine", ())], {}, R.TOO_FEW_SEARCHES),
        ([("seine", (Document("1", " ", "\n"),))], {}, R.TOO_FEW_SEARCHES),
        ([("seine", (Document("1", "", " "), FOUND))], {}, None),
        ([("seine", (Document("1", "Seine", ""),))], {}, None),
        ([("seine", ()), ("river", (FOUND,))], {}, None),
        ([("seine", ()), ("river", (FOUND,))], {"min_searches": 2}, R.TOO_FEW_SEARCHES),
        ([("seine", (FOUND,)), ("river", (FOUND,))], {"min_searches": 2}, None),
        ([("seine", (FOUND,)), ("seine", (FOUND,))], {}, R.REPEATED_QUERY),
        ([("The Seine?", (FOUND,)), ("rhine", (FOUND,)), (" seine", ())], {}, R.REPEATED_QUERY),
        ([("", (FOUND,)), (" ", ())], {}, R.REPEATED_QUERY),
        ([("c", (FOUND,)), ("c++", (FOUND,))], {}, None),
        ([("capital of france", (FOUND,)), ("france of capital", (FOUND,))], {}, None),
        ([("see Paris", (FOUND,))], {}, None),
        ([("see Paris", (FOUND,))], {"answer_in_query": False}, R.ANSWER_IN_QUERY),
        ([("see city of light", (FOUND,))], {"answer_in_query": False}, R.ANSWER_IN_QUERY),
        ([("parishes", (FOUND,)), ("light", (FOUND,))], {"answer_in_query": False}, None),
    ],
)
def test_searches(searches, limits, reason):
    asked = proposal("Which capital lies on the Seine?", ("Paris", "City of Light"), searches)
    assert rejected(asked, FilterLimits(**limits)) == reason


def test_of_several_reasons_the_first_of_the_enum_counts():
    """Each step fixes the first remaining fault."""
    twice, once = (("Paris", ()), ("paris", ())), (("paris", (FOUND,)),)
    strict = FilterLimits(max_characters=20, answer_in_query=False)
    faults = [
        proposal(" ", "Paris", twice),
        proposal("Paris?", "Paris", twice),
        proposal("Is it in Paris or is it not?", "Paris", twice),
        proposal("Is it in Paris?", "Paris", twice),
        proposal("Is it in France?", "Paris", twice),
        proposal("Is it in France?", "Paris", (*once, ("PARIS", (FOUND,)))),
        proposal("Is it in France?", "Paris", once),
        proposal("Is it in France?", "Paris"),
    ]
    assert [rejected(one, strict) for one in faults] == [*list(Reason)[:7], None]


# -- any text ----------------------------------------------------------------------------------------------------------

texts = st.text(max_size=60)
WORDS = ["Paris", "art", "yes", "10", "the", "café", "naïve", "Jean-Luc", "party", "!", "C++", "北京"]
phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
STRICT = FilterLimits(min_characters=1, min_words=1, answer_in_query=False)


def wide(text):
    """ASCII in full-width forms, as Chinese and Japanese keyboards write it."""
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


@given(texts, st.lists(texts, min_size=1, max_size=3), st.lists(texts, max_size=3))
def test_any_text_has_a_verdict(question, answers, queries):
    searches = [(query, (Document("1", query, question),)) for query in queries]
    verdict = rejected(proposal(question, tuple(answers), searches), LIMITS)
    assert verdict is None or verdict in Reason


@given(phrases, phrases, phrases)
@pytest.mark.parametrize(
    "form",
    [
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: unicodedata.normalize("NFC", text),
        str.swapcase,
        wide,
        lambda text: f" {text} ".replace(" ", " \n"),
    ],
    ids=["NFD", "NFC", "case", "width", "space"],
)
def test_the_form_of_a_text_does_not_matter(form, question, answer, query):
    plain = rejected(proposal(question, answer, [(query, (FOUND,))]), STRICT)
    for parts in [(form(question), answer, query), (question, form(answer), query), (question, answer, form(query))]:
        changed = rejected(proposal(*parts[:2], [(parts[2], (FOUND,))]), STRICT)
        assert changed == plain


@given(st.one_of(texts, phrases), st.one_of(texts, phrases))
def test_a_verifier_that_looks_for_the_answer_finds_it_in_no_question_that_passes(question, answer):
    limits = FilterLimits(min_characters=1, min_words=0)
    if rejected(proposal(question, answer), limits) is None:
        assert not cover_match(question, answer)


@given(phrases, phrases, phrases)
def test_an_answer_between_other_words_is_always_found(before, answer, after):
    question = f"{before} {answer} {after}"
    assert rejected(proposal(question, answer), STRICT) in {Reason.LEAKS_ANSWER, Reason.TOO_SHORT}
