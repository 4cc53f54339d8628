"""Reading of run directories: ``load_run("runs/recycle").fates()``.

Reading changes nothing: the ledger is opened read-only, also while the run is active. Only ``report`` writes a file.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekindle.observability.ledger_file import LEDGER_COLUMNS, RunError, check_rows, open_ledger
from rekindle.observability.metrics import read_metrics
from rekindle.observability.step_log import StepLogError, read_step_log
from rekindle.observability.warnings_log import WARNINGS, KeptWarning, read_warnings
from rekindle.types import Fate

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from polars import DataFrame as PolarsFrame

__all__ = ["FateCount", "Run", "RunError", "load_run"]

INSIDE = "rekindle"
"""Directory of a run below the ``output_dir`` of another trainer."""


@dataclass(frozen=True, slots=True)
class FateCount:
    """Number of groups of one fate, and of their rollouts."""

    groups: int = 0
    rollouts: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """The files of a finished or active run.

    Attributes:
        directory: The run directory.
        config: The resolved configuration, as nested tables.
        info: ``run.json``: versions, host, seed, git revision; empty when the file is absent.
        metrics: One dictionary per step, in order; an incomplete last line of a killed run is left out.
    """

    directory: Path
    config: dict[str, Any]
    info: dict[str, Any]
    metrics: list[dict[str, Any]]

    @property
    def ending(self) -> str:
        """How the run ended: "done", "bound" or "interrupted"; "" while the run goes on, or where it was killed."""
        return str(self._ended.get("name", ""))

    @property
    def bound(self) -> str:
        """Why the run stopped before its target, as a sentence; "" where it did not."""
        return str(self._ended.get("why", ""))

    @property
    def _ended(self) -> dict[str, Any]:
        found = self.info.get("ending")
        return found if isinstance(found, dict) else {}

    @property
    def checkpoints(self) -> list[Path]:
        """Checkpoint directories, oldest first."""
        found = [(re.fullmatch(r"step-(\d+)", path.name), path) for path in self.directory.glob("checkpoints/step-*")]
        return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]

    @property
    def model(self) -> Path:
        """Directory of the model of the last checkpoint, or of its LoRA adapter.

        Raises:
            RunError: The run has no checkpoint yet.
        """
        directory = self.directory / "model"
        if not directory.is_dir():
            raise RunError(f"{self.directory} has no model yet; the first checkpoint writes it")
        return directory

    @property
    def has_ledger(self) -> bool:
        """False for a run stopped before its first group."""
        return self._ledger_path.exists()

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """All rows of the ledger, a dictionary per group; ``groups`` yields them one by one, or some of them.

        Raises:
            RunError: The ledger is broken.
        """
        return list(self.groups())

    def groups(self, where: str = "", parameters: Sequence[object] = ()) -> Iterator[dict[str, Any]]:
        """The ledger's rows as dictionaries by column, ordered by step, then by order of request.

        Proposer groups of self-play have negative request ids and come before the solver's groups of the same step.

        Args:
            where: An SQL condition, e.g. ``"fate = 'trained' and step > ?"``; empty for all rows.
            parameters: Values for its question marks.

        Raises:
            RunError: The condition is not valid SQL, or the ledger is broken.
        """
        # The condition is the caller's own SQL, and the connection can only read.
        order = "step, request_id > 0, abs(request_id)"
        sql = f"select {', '.join(LEDGER_COLUMNS)} from groups where {where or 'true'} order by {order}"  # noqa: S608
        yield from self.query(sql, parameters)

    def fates(self, last_step: int | None = None, role: str | None = None) -> dict[Fate, FateCount]:
        """Count groups and rollouts by fate; every fate is a key.

        Args:
            last_step: Leave out groups requested later. In an active run the ledger is one step ahead of the metrics.
            role: ``"solver"`` or ``"proposer"``; None counts every rollout of the run.
        """
        sql = (
            "select fate, count(*) groups, sum(n) rollouts from groups "
            "where step <= ifnull(?1, step) and (?2 is null or role = ?2) group by fate"
        )
        rows = self.query(sql, (last_step, role))
        counts = {row["fate"]: FateCount(row["groups"], row["rollouts"]) for row in rows}
        if strange := counts.keys() - set(Fate):
            raise RunError(
                f"{self._ledger_path} has a fate {min(map(str, strange))!r} that is unknown here; update rekindle"
            )
        return {fate: counts.get(fate, FateCount()) for fate in Fate}

    def proposals(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of ``proposals.jsonl``, which may be large; none without self-play.

        Raises:
            RunError: A line is broken.
        """
        try:
            yield from read_step_log(self.directory / "proposals.jsonl")
        except StepLogError as error:
            raise RunError(str(error)) from None

    @property
    def samples(self) -> list[dict[str, Any]]:
        """The lines of ``samples.jsonl``: a few rollouts of every step and evaluation; none where none were kept.

        Raises:
            RunError: A line is broken.
        """
        return list(self.sample_lines())

    def sample_lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of ``samples.jsonl``, which may be large.

        Raises:
            RunError: A line is broken.
        """
        try:
            yield from read_step_log(self.directory / "samples.jsonl")
        except StepLogError as error:
            raise RunError(str(error)) from None

    def warnings(self) -> list[KeptWarning]:
        """The distinct texts of ``warnings.jsonl`` with their counts; none where nothing was to be warned of.

        Raises:
            RunError: A line of it is broken.
        """
        try:
            return read_warnings(self.directory / WARNINGS)
        except StepLogError as error:
            raise RunError(str(error)) from None

    def query(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[dict[str, Any]]:
        """Run a read-only SQL statement on the ledger and yield its rows; none while there is no ledger."""
        if not self.has_ledger:
            return
        with open_ledger(self._ledger_path) as ledger:
            for row in ledger.execute(sql, tuple(parameters)):
                yield dict(row)

    def to_pandas(self, table: str = "metrics") -> "DataFrame":
        """One of the run's tables as a data frame of pandas: ``"metrics"``, ``"samples"`` or ``"ledger"``.

        Metrics are indexed by step. Columns have types: whole numbers, which are nullable where a value is missing,
        float64 with NaN, text, and categories for the roles, outcomes and fates of the ledger. Rewards and audits of
        samples are columns of their own: ``rewards/NAME``. Needs pandas (``rekindle[pandas]``).

        Raises:
            UserError: There is no such table, or pandas is not installed.
            RunError: A file is broken.
        """
        from rekindle.observability.frames import pandas_frame

        return pandas_frame(self, table)

    def to_polars(self, table: str = "metrics") -> "PolarsFrame":
        """One of the run's tables as a data frame of Polars: see ``to_pandas``; missing values are null.

        Needs Polars (``rekindle[polars]``).

        Raises:
            UserError: There is no such table, or Polars is not installed.
            RunError: A file is broken.
        """
        from rekindle.observability.frames import polars_frame

        return polars_frame(self, table)

    def report(self) -> Path:
        """Write ``report.html`` into the run directory, and return its path.

        Raises:
            RunError: A file is broken.
        """
        from rekindle.observability.report import write_report

        return write_report(self.directory)

    def plot(self) -> "Figure":
        """Held-out accuracy, reward, and groups by outcome over the steps, as a figure; no window is opened.

        Needs matplotlib (``rekindle[plot]``).

        Raises:
            UserError: matplotlib is not installed.
        """
        from rekindle.observability.plotting import figure_of

        return figure_of(self)

    def _repr_html_(self) -> str:
        from rekindle.observability.run_card import html_card

        return html_card(self)

    @property
    def _ledger_path(self) -> Path:
        return self.directory / "ledger.sqlite"


def load_run(directory: str | Path) -> Run:
    """Read a run directory; of a run inside TRL or on verl also the directory above it (``output_dir``).

    Raises:
        RunError: There is no run, or one of its files is broken or of another version.
    """
    directory = Path(directory)
    if not (directory / "config.toml").is_file() and (directory / INSIDE / "config.toml").is_file():
        directory /= INSIDE
    if not (directory / "config.toml").is_file():
        raise RunError(
            f"{directory} is not a run: it has no config.toml; give the directory that `rekindle train --out` wrote"
        )
    try:
        metrics = read_metrics(directory / "metrics.jsonl")
    except StepLogError as error:
        raise RunError(str(error)) from None
    run = Run(directory, _read_config(directory / "config.toml"), read_object(directory / "run.json"), metrics)
    if run.has_ledger:
        check_rows(directory / "ledger.sqlite")
    return run


def read_object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object; a missing file is an empty object.

    Raises:
        RunError: The file holds something else.
    """
    try:
        content = json.loads(path.read_bytes()) if path.exists() else {}
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is broken: {error}; restore it or delete it") from None
    if not isinstance(content, dict):
        raise RunError(f"{path} is broken: it holds no JSON object; restore it or delete it")
    return content


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is broken: {error}; restore the file that the run wrote") from None
