"""Checks of a run of ours on verl, on the machine that starts it, before Ray does."""

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from rekindle.integrations.verl.settings import check_before_ray as check_settings
from rekindle.integrations.verl.settings.values import MODES
from rekindle.integrations.verl.versions import check_versions
from rekindle.types import UserError

__all__ = ["check_before_ray", "is_ours"]


def is_ours(config: Any) -> bool:
    """Whether a configuration of verl asks for a trainer of ours: ``trainer.v1.trainer_mode=rekindle...``."""
    return str(config.trainer.v1.trainer_mode) in MODES


def check_before_ray(module: ModuleType) -> None:
    """Let ``validate_config`` of ``verl.utils.config`` check and settle what is ours as well.

    verl's entry point calls it before it starts Ray. A mistake of the user ends the process with one sentence.
    """
    theirs: Callable[..., None] = module.validate_config

    @functools.wraps(theirs)
    def validate_config(config: Any, *args: Any, **named: Any) -> None:
        if is_ours(config):
            _checked(check_versions)
        check_settings(config)
        if is_ours(config):
            from rekindle.integrations.verl.resuming import check_checkpoints  # which workers do not need

            _checked(functools.partial(check_checkpoints, config.trainer))
        theirs(config, *args, **named)

    module.validate_config = validate_config  # type: ignore[attr-defined]


def _checked(check: Callable[[], object]) -> None:
    try:
        check()
    except UserError as error:
        sys.stderr.write(f"rekindle: {error}\n")
        raise SystemExit(2) from None
