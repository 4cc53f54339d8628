"""How a run of ours on verl ends: what the user can mend is one sentence and exit code 2, and the rest is verl's.

verl's entry point, ``verl.trainer.main_ppo``, starts Ray, and the driver of a run is an actor: an error of it arrives
in a traceback of Ray's. Of what the user can mend the traceback is kept in a file, which the message names.
"""

import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from rekindle.integrations.verl.ray_errors import mendable_in
from rekindle.integrations.verl.settings.values import MODES
from rekindle.types import UserError

__all__ = ["ENTRY", "end_with_a_sentence", "is_ours", "refuse"]

ENTRY = "verl.trainer.main_ppo"
"""verl's entry point."""
LOG = "error.log"
BAD_USAGE = 2


def is_ours(config: Any) -> bool:
    """Whether a configuration of verl asks for a trainer of ours: ``trainer.v1.trainer_mode=rekindle...``."""
    return str(config.trainer.v1.trainer_mode) in MODES


def refuse(error: UserError, *notes: str) -> SystemExit:
    """Show a message on standard error; the exception that ends the process."""
    for line in (*str(error).splitlines(), *notes):
        sys.stderr.write(f"rekindle: {line}\n")
    return SystemExit(BAD_USAGE)


def end_with_a_sentence(module: ModuleType) -> None:
    """Let ``run_ppo`` of verl's entry point end with one sentence where the user can mend an error of our run."""
    theirs: Callable[..., None] = module.run_ppo
    if hasattr(theirs, "__wrapped__"):
        return

    @functools.wraps(theirs)
    def run_ppo(config: Any, task_runner_class: Any) -> None:
        if not is_ours(config):
            return theirs(config, task_runner_class)
        from rekindle.integrations.verl.data_checks import check_data  # every process of a run imports this module

        try:
            if _runs_here(config):
                check_data(config)
        except UserError as error:
            raise refuse(error) from None
        try:
            return theirs(config, task_runner_class)
        except Exception as error:
            mendable = mendable_in(error)
            if mendable is None:
                raise
            raise refuse(mendable, f"the traceback is in {_kept(error, config)}") from None

    module.run_ppo = run_ppo  # type: ignore[attr-defined]


def _runs_here(config: Any) -> bool:
    """Whether Ray will run on this machine alone, so that its files are those of the run."""
    address = os.environ.get("RAY_ADDRESS") or (config.ray_kwargs.get("ray_init") or {}).get("address")
    return address in (None, "", "local")


def _kept(error: Exception, config: Any) -> Path:
    """The file with the traceback of an error."""
    from rekindle.integrations.hosted_run import FOLDER

    text = "".join(traceback.format_exception(error))
    try:
        folder = Path(config.trainer.default_local_dir).expanduser() / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LOG
        path.write_text(text, encoding="utf-8")
    except OSError:
        handle, name = tempfile.mkstemp(prefix="rekindle-", suffix=".log")
        os.close(handle)
        path = Path(name)
        path.write_text(text, encoding="utf-8")
    return path.absolute()
