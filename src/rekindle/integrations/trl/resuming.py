"""Checkpoints of a trainer: which one a run goes on from, and the trainer's own place in a generation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, TrainOutput

from rekindle.integrations.trl.state import keep_digests, load_batches, save_batches, save_state
from rekindle.types import UserError

__all__ = ["checkpoint_for", "finished", "keep", "restore", "save"]


def checkpoint_for(wanted: str | bool | None, newest: Path | None, output_dir: str) -> Path | None:
    """The checkpoint that a run goes on from; None: it begins.

    Args:
        wanted: ``resume_from_checkpoint`` of ``train``.
        newest: The newest whole checkpoint; None: there is none.
        output_dir: TRL's.

    Raises:
        UserError: The newest one is wanted, and there is none.
    """
    if not wanted:
        return None
    if wanted is not True:
        return Path(wanted)
    if newest is None:
        raise UserError(
            f"{output_dir} has no whole checkpoint to resume from; leave resume_from_checkpoint out to begin the run"
        )
    return newest


def _checkpoint(trainer: Any, trial: Any) -> Path:
    return Path(trainer._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{trainer.state.global_step}"


def keep(trainer: Any, trial: Any) -> None:
    """Write the digests of the checkpoint that TRL has written; by all processes."""
    if trainer.accelerator.is_main_process:
        keep_digests(_checkpoint(trainer, trial))
    trainer.accelerator.wait_for_everyone()


def save(trainer: Any, trial: Any) -> None:
    """Write the state of the run and of the trainer for the checkpoint that TRL writes next; by all processes."""
    accelerator, step = trainer.accelerator, trainer.state.global_step
    checkpoint = _checkpoint(trainer, trial)
    place = {"step": trainer._step, "processes": accelerator.num_processes, "global_step": step}
    state = trainer.run.state_of(place)
    if accelerator.is_main_process:
        save_state(checkpoint, state)
    accelerator.wait_for_everyone()
    if trainer._step % trainer.uses and trainer._buffered_inputs is not None:
        save_batches(checkpoint, accelerator.process_index, trainer._buffered_inputs, trainer.meter.state_dict())
    accelerator.wait_for_everyone()


def restore(trainer: Any, checkpoint: Path, state: Mapping[str, Any]) -> None:
    """Restore the place in a generation, and its micro-batches where it is not used up.

    Raises:
        UserError: Another number of processes wrote them.
    """
    trainer._step = state["step"]
    if trainer._step % trainer.uses == 0:
        return
    accelerator = trainer.accelerator
    before, now = state["processes"], accelerator.num_processes
    if before != now:
        there_are = "there is 1" if now == 1 else f"there are {now}"
        raise UserError(
            f"{checkpoint} was written in the middle of a generation by {before} process"
            f"{'' if before == 1 else 'es'}, and {there_are}; go on with as many, or from a checkpoint between "
            "generations"
        )
    trainer._buffered_inputs, sums = load_batches(checkpoint, accelerator.process_index, accelerator.device)
    trainer.meter.load_state_dict(sums)


def finished(trainer: Any, checkpoint: Path) -> TrainOutput:
    """The result of a run that was killed after its last step, where TRL would make one more."""
    trainer.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    trainer._load_from_checkpoint(best or str(checkpoint))
    return TrainOutput(trainer.state.global_step, 0.0, {})
