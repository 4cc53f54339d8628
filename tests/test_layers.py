"""Imports point down. The floors are those of CONTRIBUTING.md."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "rekindle"
FLOORS = {
    "types": 0,
    "notices": 0,
    "interrupts": 0,
    "locking": 0,
    "allocator": 0,
    "caching": 0,
    "choices": 0,
    "hardware": 0,
    "failures": 0,
    "heap": 0,
    "hub": 1,
    "remote": 0,
    "answers": 0,
    "look_alikes": 0,
    "scheduling": 1,
    "learning": 1,
    "models": 1,
    "retrieval": 1,
    "config": 1,
    "statistics": 1,
    "engines": 2,
    "recipes": 2,
    "tasks": 2,
    "verifiers": 2,
    "methods": 3,
    "records": 3,
    "training": 3,
    "evaluation": 3,
    "observability": 3,
    "planning": 3,
    "comparison": 4,
    "environments": 4,
    "preflight": 4,
    "assembly": 5,
    "doctor": 5,
    "integrations": 5,
    "warm_starts": 6,
    "given": 4,
    "session": 7,
    "repeating": 7,
    "first_file": 5,
    "trial": 7,
    "sweeps": 8,
    "trial_words": 8,
    "api": 8,
    "cli": 9,
}
TORCH_FREE = (
    "types",
    "notices",
    "remote",
    "answers",
    "look_alikes",
    "caching",
    "choices",
    "heap",
    "hardware",
    "hub",
    "config",
    "scheduling",
    "tasks",
    "verifiers",
    "recipes",
    "methods",
    "planning",
    "statistics",
    "comparison",
    "observability",
    "preflight",
    "records",
)
UNCHECKED = {"__init__", "__main__", "testing"}


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path):
    """(module, name or None) of every import in a file, the lazy ones too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole path"
            yield from ((node.module, alias.name) for alias in node.names)


FILES = sorted(SOURCE.rglob("*.py"))


def up_or_private(path):
    """What is wrong with the imports of a file."""
    here = room(path)
    if here in UNCHECKED:
        return
    if here not in FLOORS:
        yield f"{path}: {here} has no floor; give it one here and in CONTRIBUTING.md"
        return
    for module, name in imports(path):
        if not module.startswith("rekindle.") or module.split(".")[1] == here:
            continue
        there = module.split(".")[1]
        if FLOORS[there] > FLOORS[here]:
            yield f"{path} imports {module}, which is above"
        private = [part for part in [*module.split("."), name or ""] if part.startswith("_")]
        if private:
            yield f"{path} imports {private[0]} of {there}, which is private there"


def test_imports_point_down_and_never_into_private_parts():
    assert not [offence for path in FILES for offence in up_or_private(path)]


def test_rooms_without_torch_do_not_import_it():
    heavy = [
        f"{path} imports {module}"
        for path in FILES
        if room(path) in TORCH_FREE
        for module, _ in imports(path)
        if module.split(".")[0] in {"torch", "transformers"}
    ]
    assert not heavy


STANDS_ON_ITS_OWN = ("training", "assembly", "api", "session", "cli")


def test_integrations_stand_beside_our_own_loop():
    """An integration runs another trainer, so nothing of ours that runs or builds a training run is in it."""
    assert not [
        f"{path} imports {module}"
        for path in FILES
        if room(path) == "integrations"
        for module, name in imports(path)
        if module.removeprefix("rekindle.").split(".")[0] in STANDS_ON_ITS_OWN
        or (module == "rekindle" and name in STANDS_ON_ITS_OWN)
    ]


def test_no_two_rooms_import_each_other():
    edges = {
        (room(path), module.split(".")[1])
        for path in FILES
        if room(path) not in UNCHECKED
        for module, _ in imports(path)
        if module.startswith("rekindle.") and module.split(".")[1] != room(path)
    }
    assert not {(a, b) for a, b in edges if (b, a) in edges}
