"""Verifiers and jobs of countdown whose answers are executed, as if its guard had failed."""

from dataclasses import replace

from rekindle.tasks.reasoning_gym import tasks_from_entries
from rekindle.tasks.reasoning_gym_main import generate_entries
from rekindle.verifiers.confinement import LAYERS
from rekindle.verifiers.reasoning_gym import ReasoningGymVerifier
from rekindle.verifiers.workers import WorkerPool

__all__ = ["as_answer", "job_of", "one_task", "unguarded_pool", "unguarded_verifier"]

ENTRY = "{'question': '', 'answer': '1+1', 'metadata': {'numbers': [1, 1], 'target': 2}}"


def as_answer(code):
    """Statements as one expression that ``eval`` and sympy's ``parse_expr`` both execute."""
    return f"exec(__import__('binascii').unhexlify('{code.encode().hex()}'), globals())"


def job_of(code):
    """A job of countdown that executes statements."""
    dataset = {"name": "countdown", "params": {"seed": 0, "size": 1}}
    return {"text": as_answer(code), "dataset": dataset, "index": 0, "entry": ENTRY}


def one_task(name):
    """The first task of a data set of reasoning-gym."""
    params = {"seed": 0, "size": 1}
    (task,) = tasks_from_entries({"name": name, "params": params}, generate_entries(name, params))
    return task


def unguarded_pool(layers=LAYERS, *, workers=2, timeout_seconds=30.0):
    """A pool without guards, confined by some layers."""
    return _without_guards(WorkerPool("reasoning_gym", workers=workers, timeout_seconds=timeout_seconds), layers)


def unguarded_verifier(*, workers, timeout_seconds):
    """The verifier of reasoning_gym without guards, confined by all layers."""
    verifier = ReasoningGymVerifier(workers=workers, timeout_seconds=timeout_seconds)
    _without_guards(verifier._pool, LAYERS)
    return verifier


def _without_guards(pool, layers):
    launch = pool._pool._launch
    arguments = (*launch.arguments, ",".join(layers))
    pool._pool._launch = replace(launch, module="unguarded_worker", arguments=arguments)
    return pool
