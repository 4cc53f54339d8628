"""Checks of a run of ours on verl, on the machine that starts it, before Ray does."""

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from rekindle.integrations.verl.endings import ENTRY, end_with_a_sentence, is_ours, refuse
from rekindle.integrations.verl.settings import check_before_ray as check_settings
from rekindle.integrations.verl.versions import check_versions
from rekindle.types import UserError

__all__ = ["check_before_ray"]


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
        _watch_entry_point()

    module.validate_config = validate_config  # type: ignore[attr-defined]


def _checked(check: Callable[[], object]) -> None:
    try:
        check()
    except UserError as error:
        raise refuse(error) from None


def _watch_entry_point() -> None:
    """Let the entry point end with a sentence, where it is the program: it is not imported by its name then."""
    program = sys.modules["__main__"]
    if getattr(program.__spec__, "name", None) == ENTRY:
        end_with_a_sentence(program)
