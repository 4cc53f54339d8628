"""Judging of inputs: a reader answers or refuses in a sentence, and writes in its own directory only."""

import os
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mutation import Inputs
from target import Attempt, Target

from rekindle.types import UserError

__all__ = ["Findings", "Watch", "judge"]

MOST_MEMORY = 6 << 30
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.chown",
    "os.truncate",
}
FORBIDDEN = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind"}


class OutsideError(BaseException):
    """A reader wrote outside its directory, or started a process or a connection."""


class Watch:
    """An audit hook that refuses writes outside a directory while an input is read."""

    def __init__(self, directory: Path) -> None:
        self._allowed = (f"{directory.resolve()}{os.sep}", os.devnull)
        self._watching = False
        sys.addaudithook(self._see)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Context in which the hook is active; a hook cannot be removed."""
        self._watching = True
        try:
            yield
        finally:
            self._watching = False

    def _see(self, event: str, given: tuple[object, ...]) -> None:
        if not self._watching:
            return
        if event in FORBIDDEN:
            raise OutsideError(f"{event} {given[:2]}")
        writes = event == "open" and isinstance(given[2], int) and given[2] & WRITING
        if writes or event in CHANGES:
            self._check(event, given)

    def _check(self, event: str, given: tuple[object, ...]) -> None:
        for path in given[: 2 if event in {"os.rename", "os.link", "os.symlink"} else 1]:
            if isinstance(path, str | bytes | os.PathLike):
                place = os.path.realpath(os.fsdecode(path))
                if not (place + os.sep).startswith(self._allowed[0]) and place != self._allowed[1]:
                    raise OutsideError(f"{event} {place}")


@dataclass(slots=True)
class Findings:
    """Results of a target.

    Attributes:
        inputs: Inputs given to it.
        refused: Those that it refused in a sentence.
        slowest: Longest time of an input in seconds of CPU.
        failures: Where it failed -> number of the first input that failed so.
    """

    inputs: int = 0
    refused: int = 0
    slowest: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)
    repeated: Counter[str] = field(default_factory=Counter)

    def failed(self, where: str, number: int) -> bool:
        """Note a failure; whether it is the first of its kind."""
        self.repeated[where] += 1
        return self.failures.setdefault(where, number) == number


def judge(target: Target, attempt: Attempt, inputs: Inputs, watch: Watch, findings: Findings) -> str | None:
    """Give one input to a reader; return where and how it failed, None where it did not."""
    findings.inputs += 1
    begun = time.process_time()
    try:
        with watch.watching():
            attempt(inputs)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if not isinstance(error, (UserError, *target.refusals)):
            return _place(error)
        findings.refused += 1
        return None if _is_sentence(str(error)) else f"no sentence: {error!r:.120}"
    finally:
        findings.slowest = max(findings.slowest, time.process_time() - begun)
    return None


def limit_memory() -> None:
    """Let a reader that takes too much memory fail."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def _is_sentence(text: str) -> bool:
    return bool(text.strip()) and "Traceback" not in text


def _place(error: BaseException) -> str:
    """Kind of an error, and the line of ours that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}rekindle{os.sep}" in frame.filename] or frames
    raised = "" if ours[-1] is frames[-1] else f" (raised in {Path(frames[-1].filename).name}:{frames[-1].lineno})"
    return f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}{raised}: {str(error)[:160]!r}"
