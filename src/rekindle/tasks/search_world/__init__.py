"""The embedded search task: questions of several hops about an invented knowledge base, and self-play about it."""

from rekindle.tasks.search_world.facts import Facts
from rekindle.tasks.search_world.params import CORPORA, PLAYED, TAUGHT, Params
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
    "PLAYED",
    "TAUGHT",
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
