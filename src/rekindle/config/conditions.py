"""Conditions under which a key is read, as data: they say whether they hold, and what to set so that they do.

    on("pool.kind", "recycling") | on("priority.consume", "trained")

holds where one of the two does; its remedy is that of the first, ``set pool.kind = "recycling"``.
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
    """Something that holds of a configuration or does not; its text completes "read where ..."."""

    @abstractmethod
    def holds(self, config: "Config") -> bool:
        """Whether the key is read in this configuration."""

    @abstractmethod
    def remedy(self, config: "Config") -> str:
        """What to do where the condition does not hold, e.g. ``set pool.kind = "recycling"``."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Values by path under which it holds, other keys being at their defaults."""

    @abstractmethod
    def __str__(self) -> str:
        """E.g. ``pool.kind = "recycling"``."""

    def __or__(self, other: "Condition") -> "Condition":
        return _AnyOf((self, other))

    def __and__(self, other: "Condition") -> "Condition":
        return _AllOf((self, other))

    def but(self, remedy: str) -> "Condition":
        """The same condition with a remedy of its own."""
        return _Explained(self, remedy)


@dataclass(frozen=True, slots=True)
class _On(Condition):
    """A key has one of some values; the remedy is the first of them."""

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
    """A key is there and not zero.

    Attributes:
        path: The key.
        example: A value that may be suggested.
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
    """A key is not there."""

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
    """What follows from several keys.

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
    """One of several holds; the remedy is that of the first."""

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
    """All of several hold; the remedy is that of the first that does not."""

    parts: tuple[Condition, ...]

    def holds(self, config: "Config") -> bool:
        return all(part.holds(config) for part in self.parts)

    def remedy(self, config: "Config") -> str:
        return next(part for part in self.parts if not part.holds(config)).remedy(config)

    def settings(self) -> Mapping[str, Any]:
        return {path: value for part in self.parts for path, value in part.settings().items()}

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts))


@dataclass(frozen=True, slots=True)
class _Explained(Condition):
    """Another condition with a remedy of its own."""

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
    """A key has one of these values; where it has none, the first is suggested."""
    assert values, f"{path} needs a value to be read at"
    return _On(path, values)


def given(path: str, example: Any, *, suggest: bool = True) -> Condition:
    """A key is there and not zero; ``example`` is a value that may be suggested."""
    return _Given(path, example, suggest)


def absent(path: str) -> Condition:
    """A key is not there."""
    return _Absent(path)


def fact(text: str, function: "Callable[[Config], bool]", **example: Any) -> Condition:
    """Something that follows from several keys.

    Args:
        text: E.g. "tasks are played by searching".
        function: Whether it holds.
        example: Values that make it hold, the dots of their paths written as ``__``; they are the remedy.
    """
    return _Fact(text, function, tuple((path.replace("__", "."), value) for path, value in example.items()))


def having(table: Mapping[str, Any], attribute: str) -> tuple[str, ...]:
    """Names of the entries of a table of choices of which an attribute is true."""
    return tuple(name for name, entry in table.items() if getattr(entry, attribute))


def value_at(config: Any, path: str) -> Any:
    """The value of a dotted path."""
    for part in path.split("."):
        config = getattr(config, part)
    return config


def _set(settings: Mapping[str, Any]) -> str:
    return "set " + " and ".join(f"{path} = {json.dumps(value)}" for path, value in settings.items())
