"""Teachers of solver, proposer and verifier in the embedded search world, with deliberate errors."""

from rekindle.warm_starts.search_world.proposing import ProposerTeacher, Wish, proposer_lessons, wishes
from rekindle.warm_starts.search_world.renaming import Renaming
from rekindle.warm_starts.search_world.solving import Teacher, solver_lessons
from rekindle.warm_starts.search_world.teacher_engine import Lesson, TeacherEngine
from rekindle.warm_starts.search_world.verifying import VerifierTeacher, misread

__all__ = [
    "Lesson",
    "ProposerTeacher",
    "Renaming",
    "Teacher",
    "TeacherEngine",
    "VerifierTeacher",
    "Wish",
    "misread",
    "proposer_lessons",
    "solver_lessons",
    "wishes",
]
