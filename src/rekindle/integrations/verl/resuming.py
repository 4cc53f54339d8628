"""Checkpoints on verl: our state beside verl's in ``global_step_N/rekindle``, and what TransferQueue keeps of it.

verl writes a checkpoint in this order, and ours comes first:

    global_step_N/rekindle, actor, data.pt, transfer_queue     the checkpoint
    latest_checkpointed_iteration.txt                          N: the checkpoint is whole

A driver that is killed before the last line leaves the number of the checkpoint before. One that is killed in the
middle of it leaves an empty file; the newest checkpoint is then whole, and ``check_checkpoints`` writes its number.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rekindle.config import ConfigError
from rekindle.integrations.hosted_run import FOLDER
from rekindle.integrations.state_folder import read_state, state_file, write_state
from rekindle.types import UserError

__all__ = ["NEWEST", "check_checkpoints", "load_state", "save_state", "told_requests", "validates_first"]

CHECKPOINT = "global_step_"
"""Beginning of the name of a checkpoint, before its step."""
NEWEST = "latest_checkpointed_iteration.txt"
"""File with the step of the newest whole checkpoint."""
ELSEWHERE = "or begin a new run with its model and another trainer.default_local_dir"


def save_state(trainer: Any, step: int, state: Mapping[str, Any]) -> None:
    """Write the state of a checkpoint; verl writes last that the checkpoint is whole.

    Args:
        trainer: Table ``trainer`` of verl's configuration.
        step: verl's step.
        state: State of the run.
    """
    write_state(_checkpoint(trainer, step) / FOLDER, state)


def load_state(trainer: Any, step: int) -> dict[str, Any] | None:
    """State of the checkpoint that verl has loaded; None where there was none to load.

    Args:
        trainer: Table ``trainer`` of verl's configuration.
        step: verl's step after loading; 0: the run begins.

    Raises:
        UserError: The state is damaged.
    """
    if not step:
        return None
    given = trainer.resume_mode == "resume_path"
    return read_state((Path(trainer.resume_from_path) if given else _checkpoint(trainer, step)) / FOLDER)


def check_checkpoints(trainer: Any) -> None:
    """Check what the run goes on from, where it does, and name the newest checkpoint anew where that was cut off.

    Args:
        trainer: Table ``trainer`` of verl's configuration.

    Raises:
        ConfigError: The run would begin, and replace an earlier one that has checkpoints.
        UserError: The checkpoint is not there, or not whole.
    """
    directory = Path(trainer.default_local_dir)
    if trainer.resume_mode == "resume_path":
        _check_whole(Path(str(trainer.resume_from_path)))
    elif trainer.resume_mode == "auto" and (directory / NEWEST).is_file():
        _check_whole(_newest(trainer))
    elif (directory / NEWEST).is_file() and (directory / FOLDER / "config.toml").is_file():
        raise ConfigError(
            f"{directory} has an earlier run with checkpoints, which this one would replace; go on with it "
            "(trainer.resume_mode=auto), or choose another trainer.default_local_dir"
        )


def _checkpoint(trainer: Any, step: int) -> Path:
    return Path(trainer.default_local_dir) / f"{CHECKPOINT}{step}"


def _newest(trainer: Any) -> Path:
    """The newest whole checkpoint."""
    named = Path(trainer.default_local_dir) / NEWEST
    text = named.read_text(encoding="utf-8", errors="replace").strip()
    if text.isdecimal():
        return _checkpoint(trainer, int(text))
    steps = [
        int(one.name.removeprefix(CHECKPOINT))
        for one in named.parent.glob(f"{CHECKPOINT}*")
        if one.name.removeprefix(CHECKPOINT).isdecimal() and state_file(one / FOLDER).is_file()
    ]
    if not steps:
        raise UserError(
            f"{named} names no checkpoint, and there is none with a state of rekindle beside it; remove the file to "
            "begin the run again, or choose another trainer.default_local_dir"
        )
    renewed = named.with_name(f".{NEWEST}")
    renewed.write_text(str(max(steps)), encoding="utf-8")
    os.replace(renewed, named)
    return _checkpoint(trainer, max(steps))


def _check_whole(checkpoint: Path) -> None:
    if not checkpoint.name.removeprefix(CHECKPOINT).isdecimal():
        raise UserError(
            f"trainer.resume_from_path={checkpoint} is no checkpoint; give a folder {CHECKPOINT}N of a run's "
            "trainer.default_local_dir"
        )
    if not checkpoint.is_dir():
        raise UserError(
            f"there is no checkpoint {checkpoint}; restore it, name another one (trainer.resume_mode=resume_path "
            "trainer.resume_from_path=...), or choose another trainer.default_local_dir"
        )
    if not state_file(checkpoint / FOLDER).is_file():
        raise UserError(
            f"{checkpoint} has no state of rekindle ({FOLDER}/{state_file(Path()).name}), so that a run cannot go on "
            f"from it; resume from a checkpoint that a trainer mode of rekindle wrote, {ELSEWHERE}"
        )
    if not (checkpoint / "actor").is_dir():
        raise UserError(
            f"{checkpoint} has no model (actor), because verl has removed it (trainer.max_actor_ckpt_to_keep) or was "
            f"killed before it wrote it; resume from another checkpoint, {ELSEWHERE}"
        )


def validates_first(trainer: Any, step: int, *, resumed: bool) -> bool:
    """Whether verl validates before it trains: as it is told, and where a kill may have left out a validation.

    verl writes the checkpoint of a step before it validates.

    Args:
        trainer: Table ``trainer`` of verl's configuration.
        step: verl's step after loading.
        resumed: Whether the run goes on from a checkpoint.
    """
    due = resumed and trainer.test_freq > 0 and step % trainer.test_freq == 0
    return due or bool(trainer.get("val_before_train", True))


def told_requests(state: Mapping[str, Any]) -> set[int]:
    """Ids of requests whose groups are finished and wait for their step."""
    return set(_told(state["scheduler"]["cohorts"]))


def _told(cohorts: list[dict[str, Any]]) -> Iterator[int]:
    for cohort in cohorts:
        for group in [*cohort["groups"], *cohort["unfinished"]]:
            for request in [group["request"], *group["topped_up"]]:
                yield request["id"]
        for record in cohort["records"]:  # without signal: they count in verl's metrics of the step
            yield record["request"]["id"]
