"""Checkpoints: the complete state of a run for an exact resume, in safetensors and JSON, written atomically.

    checkpoints/step-N/
      model/                 a Hugging Face directory (weights and tokenizer), or a LoRA adapter in PEFT's format
      optimizer.safetensors  of the last two checkpoints only, unless checkpoint.optimizer = "all"
      scheduler.safetensors  the history's columns, and tokens of rollouts that wait for their step
      state.json             all other values
      SHA256SUMS             a digest per file (``records.digests``); state.json has its own
    model/                   the model of the last checkpoint: the same files, under a name that does not change

A checkpoint is written to a hidden directory, synced, and renamed; only then are older ones deleted. The optimizer's
state of the last checkpoint but one is deleted before the next one is written, so that no more space is needed than
for two. Incomplete checkpoints are deleted at the next start. Nothing is unpickled.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

from rekindle.models.policy import Policy
from rekindle.records.checkpoint_choice import ARRAYS, MODEL, OPTIMIZER, checkpoint_steps
from rekindle.records.digests import write_digests
from rekindle.records.durable_files import sync, sync_tree
from rekindle.records.run_state import FORMAT, READ, STATE, read_values, write_values
from rekindle.records.state_files import UNREADABLE, join_arrays, split_arrays
from rekindle.training.trainer import TrainerState
from rekindle.types import UserError

__all__ = ["CheckpointError", "Checkpoints", "damaged"]

DAMAGED = "damaged-"
"""Beginning of the name of a checkpoint that its run makes again, until it has."""


class CheckpointError(UserError):
    """A checkpoint cannot be written or read."""


def damaged(path: Path, error: Exception) -> CheckpointError:
    """The error of a checkpoint that cannot be used."""
    why = " ".join(str(error).split()) or type(error).__name__
    return CheckpointError(
        f"{path} is damaged ({why}); delete it to resume from an earlier checkpoint, if there is one with {OPTIMIZER}"
    )


def _refuse_weights_alone(path: Path) -> None:
    if not (path / OPTIMIZER).exists():
        raise CheckpointError(
            f"{path} has no state of the optimizer, which only the last two checkpoints keep, so no run resumes from "
            f'it; begin a new one with model.path = "{path / MODEL}" and another --out (checkpoint.optimizer = "all" '
            "keeps it everywhere)"
        )


class Checkpoints:
    """The ``checkpoints`` directory of a run.

    Args:
        directory: Directory of all checkpoints.
        keep: Number of checkpoints kept; older ones are deleted after a new one is written.
        every_optimizer: Keep the state of the optimizer in all of them, not in the last two only.
    """

    def __init__(self, directory: Path, keep: int, *, every_optimizer: bool = False) -> None:
        self._directory, self._keep, self._every_optimizer = directory, keep, every_optimizer
        self._current: int | None = None
        """Step of the checkpoint that this process wrote last, or went on from."""

    def prepare(self, current: int | None = None) -> None:
        """Make the directory, and tidy it after a killed run. Only for the process that trains.

        Incomplete checkpoints are deleted, and checkpoints after the one that the run goes on from get another name.

        Args:
            current: Step of the checkpoint that the run goes on from; None: it begins.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        sync(self._directory.parent)
        for partial in self._directory.glob(".step-*"):
            shutil.rmtree(partial, ignore_errors=True)
        self._current = current
        if current is not None:
            for later in [step for step in self.steps() if step > current]:
                self._set_aside(later)
            self._delete_old()
            self._publish(self.path(current) / MODEL)

    def _set_aside(self, step: int) -> None:
        """Rename the checkpoint of a step that the run will make again."""
        aside = self._directory / f"{DAMAGED}step-{step}"
        shutil.rmtree(aside, ignore_errors=True)
        self.path(step).rename(aside)

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return checkpoint_steps(self._directory)

    def path(self, step: int) -> Path:
        """Directory of a checkpoint."""
        return self._directory / f"step-{step}"

    def save(self, step: int, policy: Policy, trainer: TrainerState, state: Mapping[str, Any]) -> Path:
        """Write a checkpoint; arrays inside ``state`` go to safetensors, the rest to JSON.

        A step that this process has saved already, or went on from, is not saved again.

        Raises:
            CheckpointError: The disk is full or not writable. Earlier checkpoints are unchanged.
        """
        partial, final = self._directory / f".step-{step}", self.path(step)
        if step == self._current and final.is_dir():
            return final
        try:
            self._make_room()
            shutil.rmtree(partial, ignore_errors=True)
            self._write(partial, policy, trainer, state)
            write_digests(partial, without=(STATE,))
            sync_tree(partial)
            if final.exists():
                self._set_aside(step)
            partial.rename(final)
            sync(self._directory)
        except (OSError, SafetensorError, ValueError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            kept = f"the last complete one is step {self.steps()[-1]}" if self.steps() else "there is no earlier one"
            raise CheckpointError(
                f"the checkpoint of step {step} could not be written to {self._directory} ({error}); {kept}; "
                "free some space and start again with --resume"
            ) from error
        self._current = step
        self._publish(final / MODEL)
        self._delete_old()
        shutil.rmtree(self._directory / f"{DAMAGED}step-{step}", ignore_errors=True)
        return final

    def _delete_old(self) -> None:
        """Delete all but the last checkpoints; a deletion that is killed leaves a name that the next start deletes."""
        for old in self.steps()[: -self._keep]:
            hidden = self._directory / f".step-{old}-old"
            shutil.rmtree(hidden, ignore_errors=True)
            self.path(old).rename(hidden)
            shutil.rmtree(hidden, ignore_errors=True)

    def _make_room(self) -> None:
        """Delete the optimizer's state of all checkpoints but the last; the next one is written beside that."""
        for old in [] if self._every_optimizer else self.steps()[:-1]:
            (self.path(old) / OPTIMIZER).unlink(missing_ok=True)

    def _publish(self, model: Path) -> None:
        """Let the run's ``model`` directory have the files of a checkpoint's model: links, which need no space."""
        partial, place = self._directory / ".step-model", self._directory.parent / MODEL
        before = self._directory / ".step-model-before"
        for hidden in (partial, before):
            shutil.rmtree(hidden, ignore_errors=True)
        shutil.copytree(model, partial, copy_function=_link)
        if place.exists():
            place.rename(before)
        partial.rename(place)
        sync(place.parent)
        shutil.rmtree(before, ignore_errors=True)

    def load(self, step: int) -> tuple[TrainerState, dict[str, Any]]:
        """Return (trainer state, state) of a checkpoint; the weights are in its ``model`` directory.

        Raises:
            CheckpointError: A file is missing, damaged or of another format.
        """
        path = self.path(step)
        try:
            values = read_values(path)
            if values["format"] not in READ:
                raise CheckpointError(
                    f"{path} has checkpoint format {values['format']}, this rekindle reads formats up to {FORMAT}; "
                    "resume with the version that wrote it"
                )
            _refuse_weights_alone(path)
            arrays = load_arrays(path / ARRAYS)
            trainer: TrainerState = {
                "tensors": load_tensors(path / OPTIMIZER),
                "values": values["trainer"],
            }
            return trainer, join_arrays(values["state"], arrays)
        except CheckpointError:
            raise
        except UNREADABLE as error:
            raise damaged(path, error) from error

    @staticmethod
    def _write(directory: Path, policy: Policy, trainer: TrainerState, state: Mapping[str, Any]) -> None:
        directory.mkdir()
        policy.save(directory / MODEL)
        save_tensors(trainer["tensors"], directory / OPTIMIZER)
        values, arrays = split_arrays(state)
        save_arrays(arrays, directory / ARRAYS)
        write_values(directory, {"trainer": trainer["values"], "state": values})


def _link(source: str, target: str) -> None:
    """Link a file, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
