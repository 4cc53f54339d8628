"""The file ``ledger.sqlite`` of a run, opened for reading: its version and its schema are checked first."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rekindle.scheduling.ledger import strange_part
from rekindle.types import UserError

__all__ = ["LEDGER_COLUMNS", "RunError", "check_rows", "open_ledger"]

LEDGER_VERSION = 2
"""``PRAGMA user_version`` of the newest readable ledger; for a ledger without a number the columns decide."""

LEDGER_COLUMNS = (
    "request_id", "step", "version", "task_id", "role", "n", "temperature", "successes", "outcome", "previous_outcome",
    "first_outcome", "fate", "prompt_tokens", "generated_tokens", "seconds", "tool_tokens",
)  # fmt: skip

LARGEST = 10**15
COUNTS = ("n", "prompt_tokens", "generated_tokens")
_SOUND = " and ".join(
    (
        *(f"typeof({name}) = 'integer' and {name} between 0 and {LARGEST}" for name in COUNTS),
        f"typeof(successes) in ('integer', 'null') and (successes is null or successes between 0 and {LARGEST})",
        "typeof(step) = 'integer' and abs(step) <= 1000000000",
        "typeof(request_id) = 'integer' and typeof(version) = 'integer'",
        *(f"typeof({name}) = 'text'" for name in ("task_id", "role", "fate")),
        *(f"typeof({name}) in ('text', 'null')" for name in ("outcome", "previous_outcome", "first_outcome")),
        *(f"typeof({name}) in ('real', 'integer') and abs({name}) < 1e300" for name in ("temperature", "seconds")),
    )
)
"""What holds in every row."""

ADDED_COLUMNS = {"tool_tokens"}
"""Columns missing in ledgers of version 1; they are read as 0."""


class RunError(UserError):
    """A directory is not a run, or one of its files is broken; the message names the file and the remedy."""


@contextmanager
def open_ledger(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection to a ledger, whose rows are ``sqlite3.Row``; also while the run is active.

    Raises:
        RunError: The file is damaged, of another version, or has what no ledger has; errors in the body included.
    """
    # Without a write-ahead log no process is writing: `immutable` then reads archives on read-only disks and leaves no
    # shared-memory file behind. With one, an ordinary read-only connection sees all committed rows.
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    try:
        ledger = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=10.0)
        ledger.row_factory = sqlite3.Row
    except sqlite3.Error as error:
        raise RunError(f"{path} cannot be opened: {error}") from None
    try:
        if strange := strange_part(ledger):
            raise RunError(f"{path} is no ledger of rekindle: it has {strange}; restore the file that the run wrote")
        _check_version(path, ledger)
        yield ledger
    except sqlite3.Error as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    finally:
        ledger.close()


def check_rows(path: Path) -> None:
    """Check the kinds and ranges of a ledger's values, in one pass over it.

    Raises:
        RunError: A row has a text for a number, or a number that no run writes.
    """
    with open_ledger(path) as ledger:
        row = ledger.execute(f"select rowid from groups where not ({_SOUND}) limit 1").fetchone()  # noqa: S608 (ours)
    if row is not None:
        raise RunError(f"{path} is damaged: row {row[0]} has values that no run writes; restore the file")


def _check_version(path: Path, ledger: sqlite3.Connection) -> None:
    version = ledger.execute("pragma user_version").fetchone()[0]
    columns = {row["name"] for row in ledger.execute("pragma table_info(groups)")}
    missing = [column for column in LEDGER_COLUMNS if column not in columns | ADDED_COLUMNS]
    if version > LEDGER_VERSION or missing:
        what = f"its version is {version}" if version > LEDGER_VERSION else f"table groups has no column {missing[0]}"
        raise RunError(f"{path} was written by another version of rekindle ({what}); read it with that version")
    if added := ADDED_COLUMNS - columns:
        zeros = ", ".join(f"0 as {column}" for column in sorted(added))
        ledger.execute(f"create temp view groups as select *, {zeros} from main.groups")  # noqa: S608 (our own names)
