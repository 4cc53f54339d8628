"""Registration of our trainers in verl, once verl has its own."""

import importlib
from types import ModuleType

from rekindle.integrations.verl.versions import check_contract

__all__ = ["register_trainers"]


def register_trainers(module: ModuleType) -> None:
    """Register the trainer modes ``rekindle``, ``rekindle_colocate_async`` and ``rekindle_separate_async``.

    Raises:
        UserError: A function of verl that they override is another one.
    """
    check_contract()
    importlib.import_module("rekindle.integrations.verl.trainer")
