"""Conditions under which a key is read, as data: whether they hold, and which settings make them hold.

    on("pool.kind", "recycling") | on("priority.consume", "trained")

holds where either condition holds; its remedy is that of the first, ``set pool.kind = "recycling"``.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rekindle.config.tables import Config

__all__ = ["Condition", "absent", "fact", "given", "having", "on", "value_at"]


class Condition(ABC):
    """A predicate of a configuration; its text completes the phrase "read where ..."."""

    @abstractmethod
    def holds(self, config: "Config") -> bool:
        """Whether the condition holds in this configuration."""

    @abstractmethod
    def remedy(self, config: "Config") -> str:
        """Advice for a configuration in which the condition does not hold, e.g. ``set pool.kind = "recycling"``."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Values by path under which the condition holds while other keys have their defaults."""

    @abstractmethod
    def __str__(self) -> str:
        """Text of the condition, e.g. ``pool.kind = "recycling"``."""

    def __or__(self, other: "Condition") -> "Condition":
        return _AnyOf((self, other))

    def __and__(self, other: "Condition") -> "Condition":
        return _AllOf((self, other))

    def but(self, remedy: str) -> "Condition":
        """The same condition with another remedy."""
        return _Explained(self, remedy)


@dataclass(frozen=True, slots=True)
class _On(Condition):
    """A key has one of some values; the remedy sets the first."""

    path: str
    values: tuple[Any, ...]

    def holds(self, config: "Config") -> bool:
        return value_at(config, self.path) in self.values

    def remedy(self, config: "Config") -> str:
        return _set(self.settings())

    def settings(self) -> Mapping[str, Any]:
        return {self.path: self.values[0]}

    def __str__(self) -> str:
        return f"{self.path} = {' or '.join(json.dumps(value) for value in self.values)}"


@dataclass(frozen=True, slots=True)
class _Given(Condition):
    """A key is set and not zero.

    Attributes:
        path: The key.
        example: A value for the remedy.
        suggest: Whether the remedy names the example.
    """

    path: str
    example: Any
    suggest: bool = True

    def holds(self, config: "Config") -> bool:
        return bool(value_at(config, self.path))

    def remedy(self, config: "Config") -> str:
        return _set(self.settings()) if self.suggest else f"set {self.path}"

    def settings(self) -> Mapping[str, Any]:
        return {self.path: self.example}

    def __str__(self) -> str:
        return f"{self.path} > 0" if self.suggest else f"{self.path} is set"


@dataclass(frozen=True, slots=True)
class _Absent(Condition):
    """A key is not set."""

    path: str

    def holds(self, config: "Config") -> bool:
        return value_at(config, self.path) is None

    def remedy(self, config: "Config") -> str:
        return f"remove {self.path}"

    def settings(self) -> Mapping[str, Any]:
        return {self.path: None}

    def __str__(self) -> str:
        return f"{self.path} is not set"


@dataclass(frozen=True, slots=True)
class _Fact(Condition):
    """A property that follows from several keys.

    Attributes:
        text: E.g. "tasks are played by searching".
        function: Whether it holds.
        example: Values by path that make it hold; the remedy.
    """

    text: str
    function: "Callable[[Config], bool]"
    example: tuple[tuple[str, Any], ...]

    def holds(self, config: "Config") -> bool:
        return self.function(config)

    def remedy(self, config: "Config") -> str:
        return _set(self.settings())

    def settings(self) -> Mapping[str, Any]:
        return dict(self.example)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class _AnyOf(Condition):
    """One of several conditions holds; the remedy is that of the first."""

    parts: tuple[Condition, ...]

    def holds(self, config: "Config") -> bool:
        return any(part.holds(config) for part in self.parts)

    def remedy(self, config: "Config") -> str:
        return self.parts[0].remedy(config)

    def settings(self) -> Mapping[str, Any]:
        return self.parts[0].settings()

    def __str__(self) -> str:
        return ", or ".join(map(str, self.parts))


@dataclass(frozen=True, slots=True)
class _AllOf(Condition):
    """All of several conditions hold.

    The remedy is that of the first that does not hold, unless a later one needs other values of the same keys.
    """

    parts: tuple[Condition, ...]

    def holds(self, config: "Config") -> bool:
        return all(part.holds(config) for part in self.parts)

    def remedy(self, config: "Config") -> str:
        missing = [part for part in self.parts if not part.holds(config)] or [self.parts[0]]
        needed = self.settings()
        return next((part for part in missing if part.settings().items() <= needed.items()), missing[0]).remedy(config)

    def settings(self) -> Mapping[str, Any]:
        return {path: value for part in self.parts for path, value in part.settings().items()}

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts))


@dataclass(frozen=True, slots=True)
class _Explained(Condition):
    """A condition with another remedy."""

    condition: Condition
    words: str

    def holds(self, config: "Config") -> bool:
        return self.condition.holds(config)

    def remedy(self, config: "Config") -> str:
        return self.words

    def settings(self) -> Mapping[str, Any]:
        return self.condition.settings()

    def __str__(self) -> str:
        return str(self.condition)


def on(path: str, *values: Any) -> Condition:
    """Condition: a key has one of these values; the remedy suggests the first."""
    assert values, f"{path} needs a value to be read at"
    return _On(path, values)


def given(path: str, example: Any, *, suggest: bool = True) -> Condition:
    """Condition: a key is set and not zero; the remedy suggests ``example`` if ``suggest``."""
    return _Given(path, example, suggest)


def absent(path: str) -> Condition:
    """Condition: a key is not set."""
    return _Absent(path)


def fact(text: str, function: "Callable[[Config], bool]", **example: Any) -> Condition:
    """Condition: a property that follows from several keys.

    Args:
        text: E.g. "tasks are played by searching".
        function: Whether it holds.
        example: Values that make it hold, for the remedy; dots of their paths are written as ``__``.
    """
    return _Fact(text, function, tuple((path.replace("__", "."), value) for path, value in example.items()))


def having(table: Mapping[str, Any], attribute: str) -> tuple[str, ...]:
    """Names in a table of choices whose entries have a true ``attribute``."""
    return tuple(name for name, entry in table.items() if getattr(entry, attribute))


def value_at(config: Any, path: str) -> Any:
    """The value of a dotted path."""
    for part in path.split("."):
        config = getattr(config, part)
    return config


def _set(settings: Mapping[str, Any]) -> str:
    return "set " + " and ".join(f"{path} = {json.dumps(value)}" for path, value in settings.items())
