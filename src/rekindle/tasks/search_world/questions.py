"""Questions of one or more hops: "ka lo boss home ?" asks for the home of the boss of ka lo."""

import hashlib
from collections.abc import Container, Mapping
from random import Random

from rekindle.notices import warn
from rekindle.tasks.search_world.params import Params
from rekindle.tasks.search_world.world import Name, World, world
from rekindle.tasks.task_set import TaskSet
from rekindle.types import Task

__all__ = ["demonstration_tasks", "distinct_questions", "load_search_world", "wanted_questions"]

DEMONSTRATED_HOPS = (0.4, 0.25, 0.2, 0.15)
"""Shares of 1, 2, ... hops in demonstrations; easy questions are learned first."""
PATIENCE = 400
"""Draws without a new question after which a world counts as having no more questions of that many hops."""


def load_search_world(values: Mapping[str, object], *, pool_size: int, eval_prompts: int, seed: int) -> TaskSet:
    """Generate the pool and the held-out prompts: questions about two worlds without common names, evenly over hops.

    Args:
        values: ``task.params``; see ``Params``.
        pool_size: Prompts in the pool.
        eval_prompts: Prompts held out.
        seed: Chooses the questions where ``task.params`` has no ``seed``.

    Raises:
        TaskError: A parameter is unknown or out of range.
    """
    params = Params.read(values)
    chosen = params.seed if "seed" in values else seed
    return TaskSet(
        wanted_questions(params, "pool", pool_size, chosen, key="task.pool_size"),
        wanted_questions(params, "held_out", eval_prompts, chosen, key="eval.prompts"),
    )


def wanted_questions(params: Params, corpus: str, count: int, seed: int, *, key: str) -> tuple[Task, ...]:
    """`distinct_questions`, with a warning where there are fewer than the configuration's ``key`` demands."""
    tasks = distinct_questions(params, corpus, count, seed)
    if len(tasks) < count:
        warn(
            f"{key} = {count}, but only {len(tasks)} questions were found in a world of {params.entities} "
            "entities; raise task.params entities for more",
            stacklevel=3,
        )
    return tasks


def demonstration_tasks(params: Params, count: int, seed: int) -> tuple[Task, ...]:
    """Up to ``count`` questions about the third world, most of them easy.

    A question may occur more than once, because there are too few easy ones for their share.
    """
    rng, here = Random(f"questions demonstrations {seed}"), world(params, "demonstrations")
    shares = [DEMONSTRATED_HOPS[min(hop, len(DEMONSTRATED_HOPS) - 1)] for hop in range(params.hops)]
    drawn = (
        _draw(rng, here, "demonstrations", hops) for hops in rng.choices(range(1, params.hops + 1), shares, k=count)
    )
    return tuple(task for task in drawn if task is not None)


def distinct_questions(params: Params, corpus: str, count: int, seed: int) -> tuple[Task, ...]:
    """Up to ``count`` questions about a world, as evenly over the hops as possible.

    Where one number of hops runs out, the others fill up.
    """
    rng, here = Random(f"questions {corpus} {seed}"), world(params, corpus)
    tasks, lengths = dict[str, Task](), list(range(1, params.hops + 1))
    while lengths and len(tasks) < count:
        hops = lengths[len(tasks) % len(lengths)]
        task = _draw(rng, here, corpus, hops, tasks)
        if task is None:
            lengths.remove(hops)
        else:
            tasks[task.prompt] = task
    found = list(tasks.values())
    rng.shuffle(found)
    return tuple(found)


def _draw(rng: Random, here: World, corpus: str, hops: int, without: Container[str] = frozenset()) -> Task | None:
    """Draw a question; None where ``PATIENCE`` draws find no new one without a repeated entity."""
    for _ in range(PATIENCE):
        path = _walk(here, rng.choice(here.entities), rng.choices(here.relations, k=hops))
        task = path and _task(corpus, *path)
        if task and task.prompt not in without:
            return task
    return None


def _walk(here: World, start: Name, relations: list[str]) -> tuple[list[Name], list[str]] | None:
    """The entities of a path and its relations; None where an entity repeats."""
    way = [start]
    for relation in relations:
        way.append(here.facts[way[-1], relation])
    return (way, relations) if len(set(way)) == len(way) else None


def _task(corpus: str, way: list[Name], relations: list[str]) -> Task:
    prompt = " ".join((*way[0], *relations, "?"))
    answer = " ".join(way[-1])
    key = hashlib.blake2b(f"{corpus} {prompt} {answer}".encode(), digest_size=8).hexdigest()
    return Task(
        f"search_world/{corpus}/{key}",
        prompt,
        answer,
        {
            "level": len(relations),
            "corpus": corpus,
            "path": [" ".join(name) for name in way],
            "relations": relations,
        },
    )
