"""The directive ``{commands}``: every command with its arguments, from the parser of the command line."""

import argparse
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from extensions.api_markdown import prose
from rekindle.cli import _parser

__all__ = ["Commands", "command_line", "commands", "setup"]


class Commands(SphinxDirective):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown of the sections in place."""
        text = "\n".join(_section(name, one) for name, one in commands().items())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def command_line() -> argparse.ArgumentParser:
    """The parser of ``rekindle``."""
    return _parser()


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands by name."""
    subparsers = [one for one in command_line()._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(subparsers[0].choices)


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    parser.prog = f"rekindle {name}"
    usage = parser.format_usage().removeprefix("usage: ")
    about = parser.description or _help(name)
    return "\n".join(
        [f"## rekindle {name}", "", prose(about), "", "```text", usage.rstrip(), "```", "", *_rows(parser)]
    )


def _help(name: str) -> str:
    (subparsers,) = (one for one in command_line()._actions if isinstance(one, argparse._SubParsersAction))
    return next((one.help or "" for one in subparsers._choices_actions if one.dest == name), "")


def _rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from ["| argument | |", "|---|---|"]
    for action in parser._actions:
        if action.help != argparse.SUPPRESS:
            words = parser._get_formatter()._expand_help(action) if action.help else ""
            yield f"| {_written(action)} | {prose(words)} |"
    yield ""


def _written(action: argparse.Action) -> str:
    """An option with its values, as a user writes it."""
    choices = "|".join(map(str, action.choices or ()))
    value = "" if action.nargs == 0 else str(action.metavar or choices)
    if not action.option_strings:
        return f"`{value or action.dest}`"
    return ", ".join(f"`{f'{option} {value}'.strip()}`" for option in action.option_strings)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
