"""Prompts of rows: a text, or chat messages of system, user and assistant, as a list or as JSON text in a cell.

    "What is 2+2?"
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2+2?"}]

A conversation ends with a turn of the user, which the policy answers. Roles of ShareGPT (``from``: human, gpt) are
those of OpenAI by other names. Content may be a list of text parts.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from rekindle.choices import few
from rekindle.tasks.fields import encodable, text_of
from rekindle.tasks.task_set import TaskError

__all__ = ["Prompt", "prompt_of"]

ROLES = ("system", "user", "assistant")
OTHER_NAMES = {"human": "user", "gpt": "assistant", "developer": "system"}
"""Roles of ShareGPT, and OpenAI's newer name of the system message."""
EXAMPLE = '{"role": "user", "content": "2+2="}'


class Prompt(NamedTuple):
    """What a row asks.

    Attributes:
        text: The last message of the user.
        messages: All messages; empty where the prompt is a text.
    """

    text: str
    messages: tuple[Mapping[str, str], ...] = ()


def prompt_of(place: str, name: str, value: object) -> Prompt:
    """The prompt in column ``name``.

    Raises:
        TaskError: It is neither text nor chat messages that a policy can answer; the message begins with ``place``.
    """
    if isinstance(value, bytes):
        value = text_of(value)
    if isinstance(value, str):
        value = _parsed(place, name, value)
    if isinstance(value, list):
        return _conversation(place, name, value)
    if not isinstance(value, str):
        remedy = "put it in quotes" if isinstance(value, int | float) else "write it as text, or as chat messages"
        raise TaskError(f'{place}: "{name}" must be text, not {type(value).__name__}; {remedy}')
    if not value.strip():
        raise TaskError(f'{place}: "{name}" is empty; remove the row or fill it in')
    return Prompt(encodable(place, value))


def _parsed(place: str, name: str, text: str) -> object:
    """The messages in a text that is a JSON list of them, as in a cell of a CSV file; else the text."""
    start = "".join(text[:80].split())
    if start.startswith(("[{'role':", "[{'from':", "[{'content':")):
        raise TaskError(
            f'{place}: "{name}" has chat messages as Python writes them; write them as JSON, with double quotes (in '
            "pandas: json.dumps before to_csv), or keep the rows as JSON lines or Parquet"
        )
    if not start.startswith(('[{"role":', '[{"from":', '[{"content":')):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TaskError(
            f'{place}: "{name}" begins like a list of chat messages and is not valid JSON ({str(error)[:80]}); fix it'
        ) from error


def _conversation(place: str, name: str, value: list[object]) -> Prompt:
    messages = tuple(
        _message(f'{place}: "{name}"' if len(value) == 1 else f'{place}: message {number} of "{name}"', one)
        for number, one in enumerate(value, start=1)
    )
    roles = [one["role"] for one in messages]
    where = f'{place}: "{name}" has the messages {few(roles) or "of nobody"}'
    if "system" in roles[1:]:
        raise TaskError(f"{where}; a system message comes first, and there is one at most: move or remove the others")
    if roles[-1:] == ["assistant"]:
        raise TaskError(
            f"{where} and ends with a turn of the assistant, which the policy is to write; end it with the user's turn "
            '(put a reference answer into "answer")'
        )
    if roles[-1:] != ["user"]:
        raise TaskError(f"{where}; end it with a turn of the user, which the policy answers")
    return Prompt(messages[-1]["content"], messages)


def _message(where: str, message: object) -> Mapping[str, str]:
    """Role and text of a message.

    Raises:
        TaskError: It is not a message, its role is unknown, or its content is empty or no text.
    """
    fields = message if isinstance(message, Mapping) else {}
    role, content = fields.get("role", fields.get("from")), fields.get("content", fields.get("value"))
    if not isinstance(role, str):
        raise TaskError(f"{where} must be text, or chat messages like {EXAMPLE}, not {message!r:.80}")
    known = OTHER_NAMES.get(role.lower(), role.lower())
    if known not in ROLES:
        raise TaskError(
            f'{where} has the role "{role:.40}"; the roles are {", ".join(ROLES)}: rename it, or remove the row'
        )
    if fields.get("tool_calls"):
        raise TaskError(f"{where} calls tools, and a prompt has text only; write the call as text, or remove the row")
    text = _content(where, content)
    if not text.strip() and known != "system":
        raise TaskError(f"{where} is empty ({known}); remove the row or fill it in")
    return {"role": known, "content": encodable(where, text)}


def _content(where: str, content: object) -> str:
    """The text of a message's content; several parts are joined."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise TaskError(f'{where} must be chat messages with text as "content", not {content!r:.80}')
    return "".join(_part(where, part) for part in content)


def _part(where: str, part: object) -> str:
    fields = part if isinstance(part, Mapping) else {}
    kind, text = fields.get("type", "text"), fields.get("text")
    if kind == "text" and isinstance(text, str):
        return text
    if isinstance(kind, str) and kind != "text":
        raise TaskError(
            f'{where} has a part of type "{kind:.40}", and policies read text only; remove the row, or describe it in '
            "words"
        )
    raise TaskError(f'{where} has a part that is not {{"type": "text", "text": "..."}}: {part!r:.80}; fix the row')
