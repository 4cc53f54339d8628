"""Worlds, passages and questions."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fast import sample
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.tasks.search_world import (
    CORPORA,
    Params,
    demonstration_tasks,
    load_search_world,
    name_words,
    passages,
    vocabulary,
)
from rekindle.tasks.search_world.world import corpus_of, world
from rekindle.tasks.task_set import TaskError
from rekindle.warm_starts.search_world import Renaming

TINY = Params(entities=6, name_words=10, relations=2, hops=3, distractors=1)
worlds = st.builds(
    Params,
    entities=st.integers(6, 12),
    name_words=st.integers(10, 30),
    relations=st.integers(1, 4),
    hops=st.integers(1, 4),
    distractors=st.integers(0, 3),
    seed=st.integers(0, 99),
)


def told(params, corpus):
    """(entity, relation) -> value, read from the passages alone, without former values."""
    facts = {}
    for document in passages(params, corpus):
        *words, end = document.text.split()
        assert end == "."
        assert " ".join(words[:2]) == document.title
        if "once" not in words:
            a, b, relation, c, d = words
            assert (f"{a} {b}", relation) not in facts
            facts[f"{a} {b}", relation] = f"{c} {d}"
    return facts


# -- worlds -----------------------------------------------------------------------------------------------------------


def test_a_tiny_world_has_every_fact_once_and_a_former_value_beside_it():
    documents = passages(TINY, "pool")
    assert len(documents) == 6 * 2 * 2
    assert len({document.id for document in documents}) == 24
    here, facts = world(TINY, "pool"), told(TINY, "pool")
    assert {relation for _, relation in facts} == {"boss", "home"}
    assert len(facts) == 12
    for (entity, relation), value in here.facts.items():
        assert facts[" ".join(entity), relation] == " ".join(value)
        (former,) = here.former[entity, relation]
        assert len({entity, value, former}) == 3
        text = f"{' '.join(entity)} once {relation} {' '.join(former)} ."
        assert text in {document.text for document in documents}
        assert {"boss", "home"} >= {relation}


def test_ids_name_the_fact_of_a_passage():
    by_id = {document.id: document for document in passages(TINY, "pool")}
    ((a, b), relation), value = next(iter(world(TINY, "pool").facts.items()))
    assert by_id[f"pool/{a}-{b}/{relation}/0"].text == f"{a} {b} {relation} {' '.join(value)} ."


@settings(max_examples=40)
@given(first=worlds, second=worlds)
def test_no_name_is_in_two_corpora_whatever_the_parameters(first, second):
    names = {corpus: {*world(first, corpus).entities, *world(second, corpus).entities} for corpus in CORPORA}
    assert len(set().union(*names.values())) == sum(map(len, names.values()))
    assert all(corpus_of(name) == corpus for corpus in CORPORA for name in names[corpus])


@settings(max_examples=40)
@given(worlds)
def test_worlds_are_whole_and_everything_is_in_the_vocabulary(params):
    known = vocabulary(params)
    assert len(set(known)) == len(known)
    for corpus in CORPORA:
        world.cache_clear()
        documents = passages(params, corpus)
        world.cache_clear()
        assert documents == passages(params, corpus)
        here = world(params, corpus)
        assert len(set(here.entities)) == params.entities
        assert len(documents) == params.entities * params.relations * (1 + params.distractors)
        assert set(here.facts) == {(entity, relation) for entity in here.entities for relation in here.relations}
        assert all(value != entity and value in here.entities for (entity, _), value in here.facts.items())
        assert {word for document in documents for word in document.text.split()} <= set(known)


def test_another_seed_gives_another_world():
    assert told(Params(seed=1), "pool") != told(Params(seed=2), "pool")


@pytest.mark.parametrize("words", sample(range(10, 200), *range(10, 200, 19)))
def test_every_corpus_has_names_to_spare(words):
    """The most entities that are allowed are found by drawing, so names must not run out."""
    here = Counter(corpus_of((a, b)) for a in name_words(words) for b in name_words(words) if a != b)
    assert all(here[corpus] > 1.3 * (words**2 // 8) for corpus in CORPORA)


# -- questions --------------------------------------------------------------------------------------------------------


def all_tasks(params, values, seed=0):
    found = load_search_world(values, pool_size=60, eval_prompts=20, seed=seed)
    return [*found.pool, *found.held_out, *demonstration_tasks(params, 60, seed)]


@pytest.mark.filterwarnings("ignore:task.pool_size", "ignore:eval.prompts")
@settings(max_examples=30)
@given(params=worlds, seed=st.integers(0, 9))
def test_answers_are_where_the_passages_lead_and_no_way_crosses_itself(params, seed):
    values = {name: getattr(params, name) for name in ("entities", "name_words", "relations", "hops", "distractors")}
    values["seed"] = params.seed
    facts = {corpus: told(params, corpus) for corpus in CORPORA}
    for task in all_tasks(params, values, seed):
        a, b, *relations, mark = task.prompt.split()
        assert mark == "?"
        at, way = f"{a} {b}", [f"{a} {b}"]
        for relation in relations:
            at = facts[task.metadata["corpus"]][at, relation]
            way.append(at)
        assert task.answer == at
        assert len(set(way)) == len(way)
        assert task.metadata["path"] == way
        assert task.metadata["relations"] == relations
        assert 1 <= task.metadata["level"] == len(relations) <= params.hops


def test_the_hops_are_even_and_demonstrations_mostly_easy():
    found = load_search_world({}, pool_size=4096, eval_prompts=400, seed=0)
    assert Counter(task.metadata["level"] for task in found.pool) == dict.fromkeys((1, 2, 3, 4), 1024)
    assert Counter(task.metadata["level"] for task in found.held_out) == dict.fromkeys((1, 2, 3, 4), 100)
    assert {task.metadata["corpus"] for task in found.held_out} == {"held_out"}
    shown = Counter(task.metadata["level"] for task in demonstration_tasks(Params(), 12_000, 0))
    for level, share in enumerate((0.4, 0.25, 0.2, 0.15), 1):
        assert shown[level] / 12_000 == pytest.approx(share, abs=5 * 0.5 / 12_000**0.5)


def test_where_short_questions_run_out_longer_ones_take_their_place():
    found = load_search_world({"entities": 20, "name_words": 20}, pool_size=1000, eval_prompts=4, seed=0)
    levels = Counter(task.metadata["level"] for task in found.pool)
    assert levels[1] == 20 * 6  # every one there is
    assert sum(levels.values()) == 1000


def test_more_questions_than_exist_ends_with_a_warning():
    values = {"entities": 6, "name_words": 10, "relations": 1, "hops": 1}
    with pytest.warns(UserWarning, match="task.pool_size = 50, but only 6 questions were found in a world of 6"):
        found = load_search_world(values, pool_size=50, eval_prompts=2, seed=0)
    assert (len(found.pool), len(found.held_out)) == (6, 2)


def test_questions_depend_on_parameters_and_seed_alone():
    first = load_search_world({}, pool_size=50, eval_prompts=20, seed=3)
    assert first == load_search_world({}, pool_size=50, eval_prompts=20, seed=3)
    other = load_search_world({}, pool_size=50, eval_prompts=20, seed=4)
    assert other != first
    both = {task.prompt: task.id for task in load_search_world({}, pool_size=400, eval_prompts=20, seed=4).pool}
    assert all(both.get(task.prompt, task.id) == task.id for task in first.pool)
    elsewhere = load_search_world({"seed": 1}, pool_size=50, eval_prompts=20, seed=3)
    assert not {task.id for task in elsewhere.pool} & {task.id for task in first.pool}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"entitys": 3}, "no 'entitys' for search_world; it takes entities, name_words, relations, hops, distractors"),
        ({"entities": 5}, "entities = 5; choose a number from 6 to 2812"),
        ({"entities": 9, "distractors": 8}, "entities = 9; choose a number from 11 to"),
        ({"entities": 13, "name_words": 10}, "entities = 13; choose a number from 6 to 12"),
        ({"hops": 99}, "hops = 99; choose a number from 1 to 6"),
        ({"relations": 0}, "relations = 0; choose a number from 1 to 12"),
        ({"distractors": 1.0}, r"distractors = 1.0 must be a whole number"),
        ({"seed": True}, "seed = True must be a whole number"),
    ],
)
def test_bad_parameters_are_refused(values, complaint):
    with pytest.raises(TaskError, match=complaint):
        load_search_world(values, pool_size=1, eval_prompts=1, seed=0)


# -- retrieval --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distractors", [0, 1])
def test_the_right_passage_is_among_the_first_two(distractors):
    params = Params(distractors=distractors)
    index = LexicalIndex.in_memory(passages(params, "held_out"))
    facts = told(params, "held_out")
    found = index.search([f"{entity} {relation}" for entity, relation in facts], 2)
    right = [
        f"{entity} {relation} {value} ." in {hit.document.text for hit in hits}
        for ((entity, relation), value), hits in zip(facts.items(), found, strict=True)
    ]
    assert sum(right) >= 0.995 * len(right)


# -- other names ------------------------------------------------------------------------------------------------------


@given(tokens=st.lists(st.integers(0, 30)), names=st.sets(st.integers(5, 25), min_size=1), seed=st.integers(0, 99))
def test_renaming_is_a_permutation_of_names_and_leaves_everything_else(tokens, names, seed):
    renaming = Renaming(sorted(names))
    renamed = renaming.apply(tokens, f"{seed}")
    assert renamed == renaming.apply(tokens, f"{seed}")
    assert len(renamed) == len(tokens)
    pairs = set(zip(tokens, renamed, strict=True))
    assert len(pairs) == len(set(tokens)) == len(set(renamed))  # one name for one name, both ways
    assert all((new in names) if old in names else new == old for old, new in pairs)


def test_renaming_reaches_every_name_equally_often():
    counts = Counter(Renaming([7, 8, 9, 10]).apply([7], str(seed))[0] for seed in range(4000))
    assert set(counts) == {7, 8, 9, 10}
    assert all(abs(count - 1000) < 5 * 750**0.5 for count in counts.values())
