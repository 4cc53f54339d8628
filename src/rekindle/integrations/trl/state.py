"""State of a run in TRL's checkpoints: ``checkpoint-N/rekindle``, JSON and safetensors, beside the trainer's own files.

It is written before TRL's files of the same checkpoint. A checkpoint is whole when it has both this state and
``trainer_state.json``, which TRL writes last; others, of a process that was killed, are not resumed from.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors
from torch import Tensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rekindle.notices import warn
from rekindle.records.state_files import join_arrays, split_arrays, sync_tree
from rekindle.types import UserError

__all__ = ["load_batches", "load_state", "newest_whole", "save_batches", "save_state"]

FORMAT = 1
FOLDER, STATE, ARRAYS = "rekindle", "state.json", "arrays.safetensors"
TRAINER_STATE = "trainer_state.json"
UNREADABLE = (OSError, LookupError, ValueError, TypeError, AttributeError, SafetensorError)

Batch = Mapping[str, Tensor]


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint has both the trainer's state and ours."""
    return (checkpoint / TRAINER_STATE).is_file() and (checkpoint / FOLDER / STATE).is_file()


def newest_whole(output_dir: Path) -> Path | None:
    """The newest whole checkpoint; None where there is none. Warns of newer ones that are not whole."""
    found = {
        int(path.name.rpartition("-")[2]): path
        for path in output_dir.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if path.name.rpartition("-")[2].isdecimal()
    }
    for _, path in sorted(found.items(), reverse=True):
        if is_whole(path):
            return path
        warn(f"{path} is no whole checkpoint of this run (the process was killed while it was written); it is not used")
    return None


def save_state(checkpoint: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a checkpoint, whole or not at all; arrays inside it go to safetensors, the rest to JSON."""
    folder = checkpoint / FOLDER
    partial = folder.with_name(f".{FOLDER}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    values, arrays = split_arrays(state)
    save_arrays(arrays, partial / ARRAYS)
    (partial / STATE).write_text(json.dumps({"format": FORMAT, "state": values}), encoding="utf-8")
    sync_tree(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def load_state(checkpoint: Path) -> dict[str, Any]:
    """Read the state of a checkpoint.

    Raises:
        UserError: There is none, or it is damaged, or another version wrote it.
    """
    folder = checkpoint / FOLDER
    if not (folder / STATE).is_file():
        raise UserError(
            f"{checkpoint} has no state of rekindle ({FOLDER}/{STATE}), so a run cannot go on from it; resume from a "
            "checkpoint that RekindleTrainer wrote, or begin a new run with its model and another output_dir"
        )
    try:
        document = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise UserError(
                f"{folder} has format {document['format']}, and this rekindle reads format {FORMAT}; resume with the "
                "version that wrote it"
            )
        return join_arrays(document["state"], load_arrays(folder / ARRAYS))
    except UserError:
        raise
    except UNREADABLE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{folder} is damaged ({why}); resume from an earlier checkpoint") from error


def save_batches(checkpoint: Path, process: int, batches: Sequence[Batch]) -> None:
    """Write the micro-batches that a process has not used up; ``save_state`` is called before."""
    tensors = {
        f"{index}.{key}": tensor.contiguous() for index, one in enumerate(batches) for key, tensor in one.items()
    }
    save_tensors(tensors, checkpoint / FOLDER / _batches_file(process))


def load_batches(checkpoint: Path, process: int, device: Any) -> list[dict[str, Tensor]]:
    """Read the micro-batches of a process.

    Raises:
        UserError: They are missing or damaged.
    """
    path = checkpoint / FOLDER / _batches_file(process)
    try:
        tensors = load_tensors(path, device=str(device))
    except UNREADABLE as error:
        raise UserError(f"{path} is missing or damaged ({error}); resume from an earlier checkpoint") from error
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        found.setdefault(int(index), {})[key] = tensor
    return [found[index] for index in sorted(found)]


def _batches_file(process: int) -> str:
    return f"batches-{process}.safetensors"
