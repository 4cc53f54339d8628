"""Checkpoints on verl: our state beside verl's in ``global_step_N/rekindle``, and what TransferQueue keeps of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rekindle.integrations.hosted_run import FOLDER
from rekindle.integrations.state_folder import read_state, state_file, write_state
from rekindle.types import UserError

__all__ = ["load_state", "save_state", "told_requests"]


def save_state(trainer: Any, step: int, state: Mapping[str, Any]) -> None:
    """Write the state of a checkpoint; verl writes last that the checkpoint is whole.

    Args:
        trainer: Table ``trainer`` of verl's configuration.
        step: verl's step.
        state: State of the run.
    """
    write_state(Path(trainer.default_local_dir) / f"global_step_{step}" / FOLDER, state)


def load_state(trainer: Any, step: int) -> dict[str, Any] | None:
    """State of the checkpoint that verl has loaded; None where there was none to load.

    Args:
        trainer: Table ``trainer`` of verl's configuration.
        step: verl's step after loading; 0: the run begins.

    Raises:
        UserError: The checkpoint has no state of ours, or a damaged one.
    """
    if not step:
        return None
    given = trainer.resume_mode == "resume_path"
    checkpoint = Path(trainer.resume_from_path if given else trainer.default_local_dir)
    folder = (checkpoint if given else checkpoint / f"global_step_{step}") / FOLDER
    if not state_file(folder).is_file():
        raise UserError(
            f"{folder.parent} has no state of rekindle ({FOLDER}/{state_file(folder).name}), so that a run cannot go "
            "on from it; resume from a checkpoint that a trainer mode of rekindle wrote, or begin a new run with its "
            "model and another trainer.default_local_dir"
        )
    return read_state(folder)


def told_requests(state: Mapping[str, Any]) -> set[int]:
    """Ids of requests whose groups are finished and wait for their step."""
    return set(_told(state["scheduler"]["cohorts"]))


def _told(cohorts: list[dict[str, Any]]) -> Iterator[int]:
    for cohort in cohorts:
        for group in [*cohort["groups"], *cohort["unfinished"]]:
            for request in [group["request"], *group["topped_up"]]:
                yield request["id"]
