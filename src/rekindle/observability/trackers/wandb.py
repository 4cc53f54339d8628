"""Weights & Biases, online or offline (``WANDB_MODE=offline``).

Metrics have the names of ``metrics.jsonl``, and wandb's own step is the step. Files are in ``wandb/`` of the run
directory, unless ``WANDB_DIR`` is set. A step that wandb has cannot be written again: a resumed run continues the run
of the same id after the last step that it has.
"""

import os
from collections.abc import Mapping

from rekindle.observability.trackers.tracker import TrackedRun
from rekindle.types import UserError

__all__ = ["WandbTracker", "check_login"]

REMEDY = "run `wandb login`, set WANDB_API_KEY, or set WANDB_MODE=offline"
FINISH_SECONDS = 60.0
"""Longest wait at the end of a run for the upload; `wandb sync` uploads the rest."""


def check_login() -> None:
    """Check that wandb works offline, or has a key; never asks for one.

    Raises:
        UserError: Neither.
    """
    import wandb

    try:
        settings = wandb.setup(settings=wandb.Settings(silent=True)).settings
        if settings.mode in {"offline", "dryrun", "disabled"}:
            return
        logged_in = wandb.login(prompt=False, verify=False)
    except Exception as error:  # a key in the wrong form, a settings file that cannot be read: each has its own class
        raise UserError(f'track = ["wandb"]: {" ".join(str(error).split())}; {REMEDY}') from error
    if not logged_in:
        raise UserError(f'track = ["wandb"]: wandb has no API key; {REMEDY}')


class WandbTracker:
    """A run of wandb.

    Attributes:
        id: Its id.
        last_step: Last step that it has, here or on its server.
    """

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self._run = wandb.init(
            project=run.project,
            name=run.name,
            id=run.id,
            resume=None if run.id is None else "allow",
            config=dict(run.config),
            dir=None if os.environ.get("WANDB_DIR") else run.directory,
            settings=wandb.Settings(
                console="off", silent=True, finish_timeout=FINISH_SECONDS, finish_timeout_raises=True
            ),
        )
        self.id = self._run.id
        self.last_step = max(run.last_step, self._run.step - 1)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hand a step over to wandb's own process."""
        self._run.log(dict(metrics), step=step, commit=True)

    def close(self, *, failed: bool) -> None:
        """Finish the run, with an exit code."""
        self._run.finish(exit_code=int(failed))
