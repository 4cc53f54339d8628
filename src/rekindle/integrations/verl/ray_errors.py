"""Errors that come through Ray: what they began with, wrapped as often as they passed a process."""

from rekindle.types import UserError

__all__ = ["RewardFunctionError", "mendable_in", "root_of"]

NOT_THERE = "No module named 'rekindle"


class RewardFunctionError(Exception):
    """The reward function raised; the cause is its error."""


def root_of(error: BaseException) -> BaseException:
    """The error that Ray wraps, and that raised ``RewardFunctionError``; without either the error itself."""
    from ray.exceptions import RayTaskError

    inner: BaseException | None = error
    while inner is not None:
        error = inner
        if isinstance(error, RayTaskError):
            inner = error.cause
        else:
            inner = error.__cause__ if isinstance(error, RewardFunctionError) else None
    return error


def mendable_in(error: BaseException) -> UserError | None:
    """What a user can mend: the ``UserError`` that an error of Ray wraps, or that there is no rekindle on a machine."""
    root = root_of(error)
    if isinstance(root, UserError):
        return root
    if NOT_THERE in f"{error} {root}":
        return UserError(
            "a worker of Ray cannot import rekindle; install it on every machine of the cluster, in the environment of "
            'verl: pip install "rekindle[verl]"'
        )
    return None
