"""Bounds checks of arguments; the message names the parameter, its value and the remedy."""

import math

from rekindle.types import UserError

__all__ = ["check_bounds"]


def check_bounds(
    remedy: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    **values: float,
) -> None:
    """Refuse values outside the bounds, and nan.

    Args:
        remedy: End of the message, e.g. "give at least 1".
        ge: Smallest value.
        gt: Exclusive lower bound.
        le: Largest value.
        lt: Exclusive upper bound.
        values: The arguments by name.

    Raises:
        UserError: A value is outside, e.g. "patience = 0 is outside [1, inf); give at least 1".
    """
    for name, value in values.items():
        inside = (
            not math.isnan(value)
            and (ge is None or value >= ge)
            and (gt is None or value > gt)
            and (le is None or value <= le)
            and (lt is None or value < lt)
        )
        if not inside:
            raise UserError(f"{name} = {value} is outside {_interval(ge, gt, le, lt)}; {remedy}")


def _interval(ge: float | None, gt: float | None, le: float | None, lt: float | None) -> str:
    low = f"[{ge}" if ge is not None else f"({gt if gt is not None else '-inf'}"
    high = f"{le}]" if le is not None else f"{lt if lt is not None else 'inf'})"
    return f"{low}, {high}"
