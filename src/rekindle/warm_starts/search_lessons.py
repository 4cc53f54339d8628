"""Demonstrations of search in the embedded search world: conversations of a noisy teacher."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

from rekindle.assembly.bench import Workbench
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.tasks import search_world
from rekindle.types import Document, GroupRequest, TrainingSample
from rekindle.warm_starts import imitation
from rekindle.warm_starts import search_world as teachers
from rekindle.warm_starts.cache import WarmStartError

__all__ = [
    "Demonstration",
    "lesson_request",
    "lessons_wanted",
    "on_teacher_corpus",
    "renamed",
    "search_lessons",
    "solver_lessons",
    "teacher_engine",
    "too_long",
]

MOST_LESSONS = 12_000
"""Most different conversations; when more are needed, they are used again with other names."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A demonstration: [T] tokens, and [T] True where the teacher wrote the token."""

    token_ids: Sequence[int]
    loss_mask: Sequence[bool]


def search_lessons(bench: Workbench) -> Iterator[TrainingSample]:
    """Endless demonstrations of the solver's teacher, each with new names.

    Raises:
        WarmStartError: A question does not fit into the model.
    """
    params = search_world.Params.read(bench.config.task.params)
    with on_teacher_corpus(bench, search_world.passages(params, search_world.TEACHER_CORPUS)) as here:
        lessons = solver_lessons(here, params, lessons_wanted(bench))
    yield from renamed(bench, params, lambda number: lessons[number % len(lessons)])


def lessons_wanted(bench: Workbench) -> int:
    """Number of different conversations that a warm start can use."""
    settings = bench.config.warm_start
    return min(MOST_LESSONS, (settings.steps + settings.decay_steps) * settings.batch_size)


@contextmanager
def on_teacher_corpus(bench: Workbench, passages: Sequence[Document]) -> Iterator[Workbench]:
    """The bench with the teachers' corpus as its only retriever."""
    with closing(LexicalIndex.in_memory(passages)) as index:
        yield replace(bench, retrievers={search_world.TEACHER_CORPUS: index})


def solver_lessons(bench: Workbench, params: search_world.Params, wanted: int) -> list[Demonstration]:
    """Conversations of the solver's teacher in the environment of the policy."""
    seed = bench.config.warm_start.seed
    tasks = search_world.demonstration_tasks(params, wanted, seed)
    engine = teacher_engine(bench, teachers.solver_lessons(tasks, params))
    requests = [lesson_request(row, task.id, seed) for row, task in enumerate(tasks)]
    played = sorted(bench.environment(tasks, engine).play(requests))
    rollouts = [one for _, group in played for one in group or ()]
    if len(rollouts) < len(tasks):  # the teacher counts requests, so none may be left out
        raise too_long("question", bench)
    return [Demonstration(rollout.token_ids, rollout.loss_mask) for rollout in rollouts]


def teacher_engine(bench: Workbench, lesson: Callable[[int, int, int], teachers.Lesson]) -> teachers.TeacherEngine:
    """Teacher engine with the policy's tokenizer."""
    encode = partial(bench.policy.encode_prompt, chat_template=False)
    return teachers.TeacherEngine(lesson, encode=encode, decode=bench.policy.decode)


def lesson_request(row: int, task_id: str, seed: int) -> GroupRequest:
    """Request for one demonstration."""
    return GroupRequest(id=row, task_id=task_id, row=row, n=1, temperature=1.0, seed=seed + row, version=0, step=0)


def too_long(what: str, bench: Workbench) -> WarmStartError:
    """Error about a demonstration that is too long for the model."""
    return WarmStartError(
        f"a {what} of the search world does not fit into model.tiny.max_length = {bench.policy.max_length}; raise it"
    )


def renamed(
    bench: Workbench, params: search_world.Params, shown: Callable[[int], Demonstration]
) -> Iterator[TrainingSample]:
    """Endless demonstrations, each with new names.

    Args:
        bench: Workbench of the policy.
        params: Parameters of the world.
        shown: Number of a demonstration -> the demonstration.
    """
    names = bench.policy.encode_prompt(" ".join(search_world.name_words(params.name_words)), chat_template=False)
    renaming, seed = teachers.Renaming(names), bench.config.warm_start.seed
    for number in count():
        one = shown(number)
        yield imitation.imitated(renaming.apply(one.token_ids, f"{seed} {number}"), one.loss_mask)
