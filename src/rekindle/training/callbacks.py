"""Callbacks of a run: functions of the user that are called after a step, an evaluation and a checkpoint.

A callback is any object with some of these methods:

    on_step(metrics, samples)          after every step: its line of metrics.jsonl and its lines of samples.jsonl
    on_evaluation(metrics)             after every evaluation, the first one included
    on_checkpoint(directory)           after every checkpoint

An exception in one is shown as a warning, and the run goes on. What a callback returns is not used.
"""

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rekindle.choices import few
from rekindle.notices import warn
from rekindle.types import UserError

__all__ = ["CallbackError", "Callbacks"]

METHODS = ("on_step", "on_evaluation", "on_checkpoint")


class CallbackError(UserError):
    """An object is no callback."""


class Callbacks:
    """Calls the methods that the given objects have.

    Args:
        objects: The callbacks, called in this order.

    Raises:
        CallbackError: An object has none of the methods, or one that cannot be called.
    """

    def __init__(self, objects: Sequence[object] = ()) -> None:
        for one in objects:
            _check(one)
        self._objects = tuple(objects)

    def step(self, metrics: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        """Pass on a step, and its evaluation where there was one."""
        if metrics.get("step"):
            self._call("on_step", metrics, samples)
        if any(name.startswith("eval/") for name in metrics):
            self._call("on_evaluation", metrics)

    def checkpoint(self, directory: Path) -> None:
        """Pass on a checkpoint."""
        self._call("on_checkpoint", directory)

    def _call(self, method: str, *arguments: Any) -> None:
        for one in self._objects:
            function = getattr(one, method, None)
            if function is None:
                continue
            try:
                function(*arguments)
            except Exception as error:  # noqa: BLE001 (the boundary to the user's code)
                place = traceback.extract_tb(error.__traceback__)[-1]
                warn(
                    f"the callback {type(one).__name__}.{method} raised {type(error).__name__}: {error} ({place.name}, "
                    f"line {place.lineno}); the run goes on"
                )


def _check(one: object) -> None:
    found = [name for name in METHODS if getattr(one, name, None) is not None]
    wrong = [name for name in found if not callable(getattr(one, name))]
    if isinstance(one, type):
        raise CallbackError(f"the callback {one.__name__} is a class; give an object of it: {one.__name__}()")
    if wrong or not found:
        what = f"{wrong[0]} is no function" if wrong else f"it has none of the methods {few(METHODS)}"
        raise CallbackError(f"a {type(one).__name__} is no callback: {what}; write at least one")
