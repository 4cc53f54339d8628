"""JSON of a user's file: parsed, or a sentence with its place."""

import json

from rekindle.tasks.task_set import TaskError

__all__ = ["parse_json"]


def parse_json(text: str | bytes, place: str, remedy: str) -> object:
    """The value of a JSON text; bytes are UTF-8, with or without a byte order mark.

    Args:
        text: The text.
        place: Beginning of the error messages, e.g. ``train.jsonl:17``.
        remedy: End of the message about malformed JSON.

    Raises:
        TaskError: It is not UTF-8, not JSON, nested too deeply, or has a number with thousands of digits.
    """
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except UnicodeDecodeError as error:
        raise TaskError(f"{place}: byte {error.start + 1} is not UTF-8; save the file as UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise TaskError(f"{place}: not valid JSON ({error.msg}, column {error.colno}); {remedy}") from error
    except RecursionError as error:
        raise TaskError(f"{place}: the JSON is nested too deeply; fix or remove the row") from error
    except ValueError as error:  # Python's bound on the digits of a number
        raise TaskError(f"{place}: a number has thousands of digits; put it in quotes, or remove the row") from error
