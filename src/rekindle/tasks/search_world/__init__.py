"""The embedded search task: questions of several hops about an invented knowledge base, and self-play about it."""

from rekindle.tasks.search_world.facts import Facts
from rekindle.tasks.search_world.params import CORPORA, PLAYED, TAUGHT, Params
from rekindle.tasks.search_world.proposing import ProposerTeacher, Wish, proposer_lessons, wishes
from rekindle.tasks.search_world.questions import demonstration_tasks, distinct_questions, load_search_world
from rekindle.tasks.search_world.renaming import Renaming
from rekindle.tasks.search_world.seeds import load_self_play
from rekindle.tasks.search_world.solving import Teacher, solver_lessons
from rekindle.tasks.search_world.teacher import Lesson, TeacherEngine
from rekindle.tasks.search_world.verifying import VerifierTeacher, misread
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
    "Lesson",
    "Params",
    "ProposerTeacher",
    "Renaming",
    "Teacher",
    "TeacherEngine",
    "VerifierTeacher",
    "Wish",
    "World",
    "demonstration_tasks",
    "distinct_questions",
    "load_search_world",
    "load_self_play",
    "misread",
    "name_words",
    "passages",
    "proposer_lessons",
    "relation_words",
    "self_play_passages",
    "solver_lessons",
    "vocabulary",
    "wishes",
]
