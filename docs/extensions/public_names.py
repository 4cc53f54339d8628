"""The names of the API reference: which modules it has, what they export, and where each name has its entry."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import griffe

__all__ = ["ALSO", "ROOMS", "entry_of", "exported", "module", "modules"]

SOURCE = Path(__file__).parents[2] / "src"
ROOMS = ("rekindle.scheduling", "rekindle.learning", "rekindle.methods")
"""Packages that the reference has whole, with their modules."""
ALSO = (
    "rekindle",
    "rekindle.types",
    "rekindle.api.training",
    "rekindle.api.trying",
    "rekindle.api.evaluating",
    "rekindle.api.sweeping",
    "rekindle.api.comparing",
    "rekindle.api.planning",
    "rekindle.sweeps.sweep",
    "rekindle.comparison.comparing",
    "rekindle.observability.runs",
    "rekindle.training.callbacks",
    "rekindle.verifiers",
    "rekindle.verifiers.verifier",
    "rekindle.verifiers.exact",
    "rekindle.verifiers.maths",
    "rekindle.verifiers.qa",
    "rekindle.verifiers.last_number",
    "rekindle.verifiers.judge",
    "rekindle.verifiers.rewards",
    "rekindle.evaluation",
    "rekindle.evaluation.evaluator",
    "rekindle.evaluation.question_sets",
    "rekindle.evaluation.profiler",
    "rekindle.evaluation.profile_file",
    "rekindle.testing",
    "rekindle.engines.engine",
    "rekindle.engines.conversing",
    "rekindle.environments.single_turn",
    "rekindle.environments.dialogue",
    "rekindle.retrieval.retriever",
    "rekindle.retrieval.lexical",
    "rekindle.retrieval.dense",
    "rekindle.retrieval.encoder",
    "rekindle.retrieval.fusion",
    "rekindle.retrieval.client",
    "rekindle.retrieval.server",
    "rekindle.integrations.trl",
    "rekindle.integrations.trl.settings.capabilities",
    "rekindle.integrations.verl",
    "rekindle.integrations.verl.trainer",
    "rekindle.integrations.verl.dataset",
    "rekindle.integrations.verl.reward",
    "rekindle.integrations.verl.reward_manager",
    "rekindle.integrations.verl.settings.capabilities",
)
"""Single modules of the reference."""


@cache
def _package() -> griffe.Module:
    """The package as it is written; nothing is imported, so that TRL, verl and torch need not be there."""
    loaded = griffe.load("rekindle", search_paths=[str(SOURCE)], docstring_parser="google", resolve_aliases=True)
    assert isinstance(loaded, griffe.Module)
    return loaded


def module(path: str) -> griffe.Module:
    """The module with a dotted path."""
    found = _package() if path == "rekindle" else _package()[path.removeprefix("rekindle.")]
    if not isinstance(found, griffe.Module):
        raise KeyError(f"{path} is no module of the package")
    return found


@cache
def modules() -> tuple[str, ...]:
    """Paths of the modules of the reference, a package before its modules."""
    return (*ALSO, *(path for room in ROOMS for path in _inside(module(room))))


def _inside(package: griffe.Module) -> Iterator[str]:
    yield package.path
    for part in sorted(package.modules.values(), key=lambda one: one.name):
        if not part.is_alias:
            yield from _inside(part)


def exported(path: str) -> dict[str, griffe.Object]:
    """What a module exports, by name, in the order of its ``__all__``."""
    here = module(path)
    return {str(name): _target(here, str(name)) for name in here.exports or []}


def _target(here: griffe.Module, name: str) -> griffe.Object:
    found = here.members[name]
    if isinstance(found, griffe.Module):  # a function with the name of its module, which griffe takes for the module
        found = found.members[name]
    target = found.final_target if isinstance(found, griffe.Alias) else found
    assert isinstance(target, griffe.Object)
    return target


@cache
def _entries() -> dict[str, str]:
    """The public path of every exported object by the path of its definition: that of the shortest module name."""
    found: dict[str, str] = {}
    for path in sorted(modules(), key=lambda one: (one.count("."), one)):
        for name, target in exported(path).items():
            found.setdefault(target.path, f"{path}.{name}")
    return found


def entry_of(target: griffe.Object) -> str:
    """The path under which an exported object has its entry, e.g. ``rekindle.Scheduler``."""
    return _entries()[target.path]
