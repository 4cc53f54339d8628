"""Reward functions: in this process, or in worker processes that are killed at a time limit."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from rekindle.choices import few
from rekindle.types import Task
from rekindle.verifiers.function_calls import Outcome, batches, results
from rekindle.verifiers.function_files import load_function
from rekindle.verifiers.function_main import outcomes_of
from rekindle.verifiers.signatures import Signature, signature_of
from rekindle.verifiers.verifier import VerifierError, Written
from rekindle.verifiers.workers import Job, Launch, ServerPool

__all__ = ["FunctionJudge", "LocalFunction", "WorkerFunction", "check_call"]

IMPORT_SECONDS = 60.0
"""Least time that a file has to be imported; libraries may be slow to load."""
CLOSING_SECONDS = 5.0
"""Longest wait for the end of an event loop, which a coroutine that never yields can hold up."""
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class FunctionJudge(Protocol):
    """A reward function that can be called.

    Attributes:
        signature: Its signature.
        waits: Whether its calls mostly wait for other processes, so that others can be made meanwhile.
    """

    @property
    def signature(self) -> Signature: ...  # noqa: D102
    @property
    def waits(self) -> bool: ...  # noqa: D102

    def outcomes(self, items: Sequence[tuple[Task, str]], written: Sequence[Written]) -> list[Outcome]:
        """An outcome for each rollout, in order."""
        ...

    def close(self) -> None:
        """End its processes. May be called twice."""
        ...


class WorkerFunction:
    """A function of a file or module, in worker processes; it is imported in their server, now.

    Args:
        spec: ``FILE.py:NAME`` or ``package.module:NAME``.
        where: Beginning of error messages, e.g. ``rewards[0].function = "my_reward.py:score"``.
        workers: Most processes at the same time.
        timeout_seconds: Wall-clock limit of one batch.

    Raises:
        VerifierError: The function cannot be imported, or has neither signature.
    """

    waits = True

    def __init__(self, spec: str, where: str, *, workers: int, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        seconds = max(IMPORT_SECONDS, timeout_seconds)
        launch = Launch(
            "rekindle.verifiers.function_main",
            (spec, str(timeout_seconds)),
            environment=_own_environment,
            start_seconds=seconds,
            in_its_directory=False,
            not_started=lambda last: _not_started(where, last, seconds),
        )
        self._pool = ServerPool(launch, workers=workers, timeout_seconds=timeout_seconds)
        ready = self._pool.start()
        if "problem" in ready:
            self._pool.close()
            raise VerifierError(f"{where}: {ready['problem']}")
        self.signature = Signature.from_json(ready["signature"])

    def outcomes(self, items: Sequence[tuple[Task, str]], written: Sequence[Written]) -> list[Outcome]:
        """See ``FunctionJudge``; a batch that hangs or kills its process costs its own rollouts."""
        made = batches(self.signature, items, written)
        jobs: list[Job] = [_plain({"calls": list(batch.calls), "rows": batch.rows}) for batch in made]
        replies = self._pool.replies(jobs)
        return [
            outcome
            for batch, reply in zip(made, replies, strict=True)
            for outcome in outcomes_of(reply, batch.rows, self._timeout)
        ]

    def close(self) -> None:
        """See ``FunctionJudge``."""
        self._pool.close()


class LocalFunction:
    """A function in this process, without a time limit; a coroutine function is awaited in a thread of its own.

    Args:
        function: The function.
        where: Beginning of error messages.

    Raises:
        VerifierError: It has neither signature.
    """

    def __init__(self, function: Callable[..., Any], where: str) -> None:
        try:
            self.signature = signature_of(function)
        except VerifierError as error:
            raise VerifierError(f"{where} {error}") from None
        self._function = function
        self._loop = _LoopThread()

    @classmethod
    def of_file(cls, spec: str, where: str) -> "LocalFunction":
        """The function of a file or module."""
        try:
            loaded = load_function(spec)
        except VerifierError as error:
            raise VerifierError(f"{where}: {error}") from None
        return cls(loaded.function, where)

    @property
    def waits(self) -> bool:
        """See ``FunctionJudge``."""
        return self.signature.is_async

    def outcomes(self, items: Sequence[tuple[Task, str]], written: Sequence[Written]) -> list[Outcome]:
        """See ``FunctionJudge``."""
        return [
            outcome
            for batch in batches(self.signature, items, written)
            for outcome in results(self._function, self.signature, batch, run=self._loop.run)
        ]

    def close(self) -> None:
        """See ``FunctionJudge``."""
        self._loop.close()


class _LoopThread:
    """An event loop in a thread of its own, so that clients made at the first call serve later ones.

    It also works where this thread has a running loop, as in a notebook.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread()

    def run(self, coroutine: Coroutine[Any, Any, list[Outcome]]) -> list[Outcome]:
        """Await a coroutine."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_run_until_stopped, args=[self._loop], daemon=True)
            self._thread.start()
        waiting = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return waiting.result()
        except BaseException:
            waiting.cancel()
            raise

    def close(self) -> None:
        """Stop the loop. May be called twice."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSING_SECONDS)
            self._loop = None


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def check_call(signature: Signature, tasks: Sequence[Task], where: str, *, token_ids: bool) -> None:
    """Check that a function can be called with these tasks.

    Args:
        signature: Its signature.
        tasks: The tasks that it will judge.
        where: Beginning of error messages.
        token_ids: Whether the sampled tokens are known.

    Raises:
        VerifierError: It needs a column that no row has, or tokens that are not known.
    """
    known = dict.fromkeys(["answer", *(name for task in tasks for name in task.metadata)])
    missing = [name for name in signature.required if name not in known]
    if missing and tasks:
        raise VerifierError(
            f"{where} needs the column {missing[0]!r}, which no row has; the rows have {few(known)}: rename the "
            "parameter, or give it a default"
        )
    if not token_ids and "completion_ids" in (signature.accepted or ()):
        raise VerifierError(
            f"{where} needs completion_ids, which are known for single completions alone; remove the parameter"
        )


def _own_environment(directory: str) -> Mapping[str, str]:
    """The user's environment, with one thread and a fixed order of sets."""
    return (
        os.environ
        | THREADS
        | {
            "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
            "PYTHONHASHSEED": "0",
            "PYTHONUTF8": "1",
        }
    )


def _not_started(where: str, last: str | None, seconds: float) -> str:
    if last is None:
        return f"{where}: its import takes longer than {seconds:g} s; move slow work into the function"
    return f"{where}: the process that imports it died ({last or 'it said nothing'}); fix the file"


def _plain(value: Any) -> Any:
    """A value as JSON; what JSON does not know becomes text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)
