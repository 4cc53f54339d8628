"""Prompt and answer of a row under the column names of other trainers.

    prompt   prompt, problem, messages, conversations, question, query: text, or a list of chat messages (TRL, verl)
    answer   answer, ground_truth, final_answer, expected_answer, label, target; ``ground_truth`` in ``reward_model``
             (verl); the last box of ``solution`` (TRL, Open-R1)

The first name that a row has counts. Letter case does not matter.
"""

from collections.abc import Mapping
from typing import NamedTuple

from rekindle.choices import few
from rekindle.tasks.task_set import TaskError

__all__ = ["ANSWERS", "PROMPTS", "Conversation", "answer_of", "conversation_of", "prompt_name"]

PROMPTS = ("prompt", "problem", "messages", "conversations", "question", "query")
ANSWERS = (
    "answer", "ground_truth", "final_answer", "expected_answer", "label", "target", "reward_model", "solution"
)  # fmt: skip
BOX = "\\boxed{"
SPEAKERS = {"human": "user", "gpt": "assistant"}
"""Roles of ShareGPT."""


class Conversation(NamedTuple):
    """What a row asks: the user's text, and the system message before it, if there is one."""

    prompt: object
    system: str | None = None


def prompt_name(row: Mapping[str, object]) -> str | None:
    """Column of the prompt; None where there is none."""
    return next((name for name in PROMPTS if row.get(name) is not None), None)


def answer_of(place: str, row: Mapping[str, object]) -> object | None:
    """The reference answer, or the list of accepted ones; None where there is none.

    Raises:
        TaskError: The answer is a whole solution without a box.
    """
    for name in ANSWERS:
        value = row.get(name)
        if name == "reward_model" and isinstance(value, Mapping):
            value = value.get("ground_truth")
        if name == "solution" and isinstance(value, str):
            value = _last_box(place, value)
        if value is not None:
            return value
    return None


def _last_box(place: str, solution: str) -> str:
    """The content of the last box in a solution."""
    _, box, rest = solution.rpartition(BOX)
    depth = 1
    for end, character in enumerate(rest if box else ""):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if not depth:
            return rest[:end]
    raise TaskError(f'{place}: the "solution" has no \\boxed{{...}} with the result; add the result as "answer"')


def conversation_of(place: str, name: str, value: object) -> Conversation:
    """The prompt in a column; a list of chat messages must be one turn of the user, perhaps after a system message.

    Raises:
        TaskError: The messages are something else.
    """
    if not isinstance(value, list):
        return Conversation(value)
    turns = [_turn(place, name, one) for one in value]
    roles = [role for role, _ in turns]
    if roles == ["user"]:
        return Conversation(turns[0][1])
    if roles == ["system", "user"]:
        return Conversation(turns[1][1], turns[0][1])
    raise TaskError(
        f'{place}: "{name}" has the messages {few(roles) or "of nobody"}; give one message of the user, perhaps after '
        "one of the system"
    )


def _turn(place: str, name: str, message: object) -> tuple[str, str]:
    """Role and text of a message."""
    fields = message if isinstance(message, Mapping) else {}
    role, content = fields.get("role", fields.get("from")), fields.get("content", fields.get("value"))
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text") or "") for part in content)
    if not isinstance(role, str) or not isinstance(content, str):
        raise TaskError(
            f'{place}: "{name}" must be text, or chat messages like {{"role": "user", "content": "2+2="}} with nothing '
            f"but text, not {message!r:.80}"
        )
    return SPEAKERS.get(role, role), content
