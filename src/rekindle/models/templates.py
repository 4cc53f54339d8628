"""Chat templates: a choice among several, variables, and errors of rendering as sentences."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rekindle.choices import few
from rekindle.models.directory import ModelError

__all__ = ["chat_messages", "chosen_template", "refuse_unread_variables", "rendered"]

RESERVED = frozenset(
    {
        "messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "tokenize",
        "raise_exception", "strftime_now",
    }
)  # fmt: skip
"""Names in a template that are not the user's."""
OWN = "give a template of your own (model.template)"
Messages = Sequence[Mapping[str, str]]


def chat_messages(prompt: str | Messages, system_prompt: str | None) -> list[Mapping[str, str]]:
    """The chat messages of a prompt; ``system_prompt`` comes first where they have no system message of their own."""
    messages: list[Mapping[str, str]] = (
        [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    )
    if system_prompt is None or any(one["role"] == "system" for one in messages):
        return messages
    return [{"role": "system", "content": system_prompt}, *messages]


def chosen_template(tokenizer: Any, chosen: str | None) -> str | None:
    """Text of the chat template to use; None where there is none.

    Args:
        tokenizer: A transformers tokenizer, with no template, one, or several by name.
        chosen: A Jinja file, or the name of one of several templates; None: the tokenizer's only or default one.

    Raises:
        ModelError: The file cannot be read, or the tokenizer has several templates and none is chosen.
    """
    found = tokenizer.chat_template
    named = found if isinstance(found, Mapping) else {}
    if chosen is not None:
        return str(named[chosen]) if chosen in named else _read(Path(chosen), named)
    if not named:
        return found or None
    if "default" in named:
        return str(named["default"])
    raise ModelError(
        f"the tokenizer has several chat templates and no default; set model.template to one of {few(named)}, or to a "
        "Jinja file"
    )


def _read(path: Path, named: Mapping[str, str]) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        names = f"one of {few(named)}, or to " if named else ""
        raise ModelError(f"there is no chat template at {path}; set model.template to {names}a Jinja file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the chat template {path} cannot be read ({error}); save it as UTF-8 text") from error


def refuse_unread_variables(template: str | None, variables: Mapping[str, Any]) -> None:
    """Refuse variables that a template does not read.

    Raises:
        ModelError: A variable is reserved or not read, there is no template, or its syntax is wrong.
    """
    from jinja2 import TemplateError, meta
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if template is None:
        if variables:
            raise ModelError(
                f"model.template_variables sets {few(variables)}, and the tokenizer has no chat template; remove it, "
                f"or {OWN}"
            )
        return
    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    try:
        read = meta.find_undeclared_variables(environment.parse(template))
    except TemplateError as error:
        if "generation" in str(error):  # a tag of transformers
            return
        raise ModelError(f"the chat template is not valid Jinja ({error}); correct it, or {OWN}") from error
    if wrong := [name for name in variables if name in RESERVED or name not in read]:
        known = sorted(name for name in read - RESERVED if not name.endswith("_token"))
        raise ModelError(
            f"model.template_variables sets {few(wrong)}, which the chat template does not read"
            f"{f' (it reads {few(known)})' if known else ''}; remove or rename it"
        )


def rendered(
    tokenizer: Any,
    messages: Messages,
    variables: Mapping[str, Any],
    tools: Sequence[Mapping[str, object]] | None = None,
) -> str:
    """Conversation as the tokenizer's chat template writes it, ready for the assistant's next turn.

    Raises:
        ModelError: The template cannot write these messages.
    """
    from jinja2 import TemplateError

    try:
        text: str = tokenizer.apply_chat_template(
            list(map(dict, messages)), tools=tools, tokenize=False, add_generation_prompt=True, **variables
        )
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(_refusal(messages, tools, error)) from error
    return text


def _refusal(messages: Messages, tools: object, error: Exception) -> str:
    why = " ".join(str(error).split())
    if tools:
        return (
            f'the chat template cannot write a conversation with tools ({why}); {OWN}, or set search.protocol = "tags"'
        )
    if any(one["role"] == "system" for one in messages):
        return (
            f"the chat template cannot write a system message ({why}); remove model.system_prompt (or the system "
            f"messages of the tasks) and put its text into the prompts, or {OWN}"
        )
    if len(messages) > 1:
        roles = few(one["role"] for one in messages)
        return (
            f"the chat template cannot write a conversation with the turns {roles} ({why}); {OWN}, or change the rows"
        )
    return f"the chat template cannot write a prompt ({why}); {OWN}, or set model.chat_template = false"
