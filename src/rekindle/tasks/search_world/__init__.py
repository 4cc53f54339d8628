"""The embedded search task: multi-hop questions about an invented knowledge base, also as self-play."""

from rekindle.tasks.search_world.facts import Facts
from rekindle.tasks.search_world.params import CORPORA, POLICY_CORPORA, TEACHER_CORPUS, Params
from rekindle.tasks.search_world.questions import demonstration_tasks, distinct_questions, load_search_world
from rekindle.tasks.search_world.seeds import load_self_play
from rekindle.tasks.search_world.world import (
    World,
    name_words,
    passages,
    relation_words,
    self_play_passages,
    vocabulary,
)

__all__ = [
    "CORPORA",
    "POLICY_CORPORA",
    "TEACHER_CORPUS",
    "Facts",
    "Params",
    "World",
    "demonstration_tasks",
    "distinct_questions",
    "load_search_world",
    "load_self_play",
    "name_words",
    "passages",
    "relation_words",
    "self_play_passages",
    "vocabulary",
]
