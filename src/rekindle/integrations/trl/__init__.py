"""rekindle inside TRL: ``RekindleTrainer`` in place of ``GRPOTrainer``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rekindle.integrations.trl.trainer import RekindleTrainer

__all__ = ["RekindleTrainer"]


def __getattr__(name: str) -> Any:
    """The trainer, imported when it is asked for, because settings and tables need neither TRL nor torch."""
    if name != "RekindleTrainer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rekindle.integrations.trl.versions import check_versions

    check_versions()
    from rekindle.integrations.trl.trainer import RekindleTrainer

    return RekindleTrainer
