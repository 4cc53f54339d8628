"""Weights & Biases, online or offline (``WANDB_MODE=offline``).

Metrics have the names of ``metrics.jsonl``, and wandb's own step is the step. Files are in ``wandb/`` of the run
directory, unless ``WANDB_DIR`` is set. A step that wandb has cannot be written again: a resumed run continues the run
of the same id after the last step that it surely has.
"""

import os
from collections.abc import Mapping
from typing import Any

from rekindle.choices import one_line
from rekindle.observability.trackers.tracker import Delay, TrackedRun
from rekindle.types import UserError

__all__ = ["WandbTracker", "check_login"]

REMEDY = "run `wandb login`, set WANDB_API_KEY, or set WANDB_MODE=offline"
FLUSH_SECONDS = 0.5
"""Time between writes of wandb's process."""
INIT_SECONDS = 30.0
"""Longest wait for the server when a run is opened."""
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
        raise UserError(f'track = ["wandb"]: {one_line(error)}; {REMEDY}') from error
    if not logged_in:
        raise UserError(f'track = ["wandb"]: wandb has no API key; {REMEDY}')


def _settings() -> Any:
    """Settings of a run: no output, and bounds on the waits for the server where the user has not set them."""
    import wandb

    bounds = {"init_timeout": INIT_SECONDS, "finish_timeout": FINISH_SECONDS}
    own = {name: seconds for name, seconds in bounds.items() if f"WANDB_{name.upper()}" not in os.environ}
    return wandb.Settings(
        console="off",
        silent=True,
        finish_timeout_raises=True,
        x_transaction_log_flush_interval=FLUSH_SECONDS,
        **own,
    )


class WandbTracker:
    """A run of wandb.

    Attributes:
        id: Its id.
        last_step: Last step that it surely has; its process writes a little later, and dies with a killed run.
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
            settings=_settings(),
        )
        self.id = self._run.id
        self.last_step = run.last_step if self._run.offline else self._run.step - 1
        self._delay = Delay(self.last_step, 2 * FLUSH_SECONDS)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hand a step over to wandb's own process."""
        self._run.log(dict(metrics), step=step, commit=True)
        self.last_step = self._delay.after(step)

    def close(self, *, failed: bool) -> None:
        """Finish the run, with an exit code."""
        self._run.finish(exit_code=int(failed))
        self.last_step = self._delay.newest()
