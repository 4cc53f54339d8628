"""The embedded search task: questions of several hops about an invented knowledge base."""

from rekindle.tasks.search_world.params import CORPORA, PLAYED, TAUGHT, Params
from rekindle.tasks.search_world.questions import demonstration_tasks, load_search_world
from rekindle.tasks.search_world.renaming import Renaming
from rekindle.tasks.search_world.teacher import Teacher, TeacherEngine
from rekindle.tasks.search_world.world import World, name_words, passages, vocabulary

__all__ = [
    "CORPORA",
    "PLAYED",
    "TAUGHT",
    "Params",
    "Renaming",
    "Teacher",
    "TeacherEngine",
    "World",
    "demonstration_tasks",
    "load_search_world",
    "name_words",
    "passages",
    "vocabulary",
]
