"""rekindle inside TRL: ``RekindleTrainer`` in place of ``GRPOTrainer``."""

from importlib import import_module
from typing import Any

from rekindle.integrations.trl.versions import check_versions

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    """The trainer, imported when it is asked for, because settings and tables need neither TRL nor torch.

    Raises:
        UserError: TRL is missing, or is a release that the trainer was not tested with.
    """
    if name != "RekindleTrainer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_versions()
    return import_module("rekindle.integrations.trl.trainer").RekindleTrainer
