"""The journal of a long pass: an append-only JSON-lines file of finished work, with a header of settings.

    {"rekindle_profile": 1, "samples": 8, "seed": 0, ...}
    {"row": 0, "successes": 3, "generated_tokens": 61, "prompt_tokens": 7}

An incomplete last line of a killed process is dropped when the file is opened again. One process at a time has it open.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rekindle.locking import lock
from rekindle.types import UserError

__all__ = ["Journal", "JournalKind", "open_journal"]


@dataclass(frozen=True, slots=True)
class JournalKind:
    """The kind of a journal: its mark in the file, and the words of its error messages.

    Attributes:
        mark: First field of the header, e.g. "rekindle_profile".
        format: Version of the lines.
        noun: Name in messages, e.g. "unfinished profile".
        doing: Activity in messages, e.g. "profiling into".
        start_over: How to start over, e.g. "delete the file to start the profile over".
        error: Message -> the exception to raise.
    """

    mark: str
    format: int
    noun: str
    doing: str
    start_over: str
    error: Callable[[str], UserError]


@contextmanager
def open_journal(
    path: Path, kind: JournalKind, settings: dict[str, Any], restore: Callable[[Any, int], None]
) -> Iterator["Journal"]:
    """Open or create a journal, for this process alone.

    Args:
        path: The journal file.
        kind: Kind of journal.
        settings: Everything the lines depend on, JSON-like; a journal with other settings is refused.
        restore: Called with every existing line and its start. ValueError, KeyError, TypeError and AttributeError mean
            that the line is damaged.

    Raises:
        UserError: ``kind.error``: the file cannot be written, another process has it open, it belongs to another pass,
            or it is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise kind.error(f"{path} cannot be written ({error.strerror or error}); choose another --out") from error
    with file:
        lock(file, kind.error(f"another process is {kind.doing} {path}; wait for it, or choose another --out"))
        yield Journal(file, path, kind, settings, restore)


class Journal:
    """An open journal; see ``open_journal``."""

    def __init__(
        self,
        file: IO[bytes],
        path: Path,
        kind: JournalKind,
        settings: dict[str, Any],
        restore: Callable[[Any, int], None],
    ) -> None:
        self._file, self._path, self._kind = file, path, kind
        header = {kind.mark: kind.format, **settings}
        file.seek(0)
        first = file.readline()
        if first and not _line(header).startswith(first):
            self._check_header(first, header)
        end = self._restore_all(restore) if first.endswith(b"\n") else 0
        file.truncate(end)  # a line that was being written when the process died is played again
        self._end, self._at_end = end, False
        if not end:
            self.add(header)
            self.sync()

    def _check_header(self, line: bytes, header: dict[str, Any]) -> None:
        kind = self._kind
        article = "an" if kind.noun[0] in "aeiou" else "a"
        try:
            found = json.loads(line)
            if found[kind.mark] != kind.format or not line.endswith(b"\n"):
                raise KeyError(kind.mark)
            different = [name for name in {**header, **found} if found.get(name) != header.get(name)]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise kind.error(f"{self._path} is not {article} {kind.noun}; move it, or choose another --out") from None
        if different:
            raise kind.error(
                f"{self._path} holds {article} {kind.noun} with another {', '.join(different)}; continue with the "
                "settings it was started with, delete it, or choose another --out"
            )

    def _restore_all(self, restore: Callable[[Any, int], None]) -> int:
        """Call ``restore`` for every complete line; return the end of the last one."""
        start, number = self._file.tell(), 2
        while (line := self._file.readline()).endswith(b"\n"):
            try:
                restore(json.loads(line), start)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise self._kind.error(f"{self._path}:{number} is damaged; {self._kind.start_over}") from None
            start, number = start + len(line), number + 1
        return start

    def add(self, value: dict[str, Any]) -> int:
        """Append a line and return its start; it is on disk after ``sync``."""
        if not self._at_end:
            self._file.seek(self._end)
            self._at_end = True
        start = self._end
        self._end += self._file.write(_line(value))
        return start

    def sync(self) -> None:
        """Write everything to disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def line_at(self, start: int) -> Any:
        """Read the line that begins at ``start``."""
        self._at_end = False
        self._file.seek(start)
        return json.loads(self._file.readline())


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
