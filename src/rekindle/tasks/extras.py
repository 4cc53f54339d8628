"""Optional dependencies, asked for by name where they are needed."""

from importlib.util import find_spec

from rekindle.types import UserError

__all__ = ["MissingExtraError", "require_extra"]


class MissingExtraError(UserError):
    """A package that an optional feature needs is not installed."""


def require_extra(module: str, extra: str, purpose: str) -> None:
    """Check that ``module`` is installed, without importing it.

    Raises:
        MissingExtraError: It is not; the message names the extra to install.
    """
    if find_spec(module) is None:
        raise MissingExtraError(
            f'{purpose} needs {module}, which is not installed; run: pip install "rekindle[{extra}]"'
        )
