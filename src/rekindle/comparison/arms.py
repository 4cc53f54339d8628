"""Arms: runs grouped by all of their settings but the seed, and named by what tells them apart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rekindle.comparison.runs import ComparedRun
from rekindle.comparison.settings import differing, identity, shown_value
from rekindle.observability.formatting import excerpt
from rekindle.types import UserError

__all__ = ["Arm", "baseline_of", "grouped_arms"]

_NAME = 80
"""Most characters of an arm's name."""
_TOLD = 2
"""Most settings in the name of an arm."""
_USUAL = "grpo"
"""Recipe that others are compared with, where there is one."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Runs with equal settings.

    Attributes:
        name: Recipe, with what else tells it apart; no two arms have the same.
        runs: By seed, ascending.
    """

    name: str
    runs: Mapping[int, ComparedRun]

    @property
    def first(self) -> ComparedRun:
        """The run of the lowest seed."""
        return next(iter(self.runs.values()))

    @property
    def recipe(self) -> str:
        """Recipe of its runs."""
        return self.first.recipe


def grouped_arms(runs: Sequence[ComparedRun]) -> tuple[list[Arm], list[tuple[ComparedRun, ComparedRun]]]:
    """The arms in the order of their first runs, and the runs left out, each after the one that it repeats.

    A run repeats another where settings and seed are the same.
    """
    groups: dict[str, dict[int, ComparedRun]] = {}
    repeated = []
    shared = _shared_keys(runs)
    for run in runs:
        settings = {key: value for key, value in sorted(identity(run.settings).items()) if key in shared}
        found = groups.setdefault(repr((run.trainer, settings)), {})
        if run.seed in found:
            repeated.append((found[run.seed], run))
        found.setdefault(run.seed, run)
    sorted_groups = [dict(sorted(group.items())) for group in groups.values()]
    names = _names([next(iter(group.values())) for group in sorted_groups])
    return [Arm(name, group) for name, group in zip(names, sorted_groups, strict=True)], repeated


def _shared_keys(runs: Sequence[ComparedRun]) -> set[str]:
    """Keys that count: all, or where versions differ, those that every version knows."""
    by_version: dict[str, set[str]] = {}
    for run in runs:
        by_version.setdefault(run.version, set()).update(run.settings)
    return set.intersection(*by_version.values()) if by_version else set()


def _names(firsts: Sequence[ComparedRun]) -> list[str]:
    """A name for each arm, by its first run."""
    names = []
    for run in firsts:
        same = [one for one in firsts if (one.recipe, one.trainer) == (run.recipe, run.trainer)]
        names.append(excerpt(", ".join([_plain_name(run, firsts), *_told(run, same)]), _NAME).replace("\n", " "))
    return [
        f"{name} ({1 + names[:place].count(name)})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _plain_name(run: ComparedRun, firsts: Sequence[ComparedRun]) -> str:
    """Recipe, and the trainer where arms have different ones."""
    several = len({one.trainer for one in firsts}) > 1
    return f"{run.recipe} in {run.trainer or 'rekindle'}" if several else run.recipe


def _told(run: ComparedRun, same: Sequence[ComparedRun]) -> Iterator[str]:
    """Settings that tell an arm from others of its recipe: one, where one is enough."""
    settings = [identity(one.settings) for one in same]
    keys = differing(settings)
    enough = [key for key in keys if len({repr(one.get(key)) for one in settings}) == len(settings)]
    told = enough[:1] or keys[:_TOLD]
    for key in told:
        yield f"{key} = {shown_value(identity(run.settings).get(key))}"
    if not enough and len(keys) > len(told):
        yield "..."


def baseline_of(arms: Sequence[Arm], chosen: str | None) -> Arm:
    """The arm that others are compared with: the chosen one, or the first of GRPO, or the first.

    Args:
        arms: At least one.
        chosen: Name or recipe of an arm; None: none was chosen.

    Raises:
        UserError: No arm, or more than one, is called so.
    """
    if chosen is None:
        return next((arm for arm in arms if arm.recipe == _USUAL), arms[0])
    named = [arm for arm in arms if arm.name == chosen] or [arm for arm in arms if arm.recipe == chosen]
    if len(named) == 1:
        return named[0]
    listed = "; ".join(arm.name for arm in named or arms)
    what = "is the recipe of several arms" if named else "is no arm of this comparison"
    raise UserError(f"--baseline {excerpt(chosen, _NAME)} {what}; choose one of: {listed}")
