"""State of a run in a checkpoint of another trainer: a folder with JSON and safetensors, whole or not there."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays

from rekindle.records.durable_files import sync, sync_tree
from rekindle.records.state_files import UNREADABLE, join_arrays, split_arrays
from rekindle.types import UserError

__all__ = ["digest_of", "read_state", "state_file", "write_state"]

FORMAT = 2
READ = (1, 2)
"""Formats that are read. In format 1 the tokens of rollouts that wait are in JSON."""
STATE, ARRAYS = "state.json", "arrays.safetensors"


def state_file(folder: Path) -> Path:
    """The file without which a folder has no state."""
    return folder / STATE


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a state, whole or not at all; arrays inside it go to safetensors, the rest to JSON."""
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    values, arrays = split_arrays(state)
    save_arrays(arrays, partial / ARRAYS)
    text = json.dumps(values)
    header = json.dumps({"format": FORMAT, "digest": digest_of(text.encode(), (partial / ARRAYS).read_bytes())})
    (partial / STATE).write_text(f'{header[:-1]}, "state": {text}}}', encoding="utf-8")
    sync_tree(partial)
    before = folder.with_name(f".{folder.name}-before")
    shutil.rmtree(before, ignore_errors=True)
    if folder.exists():
        folder.rename(before)
    partial.rename(folder)
    sync(folder.parent)
    shutil.rmtree(before, ignore_errors=True)


def read_state(folder: Path) -> dict[str, Any]:
    """Read a state.

    Raises:
        UserError: It is damaged, or another version wrote it.
    """
    try:
        document = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if document["format"] not in READ:
            raise UserError(
                f"{folder} has format {document['format']}, and this rekindle reads formats up to {FORMAT}; resume "
                "with the version that wrote it"
            )
        if document["digest"] != digest_of(json.dumps(document["state"]).encode(), (folder / ARRAYS).read_bytes()):
            raise ValueError("its contents are not those that were written")
        return join_arrays(document["state"], load_arrays(folder / ARRAYS))
    except UserError:
        raise
    except UNREADABLE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{folder} is damaged ({why}); resume from an earlier checkpoint") from error


def digest_of(*parts: bytes) -> str:
    """Digest of bytes, one part after the other."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(part)
    return found.hexdigest()
