"""The run directory: its checks and lock, ``config.toml`` (the settings) and ``run.json`` (versions, host, seed)."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from rekindle import __version__
from rekindle.choices import few
from rekindle.config import Config, ConfigError, dump_toml, flat_settings, read_toml, validate
from rekindle.locking import lock
from rekindle.records.checkpoint_choice import CHECKPOINTS, last_checkpoint, warn_of_incomplete
from rekindle.records.durable_files import replace_text, sync

__all__ = [
    "AUDITS",
    "EXTENDABLE",
    "changed_files",
    "check",
    "check_same",
    "describe",
    "given_parts",
    "has_ended",
    "installed_version",
    "is_begun",
    "kept_threads",
    "locked",
    "model_commit",
    "note_ending",
    "tasks_commit",
    "write_settings",
]

EXTENDABLE = {
    "train.steps", "train.rollouts", "train.tokens", "train.max_steps_without_signal", "optimizer.max_skipped_steps",
    "checkpoint.keep", "checkpoint.optimizer", "task.path",
    "task.eval_path", "retriever.url", "judge.url", "track", "tracking.project", "tracking.name", "task.audit",
}  # fmt: skip
"""Keys that may change on resume: the end of the run, the number of kept checkpoints, where files and servers are, and
the trackers.
The tasks in the files are compared with those that the run began with (``run_tasks``)."""
FROM_THE_TASKS = {"task.verifier": "auto", "eval.prompts": None}
"""Values that a run replaces by what suits its tasks (``preflight.settled``), when they are read."""
AUDITS = "audits["
"""Beginning of the keys of audits, which change nothing in the training and may change on resume."""
FUNCTION = "].function"
"""End of the keys of functions; a run compares their files (``changed_files``), whose folder may change."""
SETTINGS, DESCRIPTION = "config.toml", "run.json"
OF_A_RUN = {
    SETTINGS, DESCRIPTION, "tasks.jsonl", "metrics.jsonl", "samples.jsonl", "warnings.jsonl", "proposals.jsonl",
    "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "ledger.sqlite-journal", "profile.parquet", CHECKPOINTS,
}  # fmt: skip
"""Names of the files that a run begins with, before its first checkpoint."""


def check(config: Config, directory: Path, *, resume: bool) -> None:
    """Check whether a run may use this directory, without writing to it; warns of what it will not use.

    Raises:
        ConfigError: The directory contains something else, or its run was started with other settings.
    """
    saved = directory / SETTINGS
    visible = [path for path in directory.glob("*") if not path.name.startswith(".")]
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is a file; choose another --out")
    if visible and not resume:
        raise ConfigError(f"{directory} is not empty; add --resume to go on with its run, or choose another --out")
    if visible and not saved.exists() and not _just_begun(directory, visible):
        raise ConfigError(
            f"{directory} contains no run to resume (no {SETTINGS}); restore the file, or choose another --out"
        )
    if visible and saved.exists():
        check_same(config, directory)
        warn_of_incomplete(directory)


def _just_begun(directory: Path, visible: Iterable[Path]) -> bool:
    """Whether there are no other files than those of a run that was killed in its first moment."""
    return last_checkpoint(directory) is None and all(path.name in OF_A_RUN for path in visible)


@contextmanager
def locked(directory: Path, does: str = "is training") -> Iterator[None]:
    """Make the directory and lock it against other processes.

    Args:
        directory: The directory.
        does: What another process that holds it does there, in the message.

    Raises:
        ConfigError: The directory cannot be made, or another process holds it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / ".lock").open("w")
    except OSError as error:
        raise ConfigError(f"{directory} cannot be written ({error}); choose another --out") from error
    with file:
        lock(file, ConfigError(f"another process {does} in {directory}; wait for it, or choose another --out"))
        yield


def model_commit(directory: Path) -> str | None:
    """The commit, on the hub, of the model that the run in a directory began with; None where there is none."""
    found = _kept(directory).get("model_commit")
    return found if isinstance(found, str) else None


def tasks_commit(directory: Path) -> str | None:
    """The commit, on the hub, of the data set that the run in a directory began with; None where there is none."""
    found = _kept(directory).get("tasks_commit")
    return found if isinstance(found, str) else None


