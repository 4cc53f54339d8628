"""Calls of reward functions: their arguments from tasks and completions, and their checked results.

Nothing that a function returns or raises becomes a reward unless it is a finite number.
"""

import asyncio
import inspect
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple

from rekindle.types import Task
from rekindle.verifiers.function_files import cause_of
from rekindle.verifiers.signatures import Signature
from rekindle.verifiers.verifier import Written

__all__ = ["Batch", "Call", "Outcome", "Problem", "Run", "batches", "results"]

Call = Mapping[str, Any]
"""Arguments by name."""
Run = Callable[[Coroutine[Any, Any, list["Outcome"]]], list["Outcome"]]
"""Awaits a coroutine."""
LEAST_ROWS, ASYNC_ROWS = 16, 64
"""Fewest rollouts of a batch, where there are as many."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The reason why there is no value.

    Attributes:
        kind: ``"error"``, ``"timeout"`` or ``"crash"``.
        text: What happened, in one line.
    """

    kind: Literal["error", "timeout", "crash"]
    text: str


Outcome = float | None | Problem
"""The value of a rollout, None where the function does not apply, or why there is none."""


class Batch(NamedTuple):
    """Calls that are made in one process, with one time limit.

    Attributes:
        calls: One for each group (TRL), or one for each rollout (verl).
        rows: Number of rollouts.
    """

    calls: Sequence[Call]
    rows: int


def batches(signature: Signature, items: Sequence[tuple[Task, str]], written: Sequence[Written]) -> list[Batch]:
    """The calls for some rollouts, in their order.

    A batch has whole groups (the rollouts of the same task in a row), as many as make ``LEAST_ROWS`` rollouts together.
    What hangs or crashes costs a batch, and what raises costs a call. Batches of an asynchronous function are larger,
    because its calls wait at the same time.
    """
    least = ASYNC_ROWS if signature.is_async else LEAST_ROWS
    cut: list[list[tuple[Task, Written]]] = []
    for (task, _), one in zip(items, written, strict=True):
        if not cut or (len(cut[-1]) >= least and cut[-1][-1][0] is not task):
            cut.append([])
        cut[-1].append((task, one))
    return [Batch(_calls(signature, rows), len(rows)) for rows in cut]


def _calls(signature: Signature, rows: Sequence[tuple[Task, Written]]) -> list[Call]:
    """One call for each group (TRL), or for each rollout (verl)."""
    if signature.style == "trl":
        return [_trl_call(signature, list(group)) for _, group in groupby(rows, key=lambda row: id(row[0]))]
    return [_verl_call(signature, task, one) for task, one in rows]


def _trl_call(signature: Signature, rows: Sequence[tuple[Task, Written]]) -> Call:
    """Arguments of TRL's signature: lists with an entry for each row, None where it lacks a column that is needed."""
    columns = [{"answer": _listed(task.answer), **task.metadata} for task, _ in rows]
    names = dict.fromkeys([*(name for row in columns for name in row), *signature.required])
    call: dict[str, Any] = {name: [row.get(name) for row in columns] for name in names}
    call |= {
        "prompts": [[dict(turn) for turn in task.messages] if task.messages else task.prompt for task, _ in rows],
        "completions": [
            [{"role": "assistant", "content": one.text}] if task.messages else one.text for task, one in rows
        ],
        "completion_ids": [list(one.token_ids) for _, one in rows],
    }
    return {name: value for name, value in call.items() if signature.takes(name)}


def _verl_call(signature: Signature, task: Task, one: Written) -> Call:
    """Arguments of verl's signature; ``extra_info`` is the column of that name, else all columns of the row."""
    extra = task.metadata.get("extra_info")
    call = {
        "data_source": task.metadata.get("data_source"),
        "solution_str": one.text,
        "ground_truth": _listed(task.answer),
        "extra_info": dict(extra if isinstance(extra, Mapping) else task.metadata),
    }
    return {name: value for name, value in call.items() if signature.takes(name)}


def _listed(answer: str | Sequence[str]) -> str | list[str]:
    return answer if isinstance(answer, str) else list(answer)


# -- results -----------------------------------------------------------------------------------------------------------


def results(
    function: Callable[..., Any],
    signature: Signature,
    batch: Batch,
    *,
    run: Run = asyncio.run,
    limit: float | None = None,
) -> list[Outcome]:
    """Call the function and check what it returns; an outcome for each row.

    Args:
        function: The reward function.
        signature: Its signature.
        batch: The calls.
        run: Awaits a coroutine, for an asynchronous function.
        limit: Longest wait for one call of an asynchronous function, seconds; None: no limit.
    """
    if signature.is_async:
        return run(_awaited(function, signature, batch, limit))
    return [outcome for call in batch.calls for outcome in _called(function, signature, call)]


def _rows(signature: Signature, call: Call) -> int:
    """Number of rollouts of a call."""
    return len(call["completions"]) if signature.style == "trl" else 1


def _called(function: Callable[..., Any], signature: Signature, call: Call) -> list[Outcome]:
    count = _rows(signature, call)
    try:
        return _outcomes(signature, function(**call), count)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (the user's code; it becomes an outcome)
        return [Problem("error", cause_of(error))] * count


async def _awaited(
    function: Callable[..., Any], signature: Signature, batch: Batch, limit: float | None
) -> list[Outcome]:
    """All calls of a batch at the same time."""

    async def one(call: Call) -> list[Outcome]:
        count = _rows(signature, call)
        try:
            async with asyncio.timeout(limit):
                return _outcomes(signature, await function(**call), count)
        except TimeoutError as error:
            text = f"no result within {limit:g} s" if limit and not error.args else cause_of(error)
            return [Problem("timeout", text)] * count
        except (Exception, SystemExit) as error:  # noqa: BLE001 (the user's code; it becomes an outcome)
            return [Problem("error", cause_of(error))] * count

    return [outcome for found in await asyncio.gather(*map(one, batch.calls)) for outcome in found]


def _outcomes(signature: Signature, returned: Any, rows: int) -> list[Outcome]:
    """What a call returned, for each of its rows."""
    if inspect.isawaitable(returned):
        getattr(returned, "close", lambda: None)()
        return [Problem("error", "it returned a coroutine; write it as `async def`")] * rows
    if signature.style == "verl":
        if isinstance(returned, Mapping):
            if "score" not in returned:
                return [Problem("error", f'it returned a dictionary without "score", but {_shown(dict(returned))}')]
            returned = returned["score"]
        return [_value(returned)]
    values = returned.tolist() if hasattr(returned, "tolist") else returned
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Sequence):
        return [Problem("error", f"it returned {_shown(values)} instead of a list of {rows} numbers")] * rows
    if len(values) != rows:
        return [Problem("error", f"it returned {len(values)} numbers for {rows} completions")] * rows
    return [_value(value) for value in values]


def _value(value: Any) -> Outcome:
    """A finite number or None; also numbers of numpy and torch."""
    if value is None:
        return None
    if hasattr(value, "item") and not isinstance(value, int | float):
        try:
            value = value.item()
        except (TypeError, ValueError, RuntimeError):
            return Problem("error", f"it returned {_shown(value)} instead of a number")
    if not isinstance(value, int | float):
        return Problem("error", f"it returned {_shown(value)} instead of a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    return number if math.isfinite(number) else Problem("error", f"it returned {number}, which is not finite")


def _shown(value: object) -> str:
    """A value in a message; only plain ones are written out."""
    plain = isinstance(value, str | int | float | bytes | dict | list | tuple | bool | type(None))
    text = " ".join(repr(value).split()) if plain else f"{type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}..."
