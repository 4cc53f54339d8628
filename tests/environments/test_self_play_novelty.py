"""How alike two questions are, and whether the index finds the most similar one."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.environments.self_play.novelty import Novelty
from rekindle.environments.self_play.words import split_words

questions = st.one_of(
    st.lists(st.sampled_from(["ka", "lo", "boss", "home", "the", "3.5"]), max_size=8).map(" ".join),
    st.text(max_size=12),
)


def jaccard(one, other):
    """By the definition: pairs of neighbours, where the k-th occurrence of a word is a word of its own."""
    pairs = []
    for words in (split_words(one), split_words(other)):
        numbered = [None, *((word, words[:at].count(word)) for at, word in enumerate(words)), None]
        pairs.append({(numbered[at], numbered[at + 1]) for at in range(len(numbered) - 1)})
    return float(Fraction(len(pairs[0] & pairs[1]), len(pairs[0] | pairs[1])))


@pytest.mark.parametrize(
    ("one", "other", "similarity"),
    [
        ("ka lo boss home ?", "ka lo boss home ?", Fraction(1)),
        ("ka lo boss home ?", "ka lo home boss ?", Fraction(2, 8)),
        ("ka lo boss home ?", "ka lo boss ?", Fraction(3, 6)),
        ("ka lo boss ?", "me ti twin ?", Fraction(0)),
        # Case, punctuation, white space, width and accents aside.
        ("Who wrote it?", "who  WROTE it", Fraction(1)),
        ("Where is Caf\u00e9-Paris?", "where is cafe paris", Fraction(1)),
        ("Who had 1,000 ships?", "Who had \uff11\uff10\uff10\uff10 ships!", Fraction(1)),
        ("!!!", "??", Fraction(1)),
        # What distinguishes questions.
        ("Who made C?", "Who made C++?", Fraction(2, 6)),
        ("Who is the king?", "Who is king?", Fraction(3, 6)),
        # Twelve words, and one of them changed, or one more.
        ("a1 b c d e f g h i j k l", "a1 b c d e x g h i j k l", Fraction(11, 15)),
        ("a1 b c d e f g h i j k l", "a1 b c d e f g h i j k l m", Fraction(12, 15)),
        # The same pairs of words in another order, and once more.
        ("x boss home boss twin boss", "x boss twin boss home boss", Fraction(3, 11)),
        ("ka ka ka", "ka ka", Fraction(2, 5)),
        # Characters where there are no spaces.
        ("法国的首都", "法国 的首都？", Fraction(1)),
        ("法国的首都", "英国的首都", Fraction(4, 8)),
    ],
)
def test_similarity_of_two(one, other, similarity):
    for first, second in ((one, other), (other, one)):
        assert Novelty(1.0, [first]).similarity(second) == float(similarity)


def test_nothing_is_like_the_first_question():
    assert Novelty(0.5).similarity("who is it?") == 0.0
    assert not Novelty(0.5).is_duplicate("who is it?")


@pytest.mark.parametrize(("threshold", "duplicate"), [(0.5, True), (0.75, True), (0.76, False), (1.0, False)])
def test_a_duplicate_reaches_the_threshold(threshold, duplicate):
    """Ten words, then nine of them and no more: 9 of 12 pairs are in both."""
    novelty = Novelty(threshold, ["x y z", "a1 b c d e f g h i j"])
    assert novelty.similarity("a1 b c d e f g h i") == 9 / 12
    assert novelty.is_duplicate("a1 b c d e f g h i") == duplicate


@given(st.lists(questions, max_size=12), questions)
def test_the_highest_similarity_is_found(earlier, question):
    found = Novelty(1.0, earlier).similarity(question)
    assert found == max((jaccard(question, other) for other in earlier), default=0.0)


@given(questions, questions)
def test_with_threshold_one_only_the_same_words_in_the_same_order_are_a_duplicate(one, other):
    assert Novelty(1.0, [one]).is_duplicate(other) == (split_words(one) == split_words(other))


@given(st.lists(questions, max_size=8), st.randoms(use_true_random=False), questions)
def test_the_questions_are_the_whole_state(earlier, rng, question):
    """Built from the same questions in any order, or with repeats, it gives the same results as one that grew."""
    grown = Novelty(0.7)
    for one in earlier:
        grown.similarity(one)
        grown.add(one)
    shuffled = rng.sample(earlier, len(earlier))
    expected = grown.similarity(question)
    assert Novelty(0.7, shuffled).similarity(question) == expected
    assert Novelty(0.7, earlier + shuffled).similarity(question) == expected


def test_many_questions_of_one_form_differ():
    """Only their names differ, and nothing but the same question reaches 0.9."""
    form = "what is the home of the boss of the twin of {} ?"
    novelty = Novelty(0.9, (form.format(f"n{index}") for index in range(3000)))
    assert novelty.is_duplicate("What is the home of the boss of the twin of N17?")
    assert novelty.similarity(form.format("somebody else")) == 11 / 16
    assert novelty.similarity(form.format("other")) == 11 / 15
