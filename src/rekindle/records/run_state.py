"""The values of a checkpoint's ``state.json``, checked before a run goes on from them: digest, types and ranges.

The file has its own digest, because it has clock times: the digests of all other files (``records.digests``) are the
same in every run with the same course. The digest finds what changed after it was written. The checks of types and
ranges find what was never right, such as a version of ``Infinity`` in a file that other code wrote.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["FORMAT", "READ", "STATE", "STRANGE", "fault_of_values", "has_digest", "read_values", "write_values"]

STATE = "state.json"
FORMAT = 2
READ = (1, 2)
"""Formats that are read. In format 1 the tokens of rollouts that wait are in ``state.json``."""
STRANGE = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, ArithmeticError)
"""Errors of reading values that are damaged, or do not belong together."""
MOST = 2**53
"""Bound of counts; larger integers are no exact numbers in JSON."""


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST


def _sums(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(one, int | float) and 0 <= one < MOST**2 for one in value.values()
    )


def _table(value: object) -> bool:
    return isinstance(value, Mapping)


def _reason(value: object) -> bool:
    return value is None or isinstance(value, str)


def _tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) for one in value)


CHECKS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "trainer.updates": (_count, "a count"),
    "state.version": (_count, "a count"),
    "state.without_signal": (_count, "a count"),
    "state.totals": (_sums, "a table of sums"),
    "state.starvation": (_table, "a table"),
    "state.supply": (_table, "a table"),
    "state.kernels": (_table, "a table"),
    "state.scheduler": (_table, "a table"),
    "state.scheduler.version": (_count, "a count"),
    "state.scheduler.next_step": (_count, "a count"),
    "state.scheduler.next_request": (_count, "a count"),
    "state.scheduler.stopped": (_reason, "a text or null"),
    "state.scheduler.cohorts": (_tables, "a list of tables"),
}
"""Check and description by the path of a value."""


def read_values(checkpoint: Path) -> dict[str, Any]:
    """The values of a checkpoint's state.

    Raises:
        ValueError: The file is no JSON object, or has a number that is not finite.
        OSError: It cannot be read.
    """
    values = _finite_json((checkpoint / STATE).read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError("it is no table of values")
    return values


def write_values(checkpoint: Path, values: Mapping[str, Any]) -> None:
    """Write ``state.json``: the format, the digest, and the values ``trainer`` and ``state``."""
    document = {"format": FORMAT, "digest": _digest({"format": FORMAT, **values}), **values}
    (checkpoint / STATE).write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def has_digest(checkpoint: Path) -> bool:
    """Whether ``state.json`` has a digest, which is at its beginning; those of earlier versions have none."""
    with (checkpoint / STATE).open("rb") as file:
        return b'"digest"' in file.read(100)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def fault_of_values(checkpoint: Path, step: int) -> str | None:
    """What is wrong with the state of a run after ``step``; None: nothing, or it has a format that is not read."""
    try:
        values = read_values(checkpoint)
    except STRANGE as error:
        return f"{STATE}: {' '.join(str(error).split())[:200]}"
    if "digest" in values and values["digest"] != _digest(
        {key: values.get(key) for key in ("format", "trainer", "state")}
    ):
        return f"{STATE} has other contents than were written"
    if values.get("format") not in READ:
        return None if _count(values.get("format")) else f"{STATE}: format is missing"
    for path, (passes, wanted) in CHECKS.items():
        value = _at(values, path)
        if not passes(value):
            return f"{STATE}: {path} = {repr(value)[:60]} is not {wanted}"
    version, stage = values["state"]["version"], values["state"]["scheduler"]
    if version > step or stage["version"] != version:
        return f"{STATE}: version {version} is not one of step {step} whose scheduler has version {stage['version']}"
    return None


def _at(values: object, path: str) -> object:
    """The value at a dotted path; a text of its own where there is none."""
    for key in path.split("."):
        if not isinstance(values, Mapping) or key not in values:
            return "nothing"
        values = values[key]
    return values


def _finite_json(text: str) -> Any:
    """Parse JSON whose numbers are finite.

    Raises:
        ValueError: The text is no JSON, or a number is not finite, such as ``NaN`` and ``1e999``.
    """
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is not finite")
    return number
