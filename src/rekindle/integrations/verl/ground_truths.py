"""Reference answers of verl's rows: ``reward_model.ground_truth``."""

from collections.abc import Mapping

from rekindle.tasks.fields import text_of

__all__ = ["answers_in"]


def answers_in(ground_truth: object) -> tuple[str, ...]:
    """The accepted answers; none where there is no text or number.

    Args:
        ground_truth: Text, a number, a list or an array (of a Parquet file), or Search-R1's ``{"target": [...]}``.
    """
    if isinstance(ground_truth, Mapping):
        ground_truth = ground_truth.get("target")
    if hasattr(ground_truth, "tolist"):
        ground_truth = ground_truth.tolist()
    values = ground_truth if isinstance(ground_truth, list | tuple) else [ground_truth]
    return tuple(text for one in values if (text := text_of(one)) is not None)
