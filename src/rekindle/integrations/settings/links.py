"""Settings of another trainer and the keys of ours that mean the same, as data.

- A recipe decides a key that it sets to another value than recipe ``grpo`` has, and tables decide every key in them.
- All other keys have the value of the other trainer's setting, its default included.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from rekindle.config import Config
from rekindle.config.conditions import value_at
from rekindle.integrations.settings.paths import at, is_read
from rekindle.recipes.grpo import grpo

__all__ = ["PLAIN", "Link", "Theirs", "contradicted", "decided_paths", "decided_settings", "same"]

PLAIN = grpo()
"""Recipe grpo, which decides nothing."""


class Theirs(Protocol):
    """Settings of another trainer."""

    def at(self, name: str) -> Any:
        """The value of a setting."""

    def is_set(self, name: str) -> bool:
        """Whether a setting differs from its default: no trainer keeps a record of what was written."""


SettingsT = TypeVar("SettingsT", bound=Theirs)


@dataclass(frozen=True, slots=True)
class Link(Generic[SettingsT]):
    """A setting of another trainer and a key.

    Attributes:
        name: The setting's name there.
        path: Our key.
        value: The value of the key that the settings ask for.
        changes: (configuration, settings) -> the settings with which the trainer does what the key says; those that are
            right already are left out.
    """

    name: str
    path: str
    value: Callable[[SettingsT], Any]
    changes: Callable[[Config, SettingsT], Mapping[str, Any]]


def same(name: str, path: str) -> Link[Any]:
    """A setting with the value of a key."""

    def back(config: Config, settings: Theirs) -> dict[str, Any]:
        value = value_at(config, path)
        return {} if value == settings.at(name) else {name: value}

    return Link(name, path, lambda settings: settings.at(name), back)


def decided_paths(links: Sequence[Link[Any]], preset: Mapping[str, Any], tables: Mapping[str, Any]) -> set[str]:
    """The linked keys that a recipe decides: those in the tables, and those with another value than in recipe grpo."""
    return {
        link.path
        for link in links
        if at(tables, link.path) is not None or at(preset, link.path) != value_at(PLAIN, link.path)
    }


def contradicted(
    links: Sequence[Link[SettingsT]],
    chosen: Mapping[str, Any],
    decided: set[str],
    settings: SettingsT,
    meaning: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[tuple[Link[SettingsT], Any]]:
    """Links whose setting was set and says something else than the recipe, with the value of the recipe.

    Args:
        links: All links.
        chosen: The recipe's settings, with those of the tables over them.
        decided: The keys that both decide.
        settings: The other trainer's.
        meaning: What settings mean where they are set, by name, if it is not the value of their link.
    """
    for link in links:
        if link.path in decided and settings.is_set(link.name):
            ours = at(chosen, link.path)
            if (meaning[link.name] if link.name in meaning else link.value(settings)) != ours:
                yield link, ours


def decided_settings(links: Sequence[Link[SettingsT]], config: Config, settings: SettingsT) -> dict[str, Any]:
    """The settings that the recipe decides, with their values; those that are right already are left out."""
    changed: dict[str, Any] = {}
    for link in links:
        if is_read(link.path, config):
            changed |= link.changes(config, settings)
    return {name: value for name, value in changed.items() if value != settings.at(name)}
