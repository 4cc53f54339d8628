"""Entries of the API reference as MyST Markdown: signature, docstring, members."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import griffe

__all__ = ["entry", "prose"]

_SPECIAL = re.compile(r"([\\*_\[\]<>{}$#~|^])")
_APART = "no-contents-entry:"
"""Members are in the index and in the search, and not in the contents of a page."""
_CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)


def entry(target: griffe.Object, source: str) -> str:
    """The directive of a function, class or constant, within the module that is current on the page.

    Args:
        target: What is documented.
        source: Markdown link to its code.
    """
    if isinstance(target, griffe.Class):
        return _class(target, source)
    if isinstance(target, griffe.Function):
        return _directive("py:function", _called(target), _documented(target), source)
    assert isinstance(target, griffe.Attribute | griffe.TypeAlias)
    return _directive("py:data", target.name, _documented(target), source)


def _directive(kind: str, argument: str, *parts: str, fence: str = "`````", options: Sequence[str] = ()) -> str:
    body = "\n\n".join(part for part in parts if part)
    head = "\n".join([f"{fence}{{{kind}}} {argument}", *(f":{option}" for option in options)])
    return f"{head}\n\n{body}\n{fence}\n"


def _called(function: griffe.Function, *, name: str = "", method: bool = False) -> str:
    """Name and parameters as one line, with types and the type of the result."""
    text = str(function.signature(return_type=True))
    arguments = text[text.index("(") :].replace("\n", " ")
    if method:
        arguments = re.sub(r"^\((?:self|cls)(?:, )?(?:/, )?", "(", arguments)
    return f"{name or function.name}{_unquoted(arguments)}"


def _unquoted(annotations: str) -> str:
    """Annotations without the quotes of those that are not evaluated: ``'Model | None'``."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", annotations)


def _class(target: griffe.Class, source: str) -> str:
    bases = ", ".join(str(base) for base in target.bases)
    made = next((one for one in (target.all_members.get("__init__"),) if isinstance(one, griffe.Function)), None)
    plain = made is None or _is_protocol(target) or _is_enumeration(target)
    called = target.name if plain else _called(made, name=target.name, method=True).partition(" -> ")[0]
    parents = f"Bases: `{bases}`" if bases else ""
    members = "\n".join(_members(target))
    return _directive("py:class", called, parents, _documented(target), source, members)


def _is_protocol(target: griffe.Class) -> bool:
    return any(str(base).startswith("Protocol") for base in target.bases)


def _is_enumeration(target: griffe.Class) -> bool:
    return any(str(base).endswith("Enum") for base in target.bases)


def _members(target: griffe.Class) -> Iterator[str]:
    """The public members that a class defines itself and documents."""
    described = _described(target)
    for name, member in target.members.items():
        if name.startswith("_") or member.is_alias or not member.docstring or name in described:
            continue
        if isinstance(member, griffe.Function):
            kinds = [f"{kind}:" for kind in ("staticmethod", "classmethod") if kind in member.labels]
            yield _directive(
                "py:method", _called(member, method=True), _documented(member), fence="````", options=[*kinds, _APART]
            )
        elif isinstance(member, griffe.Attribute):
            kind = "py:property" if "property" in member.labels else "py:attribute"
            yield _directive(kind, name, _documented(member), fence="````", options=[*_type_of(member), _APART])


def _type_of(member: griffe.Attribute) -> list[str]:
    return [f"type: {_unquoted(f': {member.annotation}')[2:]}"] if member.annotation else []


def _described(target: griffe.Class) -> set[str]:
    """Names that the docstring of a class lists under "Attributes"."""
    sections = target.docstring.parsed if target.docstring else []
    return {one.name for section in sections if section.kind.value == "attributes" for one in section.value}


def _documented(target: griffe.Object) -> str:
    sections = target.docstring.parsed if target.docstring else []
    return "\n\n".join(_SECTIONS[section.kind.value](section) for section in sections)


def _text(section: Any) -> str:
    return prose(section.value)


def _named(title: str) -> Callable[[Any], str]:
    def listed(section: Any) -> str:
        items = [f"- `{one.name}`: {_inline(one.description)}" for one in section.value]
        return "\n".join([f"**{title}**", "", *items])

    return listed


def _raised(section: Any) -> str:
    items = [f"- `{one.annotation}`: {_inline(one.description)}" for one in section.value]
    return "\n".join(["**Raises**", "", *items])


def _given_back(title: str) -> Callable[[Any], str]:
    def listed(section: Any) -> str:
        return f"**{title}** {' '.join(_inline(one.description) for one in section.value)}"

    return listed


_SECTIONS: dict[str, Callable[[Any], str]] = {
    "text": _text,
    "parameters": _named("Parameters"),
    "attributes": _named("Attributes"),
    "raises": _raised,
    "returns": _given_back("Returns"),
    "yields": _given_back("Yields"),
}


def _inline(text: str) -> str:
    """A description as one paragraph; a block of code in it goes on in the paragraph's item."""
    return prose(text).replace("\n", "\n  ")


def prose(text: str) -> str:
    """A docstring's text as Markdown: indented blocks are code, signs of formulas are no markup."""
    blocks = re.split(r"\n\s*\n", text.strip("\n"))
    return "\n\n".join(_block(block) for block in blocks)


def _block(block: str) -> str:
    lines = block.split("\n")
    if all(line.startswith("    ") for line in lines):
        return "\n".join(["```text", *(line[4:] for line in lines), "```"])
    return "\n".join(_line(line) for line in lines)


def _line(line: str) -> str:
    parts = _CODE.split(line)
    return "".join(part if number % 2 else _SPECIAL.sub(r"\\\1", part) for number, part in enumerate(parts))
