"""Checks that an optional dependency is installed."""

from importlib.util import find_spec

from rekindle.types import UserError

__all__ = ["MissingExtraError", "require_extra"]


class MissingExtraError(UserError):
    """A package of an optional feature is not installed."""


def require_extra(module: str, extra: str, purpose: str) -> None:
    """Check that ``module`` is installed, without importing it.

    Raises:
        MissingExtraError: It is not installed; the message names the extra to install.
    """
    if find_spec(module) is None:
        raise MissingExtraError(
            f'{purpose} needs {module}, which is not installed; run: pip install "rekindle[{extra}]"'
        )
