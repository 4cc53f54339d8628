"""Room for an answer: too long prompts are counted before the first step, and left out by option.

Only prompts from a file or a generator of the user are checked; those of the embedded worlds are short.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rekindle.assembly.bench import Workbench
from rekindle.config.facts import PROMPT_SOURCES, plays_search
from rekindle.models.directory import ModelError
from rekindle.notices import Say, warn
from rekindle.tasks.task_set import TaskError, TaskSet
from rekindle.types import Task

__all__ = ["Room", "warn_of_a_small_context", "with_room"]

Room = Callable[[Task], int]
"""Tokens of the model's context that are left after the prompt of a task."""
MOST = 20_000
"""Most prompts of a set that are encoded where none are left out, the longest in bytes first."""
MANY = 5_000
"""Least number of prompts to encode that is announced."""
MOST_SHAPES = 100
"""Most sequences of roles of which a conversation is written before the run."""


def with_room(bench: Workbench, say: Say) -> TaskSet:
    """The tasks of a workbench; without those that leave no room, where ``task.overlong_prompts`` is "drop".

    Warns of prompts that leave no room, and of prompts that leave fewer tokens than ``engine.max_new_tokens``.

    Args:
        bench: Has tasks, policy and configuration.
        say: Shows a line before slow work.

    Raises:
        TaskError: No prompt of the pool, or none that is held out, leaves room.
        ModelError: A prompt cannot be written with the chat template.
    """
    config, tasks, context = bench.config, bench.tasks, bench.policy.max_length
    if config.task.source not in PROMPT_SOURCES:
        longest = config.engine.max_new_tokens
        warn_of_a_small_context(f"engine.max_new_tokens = {longest}", longest, context)
        return tasks
    room = getattr(bench.environment(()), "room", None)
    if room is None:  # an environment of a script
        return tasks
    _check_conversations((*tasks.pool, *tasks.held_out), room)
    drop = config.task.overlong_prompts == "drop"
    wanted = 1 if plays_search(config) else config.engine.max_new_tokens
    pool, held_out = (_rooms(part, room, context, wanted, drop, say) for part in (tasks.pool, tasks.held_out))
    _refuse_if_none(tasks.pool, pool, "the pool", context)
    if held_out.none and drop:
        _refuse_if_none(tasks.held_out, held_out, "the held-out prompts", context)
    _warn_of_none(pool, held_out, tasks, context, drop)
    _warn_of_less(pool, held_out, tasks, context, wanted)
    if not drop:
        return tasks
    return replace(tasks, pool=_without(tasks.pool, pool.none), held_out=_without(tasks.held_out, held_out.none))


def _check_conversations(tasks: Sequence[Task], room: Room) -> None:
    """Write the first prompt of every sequence of roles: a template may refuse some of them."""
    shapes = {tuple(one["role"] for one in task.messages): task for task in reversed(tasks)}
    for task in list(shapes.values())[-MOST_SHAPES:]:
        try:
            room(task)
        except ModelError as error:
            raise ModelError(f"task {task.id!r}: {error}" if task.messages else str(error)) from error


def warn_of_a_small_context(setting: str, longest: int, context: int) -> None:
    """Warn of a longest completion that does not fit the context; ``setting`` says where it was set."""
    if longest >= context:
        warn(f"{setting} does not fit the model's context of {context} tokens, where completions are cut; lower it")


@dataclass(frozen=True, slots=True)
class _Rooms:
    """Prompts of a set by their room.

    Attributes:
        none: Tokens beyond the context by task id, of prompts that leave no room.
        less: Number of prompts that leave less room than the longest completion.
        all_checked: Whether every prompt that could be too long was encoded.
    """

    none: Mapping[str, int]
    less: int
    all_checked: bool = True


def _rooms(tasks: Sequence[Task], room: Room, context: int, wanted: int, drop: bool, say: Say) -> _Rooms:
    if not tasks:
        return _Rooms({}, 0)
    sizes = [sum(len(text.encode(errors="replace")) for text in _texts(task)) for task in tasks]
    shortest = min(range(len(tasks)), key=sizes.__getitem__)
    frame = context - room(tasks[shortest])  # an upper bound of what the template adds to a message
    candidates = [  # a token has at least a byte
        index for index, size in enumerate(sizes) if frame * len(_texts(tasks[index])) + size > context - wanted
    ]
    all_checked = drop or len(candidates) <= MOST
    if not all_checked:
        candidates = sorted(candidates, key=lambda index: -sizes[index])[:MOST]
    if len(candidates) >= MANY:
        say(f"measuring {len(candidates):,} prompts ...")
    found = {tasks[index].id: room(tasks[index]) for index in candidates}
    none = {name: left for name, left in found.items() if left <= 0}
    return _Rooms(none, sum(0 < left < wanted for left in found.values()), all_checked)


def _texts(task: Task) -> list[str]:
    return [one["content"] for one in task.messages] or [task.prompt]


def _refuse_if_none(tasks: Sequence[Task], found: _Rooms, what: str, context: int) -> None:
    if len(found.none) < len(tasks):
        return
    shortest = context - max(found.none.values())
    raise TaskError(
        f"all {len(tasks):,} prompts of {what} are too long for the model: its context is {context} tokens, and the "
        f"shortest prompt takes {shortest}; shorten the prompts, or choose a model with a longer context"
    )


def _warn_of_none(pool: _Rooms, held_out: _Rooms, tasks: TaskSet, context: int, drop: bool) -> None:
    too_long = {**pool.none, **held_out.none}
    if not too_long:
        return
    example = min(too_long, key=too_long.__getitem__)
    at_least = "" if pool.all_checked and held_out.all_checked else "at least "
    what = (
        "are left out" if drop else 'fail whenever they are drawn; shorten them, or set task.overlong_prompts = "drop"'
    )
    warn(
        f"{at_least}{len(pool.none):,} of {len(tasks.pool):,} prompts of the pool and {len(held_out.none):,} of "
        f"{len(tasks.held_out):,} held-out prompts leave no room for an answer in the model's context of {context} "
        f"tokens (the longest, {example!r}, takes {context - too_long[example]}) and {what}"
    )


def _warn_of_less(pool: _Rooms, held_out: _Rooms, tasks: TaskSet, context: int, wanted: int) -> None:
    less, count = pool.less + held_out.less, len(tasks.pool) + len(tasks.held_out)
    if less:
        warn(
            f"{less:,} of {count:,} prompts leave fewer than engine.max_new_tokens = {wanted} tokens of the model's "
            f"context of {context}, and their completions are cut at the context; lower engine.max_new_tokens, or "
            "choose a model with a longer context"
        )


def _without(tasks: Sequence[Task], names: Mapping[str, int]) -> tuple[Task, ...]:
    return tuple(task for task in tasks if task.id not in names)
