"""State of a run in TRL's checkpoints: ``checkpoint-N/rekindle``, JSON and safetensors, beside the trainer's own files.

It is written before TRL's files of the same checkpoint. A checkpoint is whole when it has both this state and
``trainer_state.json``, which TRL writes last; others, of a process that was killed, are not resumed from. Then the
digests of all files are written (``records.digests``), with which a damaged one is found and not used. A checkpoint of
a process that was killed in between has none, like those of earlier versions.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file as save_tensors
from torch import Tensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rekindle.integrations.state_folder import digest_of, read_state, state_file, write_state
from rekindle.notices import warn
from rekindle.records import digests
from rekindle.records.digests import fault_of, has_digests, write_digests
from rekindle.records.durable_files import sync, sync_tree
from rekindle.records.state_files import UNREADABLE
from rekindle.types import UserError

__all__ = ["keep_digests", "leave_later", "load_batches", "load_state", "newest_whole", "save_batches", "save_state"]

FOLDER = "rekindle"
STATE_FILE = state_file(Path()).name
LEFT = "rekindle-left"
"""Folder of a state from which the run went on no more."""
SUMS = "sums"
TRAINER_STATE = "trainer_state.json"

Batch = Mapping[str, Tensor]


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint has both the trainer's state, not cut off, and ours."""
    return state_file(checkpoint / FOLDER).is_file() and _has_trainer_state(checkpoint)


def keep_digests(checkpoint: Path) -> None:
    """Write the digests of a checkpoint that TRL has written."""
    if is_whole(checkpoint):
        write_digests(checkpoint)
        sync_tree(checkpoint)


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a whole checkpoint that has digests; None: nothing, or it has none."""
    return fault_of(checkpoint) if has_digests(checkpoint) else None


def _has_trainer_state(checkpoint: Path) -> bool:
    try:
        return isinstance(json.loads((checkpoint / TRAINER_STATE).read_text(encoding="utf-8")), dict)
    except (OSError, ValueError, RecursionError):
        return False


def newest_whole(output_dir: Path) -> Path | None:
    """The newest whole checkpoint; None where there is none. Warns of newer ones that are not whole."""
    for _, path in sorted(_checkpoints(output_dir).items(), reverse=True):
        damage = _damage(path) if is_whole(path) else None
        if is_whole(path) and damage is None:
            return path
        if damage is not None:
            warn(f"{path} is damaged ({damage}) and is not used; the run goes on from the checkpoint before it")
        elif not (path / LEFT).exists():
            why = f"has no {FOLDER}/{STATE_FILE}" if _has_trainer_state(path) else "was not written to its end"
            warn(f"{path} {why}, so that no run can go on from it; it is not used")
    return None


def _checkpoints(output_dir: Path) -> dict[int, Path]:
    """Directories of checkpoints by step."""
    return {
        int(path.name.rpartition("-")[2]): path
        for path in output_dir.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if path.name.rpartition("-")[2].isdecimal()
    }


def leave_later(output_dir: Path, step: int) -> None:
    """Set the states of later checkpoints aside: a run that goes on from ``step`` takes another course."""
    for number, path in _checkpoints(output_dir).items():
        if number > step and (path / FOLDER).exists():
            if is_whole(path):
                warn(f"the run goes on from step {step}, so that it cannot go on from {path} any more")
            shutil.rmtree(path / LEFT, ignore_errors=True)
            (path / FOLDER).rename(path / LEFT)


def save_state(checkpoint: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a checkpoint, whole or not at all; arrays inside it go to safetensors, the rest to JSON."""
    for name in (TRAINER_STATE, digests.SUMS):  # of an earlier course: the checkpoint is not whole any more
        (checkpoint / name).unlink(missing_ok=True)
    shutil.rmtree(checkpoint / LEFT, ignore_errors=True)
    write_state(checkpoint / FOLDER, state)


def load_state(checkpoint: Path) -> dict[str, Any]:
    """Read the state of a checkpoint.

    Raises:
        UserError: There is none, or it is damaged, or another version wrote it.
    """
    folder = checkpoint / FOLDER
    if not checkpoint.is_dir():
        raise UserError(f"there is no checkpoint {checkpoint}; resume from one that is there")
    if not state_file(folder).is_file():
        raise UserError(
            f"{checkpoint} has no state of rekindle ({FOLDER}/{STATE_FILE}), so a run cannot go on from it (TRL's "
            "save_only_model keeps none); resume from another checkpoint that RekindleTrainer wrote, or begin a new "
            "run with its model and another output_dir"
        )
    if not _has_trainer_state(checkpoint):
        raise UserError(f"{checkpoint} was not written to its end ({TRAINER_STATE}); resume from an earlier checkpoint")
    if (damage := _damage(checkpoint)) is not None:
        raise UserError(f"{checkpoint} is damaged ({damage}); resume from an earlier checkpoint")
    return read_state(folder)


def save_batches(checkpoint: Path, process: int, batches: Sequence[Batch], sums: Mapping[str, Tensor]) -> None:
    """Write what a process has not used up; ``save_state`` is called before.

    Args:
        checkpoint: The checkpoint.
        process: Number of the process.
        batches: Its micro-batches.
        sums: Sums of the update that is being made.
    """
    parts = {str(index): one for index, one in enumerate(batches)} | {SUMS: sums}
    tensors = {f"{part}.{key}": tensor.contiguous().cpu() for part, one in parts.items() for key, tensor in one.items()}
    path = checkpoint / FOLDER / _batches_file(process)
    save_tensors(tensors, path, metadata={"digest": _digest_of(tensors)})
    sync(path)


def load_batches(checkpoint: Path, process: int, device: Any) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """Read the micro-batches of a process, and the sums of its update.

    Raises:
        UserError: They are missing or damaged.
    """
    path = checkpoint / FOLDER / _batches_file(process)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            digest = (file.metadata() or {}).get("digest")
        if digest != _digest_of(tensors):
            raise ValueError("its contents are not those that were written")
        parts: dict[str, dict[str, Tensor]] = {SUMS: {}}
        for name, tensor in tensors.items():
            part, _, key = name.partition(".")
            parts.setdefault(part, {})[key] = tensor
        sums = parts.pop(SUMS)
        batches = [parts[part] for part in sorted(parts, key=int)]
    except UNREADABLE as error:
        raise UserError(f"{path} is missing or damaged ({error}); resume from an earlier checkpoint") from error
    return [{key: tensor.to(device) for key, tensor in one.items()} for one in batches], sums


def _digest_of(tensors: Mapping[str, Tensor]) -> str:
    return digest_of(*(part for name in sorted(tensors) for part in (name.encode(), _bytes(tensors[name]))))


def _bytes(tensor: Tensor) -> bytes:
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def _batches_file(process: int) -> str:
    return f"batches-{process}.safetensors"
