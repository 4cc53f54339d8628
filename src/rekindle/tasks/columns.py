"""Prompt, answer and id of a row: columns that the user names, or those of other trainers.

    prompt   prompt, problem, messages, conversations, question, query: text, or a list of chat messages (TRL, verl)
    answer   answer, ground_truth, final_answer, expected_answer, label, target; ``ground_truth`` in ``reward_model``
             (verl); the last box of ``solution`` (TRL, Open-R1)

The first name that a row has counts. Letter case does not matter. A name of the user's own may lead into a column:
``extra_info.answer``.
"""

from collections.abc import Mapping

from rekindle.choices import closest, few
from rekindle.tasks.task_set import TaskError

__all__ = ["ANSWERS", "PROMPTS", "answer_of", "last_box", "named", "prompt_name", "value_in"]

PROMPTS = ("prompt", "problem", "messages", "conversations", "question", "query")
ANSWERS = (
    "answer", "ground_truth", "final_answer", "expected_answer", "label", "target", "reward_model", "solution"
)  # fmt: skip
BOX = "\\boxed{"


def prompt_name(row: Mapping[str, object]) -> str | None:
    """Column of the prompt; None where there is none."""
    return next((name for name in PROMPTS if row.get(name) is not None), None)


def answer_of(place: str, row: Mapping[str, object], *, needed: bool) -> object | None:
    """The reference answer, or the list of accepted ones; None where there is none.

    Raises:
        TaskError: The answer is a whole solution without a box, and an answer is needed.
    """
    for name in ANSWERS:
        value = row.get(name)
        if name == "reward_model" and isinstance(value, Mapping):
            value = value.get("ground_truth")
        if name == "solution" and isinstance(value, str):
            value = last_box(value)
            if value is None and needed:
                raise TaskError(
                    f'{place}: the "solution" has no \\boxed{{...}} with the result; add the result as "answer", or, '
                    'if it is nothing but the result, set task.columns.answer = "solution"'
                )
        if value is not None:
            return value
    return None


def last_box(solution: str) -> str | None:
    """The content of the last box in a solution; None where there is none."""
    _, box, rest = solution.rpartition(BOX)
    depth = 1
    for end, character in enumerate(rest if box else ""):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if not depth:
            return rest[:end]
    return None


def value_in(fields: Mapping[str, object], name: str) -> object | None:
    """The value of a column that the user names: exact, in other letter case, or inside a column (``a.b``)."""
    if name in fields:
        return fields[name]
    same = next((one for one in fields if str(one).strip().lower() == name.lower()), None)
    if same is not None:
        return fields[same]
    outer, dot, inner = name.partition(".")
    value = fields.get(outer) if dot else None
    return value_in(value, inner) if isinstance(value, Mapping) else None


def named(place: str, fields: Mapping[str, object], key: str, name: str) -> object:
    """The value of a column that a key of ``task.columns`` names.

    Raises:
        TaskError: The row does not have it.
    """
    value = value_in(fields, name)
    if value is None:
        near = closest(name, map(str, fields))
        remedy = f'did you mean "{near}"?' if near else "name one of them"
        raise TaskError(
            f'{place}: there is nothing in the column "{name}" (task.columns.{key}); the row has '
            f"{few(fields) or 'nothing'}; {remedy}"
        )
    return value
