"""The ledger: one row per group record in ``ledger.sqlite``, readable while the run goes on."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from rekindle.scheduling.group_records import GroupRecord
from rekindle.types import Fate, UserError

__all__ = ["LEDGER", "Ledger", "LedgerError", "strange_part"]

LEDGER = "ledger.sqlite"
"""Its name in a run directory."""
SCHEMA_VERSION = 2

_COLUMNS = {
    "request_id": "INTEGER PRIMARY KEY",
    "step": "INTEGER NOT NULL",
    "version": "INTEGER NOT NULL",
    "task_id": "TEXT NOT NULL",
    "role": "TEXT NOT NULL",
    "n": "INTEGER NOT NULL",
    "temperature": "REAL NOT NULL",
    "successes": "INTEGER NOT NULL",
    "outcome": "TEXT",
    "previous_outcome": "TEXT",
    "first_outcome": "TEXT",
    "fate": "TEXT NOT NULL",
    "prompt_tokens": "INTEGER NOT NULL",
    "generated_tokens": "INTEGER NOT NULL",
    "seconds": "REAL NOT NULL",
    "tool_tokens": "INTEGER NOT NULL",
}

EXPRESSION = -2
"""Number of the column of an index that is an expression."""
LONGEST_CELL = 1_000_000
"""Most bytes of a value, or of a row; the ids of tasks are short."""


class LedgerError(UserError):
    """The ledger file is unusable, or its counts do not add up."""


class Ledger:
    """Table of groups with a final fate. SQLite in WAL mode, one durable transaction per step.

    Args:
        path: Of ``ledger.sqlite``; created when missing.

    Raises:
        LedgerError: The file is not a ledger, or has another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        try:
            self._open()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            self._connection.close()
            raise LedgerError(
                f"{path} is not a ledger ({error}); move it away or choose another run directory"
            ) from error
        except LedgerError:
            self._connection.close()
            raise

    def _open(self) -> None:
        """Check an existing file, and create what is missing."""
        if strange := strange_part(self._connection):
            raise LedgerError(
                f"{self.path} is no ledger of rekindle: it has {strange}; restore the file that the run wrote"
            )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, SCHEMA_VERSION):
            raise LedgerError(
                f"{self.path} has ledger version {found}, this rekindle writes version {SCHEMA_VERSION}; "
                "choose another run directory"
            )
        columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS groups ({columns})")
        self._connection.execute("CREATE INDEX IF NOT EXISTS groups_by_step ON groups (step)")
        self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def write(
        self,
        records: Iterable[GroupRecord],
        seconds: Mapping[int, float],
        proposers: Iterable[GroupRecord] = (),
        proposers_seconds: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        """Append the groups of a step in one transaction. Seconds are by request id, from ask to tell.

        Args:
            records: Records of the solver.
            seconds: Seconds of the solver's requests.
            proposers: Records of the proposer, in self-play.
            proposers_seconds: Seconds of the proposer's requests.
        """
        rows = [_row(one, seconds.get(one.request.id, 0.0), "solver") for one in records]
        rows += [_row(one, proposers_seconds.get(one.request.id, 0.0), "proposer") for one in proposers]
        marks = ", ".join("?" * len(_COLUMNS))
        with _Transaction(self._connection):
            self._connection.executemany(f"INSERT INTO groups VALUES ({marks})", rows)  # noqa: S608 (marks only)

    def truncate_after(self, step: int) -> None:
        """Delete the rows of steps after a checkpoint, which will be repeated."""
        try:
            self._connection.execute("DELETE FROM groups WHERE step > ?", (step,))
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from error

    def rollouts(self) -> dict[Fate, int]:
        """Rollouts by fate."""
        try:
            found = dict(self._connection.execute("SELECT fate, SUM(n) FROM groups GROUP BY fate").fetchall())
            return {fate: int(found.get(fate, 0)) for fate in Fate}
        except (sqlite3.DatabaseError, TypeError, ValueError, OverflowError) as error:
            raise self._unusable(error) from error

    def check_pages(self) -> None:
        """Check the pages of the file, which a run does before it goes on.

        Raises:
            LedgerError: The file is damaged.
        """
        try:
            found = str(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            found = str(error)
        if found != "ok":
            raise LedgerError(f"{self.path} is damaged ({' '.join(found.split())}); restore it from a copy")

    def last_request(self) -> int:
        """Largest id of a request; -1 without rows."""
        found = self._connection.execute("SELECT MAX(request_id) FROM groups").fetchone()[0]
        return -1 if found is None else int(found)

    def check(self, generated: int, remedy: str = "please report this") -> None:
        """Check the conservation law: the rollouts of all fates add up to the rollouts generated.

        Args:
            generated: Number of rollouts generated.
            remedy: End of the error message.

        Raises:
            LedgerError: They do not.
        """
        total = sum(self.rollouts().values())
        if total != generated:
            raise LedgerError(f"{self.path} has {total} rollouts, but {generated} were generated; {remedy}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _unusable(self, error: Exception) -> LedgerError:
        return LedgerError(f"{self.path} cannot be used ({error}); restore it, or begin a new run with another --out")


def strange_part(connection: sqlite3.Connection) -> str:
    """What a file has that no ledger has, and that makes SQLite compute, perhaps without end; "" where it has nothing.

    The connection trusts the file's schema less from then on, and reads no values of more than ``LONGEST_CELL`` bytes.
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_CELL)
    connection.execute("PRAGMA trusted_schema = off")
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_schema"):
        if kind in {"view", "trigger"}:
            return f"a {kind} {name!r:.80}"
        if str(sql or "").lower().startswith("create virtual"):
            return f"a virtual table {name!r:.80}"
    computed = [name for _, name, *_, hidden in connection.execute("PRAGMA table_xinfo(groups)") if hidden]
    if computed:
        return f"a computed column {computed[0]!r:.80}"
    return next((f"an index {name!r:.80} of expressions" for name in _computing_indexes(connection)), "")


def _computing_indexes(connection: sqlite3.Connection) -> Iterator[str]:
    """Indexes whose entries or conditions are computed."""
    for _, name, _, _, partial in connection.execute("PRAGMA index_list(groups)").fetchall():
        columns = connection.execute("SELECT cid FROM pragma_index_xinfo(?)", (name,)).fetchall()
        if partial or any(column == EXPRESSION for (column,) in columns):
            yield str(name)


class _Transaction:
    """BEGIN ... COMMIT, or ROLLBACK when the body raises."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, error: object, *_: object) -> None:
        self._connection.execute("COMMIT" if error is None else "ROLLBACK")


def _row(one: GroupRecord, seconds: float, role: str) -> tuple[object, ...]:
    request = one.request
    return (
        request.id,
        request.step,
        request.version,
        request.task_id,
        role,
        request.n,
        request.temperature,
        one.successes,
        one.outcome,
        one.previous_outcome,
        one.first_outcome,
        one.fate,
        one.prompt_tokens,
        one.generated_tokens,
        seconds,
        one.tool_tokens,
    )