def kept_threads(directory: Path) -> int | None:
    """Number of threads of the run in a directory; None where there is none yet."""
    found = _kept(directory).get("threads")
    return found if isinstance(found, int) and found > 0 else None


def is_begun(directory: Path) -> bool:
    """Whether a directory has a run."""
    return (directory / DESCRIPTION).is_file()


def given_parts(directory: Path) -> list[str]:
    """Names of the parts that a script gave to the run in a directory."""
    found = _kept(directory).get("given", [])
    return [str(name) for name in found] if isinstance(found, list) else []


def has_ended(directory: Path) -> bool:
    """Whether ``run.json`` says how the run in a directory ended."""
    return isinstance(_kept(directory).get("ending"), dict)


def note_ending(directory: Path, name: str, why: str) -> None:
    """Add to ``run.json`` how the run ended: ``{"ending": {"name": "bound", "why": "..."}}``."""
    description = _kept(directory) | {"ending": {"name": name, "why": why}}
    replace_text(directory / DESCRIPTION, json.dumps(description, indent=2))


def _kept(directory: Path) -> dict[str, Any]:
    """Content of ``run.json``; empty where there is none."""
    try:
        found = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def check_same(config: Config, directory: Path) -> None:
    """Check that a run was started with these settings.

    Raises:
        ConfigError: It was started with others.
    """
    saved = directory / SETTINGS
    before, now = map(_compared, (validate(read_toml(saved), str(saved)), config))
    now |= dict.fromkeys(key for key in before if key not in now)
    changed = [key for key, value in now.items() if value != before.get(key) and key not in EXTENDABLE]
    changed = [key for key in changed if not key.startswith(AUDITS)]
    changed = [key for key in changed if key not in FROM_THE_TASKS or now[key] != FROM_THE_TASKS[key]]
    if not changed:
        return
    key, *others = changed
    raise ConfigError(
        f"{key} = {now[key]!r} differs from {before.get(key)!r} in "
        f"{saved}{f', and so do {few(others)}' if others else ''}; a run resumes with the settings it was started "
        "with (its length, checkpoint.keep, its trackers, and the places of files and servers may change), or choose "
        "another --out"
    )


def _compared(config: Config) -> dict[str, Any]:
    """Settings by dotted key; functions without the folders of their files."""
    flat = flat_settings(config.model_dump())
    return {key: _without_folder(value) if key.endswith(FUNCTION) else value for key, value in flat.items()}


def _without_folder(function: str) -> str:
    """``FILE.py:NAME`` without the file's folder, which may change."""
    return re.split(r"[/\\]", function)[-1]


def changed_files(directory: Path, digests: Mapping[str, str]) -> list[str]:
    """Names of the functions whose files are others than when the run in a directory began.

    Args:
        directory: The run directory.
        digests: Digest of the file by the name of the function, today.
    """
    kept = _kept(directory).get("functions")
    before = kept if isinstance(kept, dict) else {}
    return [name for name, digest in digests.items() if before.get(name, digest) != digest]


def write_settings(directory: Path, config: Config) -> None:
    """Write ``config.toml``: the first file of a run, without which the others would be those of no run."""
    replace_text(directory / SETTINGS, dump_toml(config))
    sync(directory.parent)


def describe(directory: Path, config: Config, **facts: str | float | list[str] | Mapping[str, str] | None) -> None:
    """Write ``config.toml`` and ``run.json``: versions, host, seed, revision, and the ``facts`` given."""
    write_settings(directory, config)
    packages = (
        "torch", "transformers", "tokenizers", "numpy", "reasoning-gym", "math-verify", "peft", "trl", "accelerate",
        "datasets", "vllm",
    )  # fmt: skip
    installed = {name: installed_version(name) for name in packages}
    description = {
        "rekindle": __version__,
        "python": platform.python_version(),
        "packages": {name: version for name, version in installed.items() if version},
        "platform": platform.platform(),
        "host": platform.node(),
        "seed": config.train.seed,
        "git_revision": _git_revision(),
        "command": sys.argv[1:],
        **{name: value for name, value in facts.items() if value is not None},
    }
    replace_text(directory / DESCRIPTION, json.dumps(description, indent=2))


def installed_version(package: str) -> str | None:
    """Version of an installed distribution, None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """Revision of the checkout this package is run from; None for an installed one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 (whichever git the user has)
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
