"""Self-play in the embedded world: answers to propose questions for, and held-out questions."""

import hashlib
from collections.abc import Mapping

from rekindle.tasks.search_world.params import Params
from rekindle.tasks.search_world.questions import wanted_questions
from rekindle.tasks.search_world.world import world
from rekindle.tasks.task_set import TaskSet
from rekindle.types import Task

__all__ = ["load_self_play"]


def load_self_play(values: Mapping[str, object], *, eval_prompts: int, seed: int) -> TaskSet:
    """Generate the seeds and the held-out prompts.

    The pool has a seed for each entity that is the value of a fact, such as
    ``Task("seed/...", "me ti", "me ti", {"corpus": "pool"})``. The held-out prompts are those of `load_search_world`.

    Args:
        values: ``task.params``; see ``Params``.
        eval_prompts: Prompts held out.
        seed: Chooses the held-out questions where ``task.params`` has no ``seed``.

    Raises:
        TaskError: A parameter is unknown or out of range.
    """
    params = Params.read(values)
    answers = sorted({" ".join(value) for value in world(params, "pool").facts.values()})
    chosen = params.seed if "seed" in values else seed
    held_out = wanted_questions(params, "held_out", eval_prompts, chosen, key="eval.prompts")
    return TaskSet(tuple(_seed(answer) for answer in answers), held_out)


def _seed(answer: str) -> Task:
    key = hashlib.blake2b(answer.encode(), digest_size=8).hexdigest()
    return Task(f"seed/{key}", answer, answer, {"corpus": "pool"})
