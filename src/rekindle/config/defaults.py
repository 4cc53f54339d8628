"""Defaults that depend on other keys, as data: a pretrained model has another learning rate than a tiny one.

    learning_rate: float = key(5e-4, "...", cases=(Case(READY_MODEL, 1e-6),))

The first case whose condition holds gives the default. ``with_cases`` applies them where neither the file, nor the
recipe, nor ``--set`` sets the key, and the complete configuration then has the value.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rekindle.config.conditions import Condition

if TYPE_CHECKING:
    from rekindle.config.keys import Key
    from rekindle.config.tables import Config

__all__ = ["Case", "Computed", "with_cases"]


@dataclass(frozen=True, slots=True)
class Computed:
    """A default that is computed from the other keys.

    Attributes:
        words: The rule, for the documentation, e.g. "a tenth of the steps, at most 20".
        function: The configuration with the defaults that are not computed -> the value. None: the value is known
            when the tasks are read (``preflight.settled``).
    """

    words: str
    function: "Callable[[Config], Any]" = lambda config: None


@dataclass(frozen=True, slots=True)
class Case:
    """A default under a condition.

    Attributes:
        when: The condition.
        value: The default, or how it is computed.
    """

    when: Condition
    value: Any

    def default(self, config: "Config") -> Any:
        """The default in a configuration."""
        return self.value.function(config) if isinstance(self.value, Computed) else self.value


def with_cases(
    keys: "Iterable[Key]",
    values: Mapping[str, Any],
    given: Mapping[str, Any],
    saved: Mapping[str, Any],
    read: "Callable[[Mapping[str, Any]], Config]",
) -> dict[str, Any]:
    """Settings with the defaults of the cases that hold.

    Args:
        keys: All keys; those with a computed default come last, as it may depend on the others.
        values: Nested settings.
        given: Nested settings that were chosen; a key in them has no other default.
        saved: Nested settings of the run that is resumed, whose defaults stay as they are.
        read: Nested settings -> the configuration.
    """
    found = dict(values)
    for key in sorted(keys, key=_is_computed):
        if not key.cases or _at(given, key.path) is not None:
            continue
        before, config = _at(saved, key.path), read(found)
        holding = next((case for case in key.cases if case.when.holds(config)), None)
        if before is not None:
            found = _with(found, key.path.split("."), before)
        elif holding is not None:
            found = _with(found, key.path.split("."), holding.default(config))
    return found


def _is_computed(key: "Key") -> bool:
    return any(isinstance(case.value, Computed) for case in key.cases)


def _at(values: Mapping[str, Any], path: str) -> Any:
    """The value of a dotted path; None where there is none."""
    inner: Any = values
    for part in path.split("."):
        inner = inner.get(part) if isinstance(inner, Mapping) else None
    return inner


def _with(values: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    return {**values, name: _with(values.get(name, {}), rest, value) if rest else value}
