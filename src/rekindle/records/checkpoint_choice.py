"""The checkpoints of a run directory: which ones there are, and the newest one that is whole.

A checkpoint is complete when it has ``state.json`` and ``model``. It is whole when it also has the state of the
optimizer, and every file has the digest that was written with it. Checkpoints of earlier versions have no digests; they
are used unchecked, with a notice.
"""

import re
from pathlib import Path

from rekindle.notices import warn
from rekindle.records.digests import SUMS, fault_of, has_digests
from rekindle.records.run_state import STATE, fault_of_values, has_digest
from rekindle.types import UserError

__all__ = [
    "ARRAYS",
    "CHECKPOINTS",
    "MODEL",
    "OPTIMIZER",
    "NoWholeCheckpointError",
    "checkpoint_steps",
    "last_checkpoint",
    "model_directory",
    "newest_whole",
    "step_of",
    "warn_of_incomplete",
]

CHECKPOINTS, MODEL, OPTIMIZER, ARRAYS = "checkpoints", "model", "optimizer.safetensors", "scheduler.safetensors"
NAME = re.compile(r"step-(0|[1-9]\d*)")
NEEDED = (OPTIMIZER, ARRAYS)
UNOPTIMIZED = "it has no state of the optimizer, which only the last two checkpoints keep"


class NoWholeCheckpointError(UserError):
    """A run has checkpoints, and none that it could go on from."""


def checkpoint_steps(checkpoints: Path) -> list[int]:
    """Steps of the complete checkpoints in a ``checkpoints`` directory, oldest first; other names are left alone."""
    return sorted(
        int(name[1])
        for path in checkpoints.glob("step-*")
        if (name := NAME.fullmatch(path.name)) and (path / STATE).is_file() and (path / MODEL).is_dir()
    )


def last_checkpoint(run: Path) -> Path | None:
    """Directory of the last complete checkpoint of a run; None where there is none."""
    steps = checkpoint_steps(run / CHECKPOINTS)
    return _path(run, steps[-1]) if steps else None


def newest_whole(run: Path) -> Path | None:
    """Directory of the checkpoint that a run goes on from; None: it begins. Warns of newer ones that are damaged.

    A run that was interrupted in its first evaluation has a checkpoint of step 0, for its model; it begins again.

    Raises:
        NoWholeCheckpointError: There are checkpoints, and none of them is whole.
    """
    faults: dict[int, str] = {}
    for step in filter(None, reversed(checkpoint_steps(run / CHECKPOINTS))):
        fault = _fault(_path(run, step), step)
        if fault is None:
            _warn_of(run, step, faults)
            return _path(run, step)
        faults[step] = fault
    if faults:
        raise NoWholeCheckpointError(_nothing_left(run, faults))
    return None


def step_of(checkpoint: Path | None) -> int:
    """Step of a checkpoint by its name; 0 for None."""
    return int(checkpoint.name.removeprefix("step-")) if checkpoint is not None else 0


def _path(run: Path, step: int) -> Path:
    return run / CHECKPOINTS / f"step-{step}"


def _fault(path: Path, step: int) -> str | None:
    """Why a run cannot go on from a complete checkpoint; None: it can."""
    if not (path / OPTIMIZER).is_file():
        return UNOPTIMIZED
    if has_digests(path) != has_digest(path):
        return f"{STATE} has no digest" if has_digests(path) else f"{SUMS} is missing"
    wrong = fault_of(path, NEEDED) if has_digests(path) else None
    return wrong or fault_of_values(path, step)


def _warn_of(run: Path, step: int, faults: dict[int, str]) -> None:
    """Warn of what is wrong with newer checkpoints than the one at ``step``, and of one without digests."""
    if faults:
        newest = max(faults)
        wrong = "; ".join(f"{_path(run, one)}: {fault}" for one, fault in sorted(faults.items()))
        again = f"step {newest} is" if newest == step + 1 else f"steps {step + 1} to {newest} are"
        warn(f"{wrong}; the run goes on from step {step}, and {again} repeated")
    if not has_digests(_path(run, step)):
        warn(f"{_path(run, step)} has no digests of its files ({SUMS}), so that damage in it would not be noticed")


def _nothing_left(run: Path, faults: dict[int, str]) -> str:
    newest = max(faults)
    wrong = "; ".join(f"step-{step}: {fault}" for step, fault in sorted(faults.items(), reverse=True))
    models = [step for step in sorted(faults, reverse=True) if _model_fault(_path(run, step)) is None]
    begin = f'model.path = "{_path(run, models[0]) / MODEL}"' if models else "another model"
    return (
        f"{_path(run, newest)} is damaged, and no other checkpoint is whole ({wrong}); restore its files from a copy, "
        f"or begin a new run with {begin} and another --out"
    )


def _model_fault(checkpoint: Path) -> str | None:
    return fault_of(checkpoint, below=f"{MODEL}/") if has_digests(checkpoint) else None


def model_directory(chosen: Path) -> Path:
    """Directory of the weights of a run (its newest whole checkpoint), a checkpoint, or a model directory.

    Raises:
        NoWholeCheckpointError: The weights of the chosen checkpoint, or of all checkpoints, are damaged.
    """
    steps = checkpoint_steps(chosen / CHECKPOINTS)
    candidates = [_path(chosen, step) for step in reversed(steps)] or [chosen]
    faults = list[str]()
    for path in candidates:
        if not (path / MODEL).is_dir():
            return chosen
        fault = _model_fault(path)
        if fault is None:
            if faults:
                warn(f"{'; '.join(faults)}; the weights of {path} are used")
            return path / MODEL
        faults.append(f"{path}: {fault}")
    raise NoWholeCheckpointError(f"{'; '.join(faults)}; restore the file from a copy, or choose another checkpoint")


def warn_of_incomplete(run: Path) -> None:
    """Warn of checkpoints that are not complete, and of a run that has steps and no checkpoint."""
    checkpoints = run / CHECKPOINTS
    complete = {f"step-{step}" for step in checkpoint_steps(checkpoints)}
    broken = [path.name for path in checkpoints.glob("*") if NAME.fullmatch(path.name) and path.name not in complete]
    for name in sorted(broken):
        warn(f"{checkpoints / name} is no complete checkpoint ({STATE} or {MODEL} is missing) and is not used")
    if not complete and (run / "metrics.jsonl").exists():
        warn(f"{run} has no checkpoint, so its run begins again at step 0")
