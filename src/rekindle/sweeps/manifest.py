"""``sweep.json``: the command of a sweep, its settings, and the state of its runs. Written whole or not at all."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rekindle import __version__
from rekindle.choices import few
from rekindle.config import ConfigError, flat_settings
from rekindle.evaluation.atomic_write import atomic_write
from rekindle.locking import lock, waiting_for_lock
from rekindle.notices import Say
from rekindle.records.run_directory import AUDITS, EXTENDABLE, locked
from rekindle.sweeps.status import Status

__all__ = ["LOGS", "Manifest", "check_directory", "locked_sweep"]

FILE = "sweep.json"
VERSION = 1
LOGS = "logs"
MAY_CHANGE = {*EXTENDABLE, "recipe", "train.seed"}
"""Keys that are the sweep's own, or that a run may change when it is resumed; so are those of audits."""


class Manifest:
    """Keeps ``sweep.json`` up to date; a ``Watch`` of the sweep.

    Args:
        directory: Directory of the sweep.
        about: What the file says besides the runs.
        statuses: Its runs.
    """

    def __init__(self, directory: Path, about: Mapping[str, Any], statuses: Sequence[Status]) -> None:
        self._directory, self._about, self._statuses = directory, dict(about), statuses
        names = {one.run.name for one in statuses}
        before = _read(directory) or {}
        self._others = [one for one in before.get("runs", []) if one.get("name") not in names]

    def write(self) -> None:
        """Write the file.

        Raises:
            ConfigError: It cannot be written.
        """
        content = {
            "version": VERSION,
            "rekindle": __version__,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            **self._about,
            "runs": [*self._others, *map(self._entry, self._statuses)],
        }
        path = self._directory / FILE
        with atomic_write(path, ConfigError, "free space, or repeat the command with --resume elsewhere") as partial:
            partial.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")

    def changed(self, _: Status) -> None:
        """See ``Watch``."""
        self.write()

    def progressed(self, status: Status) -> None:
        """See ``Watch``; steps are in the files of the runs."""

    def _entry(self, status: Status) -> dict[str, Any]:
        run = status.run
        return {
            "name": run.name,
            "recipe": run.config.recipe,
            "seed": run.config.train.seed,
            "directory": str(run.directory.relative_to(self._directory)),
            "log": str(run.log.relative_to(self._directory)),
            "state": str(status.state),
            "step": status.step,
            "why": status.why,
        }


def check_directory(directory: Path, settings: Mapping[str, Any], names: Sequence[str], *, resume: bool) -> None:
    """Check whether a sweep may use a directory, without writing to it.

    Args:
        directory: Directory of the sweep.
        settings: Nested tables of the configuration file and of ``--set``.
        names: Names of the directories of its runs.
        resume: Whether it may go on with the sweep there.

    Raises:
        ConfigError: It has something else in it, or a sweep with other settings.
    """
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is a file; choose another --out")
    visible = sorted(path.name for path in directory.glob("*") if not path.name.startswith("."))
    if not visible:
        return
    if "config.toml" in visible:
        raise ConfigError(f"{directory} is the directory of a single run; choose another --out for the sweep")
    if not resume:
        raise ConfigError(f"{directory} is not empty; add --resume to go on with its sweep, or choose another --out")
    before = _read(directory)
    if before is not None:
        _refuse_other_settings(directory, before["settings"], settings)
    elif others := [name for name in visible if name not in {LOGS, *names}]:
        raise ConfigError(f"{directory} is no sweep: it has {few(others)} and no {FILE}; choose another --out")


def _read(directory: Path) -> dict[str, Any] | None:
    """The content of ``sweep.json``; None where there is none."""
    path = directory / FILE
    try:
        found = json.loads(path.read_bytes()) if path.exists() else None
    except (OSError, ValueError, RecursionError) as error:
        found = error
    if found is None:
        return None
    if isinstance(found, dict) and isinstance(found.get("version"), int) and found["version"] > VERSION:
        raise ConfigError(f"{path} was written by a newer version of rekindle; go on with that version")
    if not _is_whole(found):
        raise ConfigError(f"{path} is damaged; delete it, and repeat the command: the runs have all that is needed")
    return dict(found)


def _is_whole(found: object) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        return False
    runs = found.get("runs")
    return isinstance(runs, list) and all(isinstance(one, dict) for one in runs)


def _refuse_other_settings(directory: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    old, new = flat_settings(before), flat_settings(json.loads(json.dumps(now, default=str)))
    differing = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    changed = sorted(key for key in differing - MAY_CHANGE if not key.startswith(AUDITS))
    if not changed:
        return
    key, *others = changed
    then = f"{key} = {old[key]!r}" if key in old else f"no {key}"
    today = f"{new[key]!r}" if key in new else "it is not set"
    raise ConfigError(
        f"{directory} is a sweep with {then}, and now {today}"
        f"{f'; other too: {few(others)}' if others else ''}; a sweep goes on with the settings that it began with "
        "(its seeds, recipes and length may change), or choose another --out"
    )


@contextmanager
def locked_sweep(directory: Path, say: Say) -> Iterator[tuple[int, ...]]:
    """Make the directory and lock it against other sweeps; yields the descriptors that its workers keep open.

    Workers of a sweep that was killed finish their step: until they have, this waits.

    Raises:
        ConfigError: The directory cannot be made, or another process makes the sweep.
    """
    with locked(directory, "makes the sweep"), (directory / ".workers.lock").open("w") as workers:
        try:
            lock(workers, BlockingIOError())
        except BlockingIOError:
            say("waiting for the processes of the sweep that was stopped, which finish their step ...")
            with waiting_for_lock(directory / ".workers.lock"):
                pass
            lock(workers, ConfigError(f"another process makes the sweep in {directory}; wait for it"))
        yield (workers.fileno(),)
