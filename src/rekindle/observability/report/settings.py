"""Sections of the report on how the run was made: its warnings, the command that repeats it, and its settings."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from rekindle.observability import page
from rekindle.observability.formatting import excerpt, grouped
from rekindle.observability.summary import Summary

__all__ = ["repeat", "run_warnings", "settings"]

WARNINGS_LISTED = 20
WARNING_CHARACTERS = 300
_COMMAND = 2000
_CONFIG = 50_000
_OUR_COMMANDS = {"train"}
_WORKER = "default_worker.py"
"""Script of a process of Ray's; nobody starts a run with it."""


def run_warnings(summary: Summary) -> str:
    """Warnings of the run: the most frequent texts, and the number of the others."""
    found = sorted(summary.run.warnings(), key=lambda one: -one.count)
    if not found:
        return ""
    columns = ("warning", "by", "times", "first step", "last step")
    rows = [
        (
            excerpt(one.text, WARNING_CHARACTERS),
            excerpt(one.source, WARNING_CHARACTERS),
            *map(grouped, (one.count, one.first_step, one.last_step)),
        )
        for one in found[:WARNINGS_LISTED]
    ]
    left = len(found) - len(rows)
    note = f"{grouped(left)} others are in warnings.jsonl." if left else ""
    return page.section("Warnings", page.table("Most frequent first", columns, rows, note))


def repeat(summary: Summary) -> str:
    """The command that makes the run again, from its resolved settings, and the one it was started with."""
    run = summary.run
    started = run.info.get("command")
    words = [str(word) for word in started] if isinstance(started, list) else []
    if words and words[0].endswith(_WORKER):
        words = []
    ours = words[:1] and words[0] in _OUR_COMMANDS
    parts = []
    given = run.info.get("given")
    if not summary.other_trainer and not given:
        again = f"{run.directory}-again"
        command = shlex.join(["rekindle", "train", str(run.directory / "config.toml"), "--out", again])
        note = (
            "From the resolved settings of this run, its seed included. On the same machine, with the same versions "
            "and the same number of threads, a CPU gives the same weights bit for bit."
        )
        parts += [page.paragraph(note), page.command(excerpt(command, _COMMAND))]
    else:
        why = f"its trainer is {excerpt(str(run.info.get('trainer')), 80)}" if summary.other_trainer else ""
        named = ", ".join(map(str, given)) if isinstance(given, list) else ""
        why = why or f"a script gave it parts that no file describes ({excerpt(named, 200)})"
        parts.append(page.paragraph(f"Run the script again that made this run: {why}. Its settings are below."))
    if words:
        command = shlex.join(["rekindle", *words] if ours else ["python", *words])
        parts += [page.paragraph("As it was started:"), page.command(excerpt(command, _COMMAND))]
    return page.section("The command that repeats the run", *parts)


def settings(summary: Summary) -> str:
    """The configuration, complete, and what the run was made with."""
    config = (summary.run.directory / "config.toml").read_text(encoding="utf-8")
    rows = list(_flattened({key: value for key, value in summary.run.info.items() if key not in {"names", "command"}}))
    return page.section(
        "Settings",
        page.details("Configuration, complete (config.toml)", excerpt(config, _CONFIG)),
        page.fold("Versions, machine and seed (run.json)", page.table("Made with", ("", ""), rows)) if rows else "",
    )


def _flattened(info: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in info.items():
        name = f"{above} {key}".strip()
        if isinstance(value, dict):
            # Package names are clear without their table's name; other tables keep theirs.
            yield from _flattened(value, above if key == "packages" else name)
        elif value not in (None, "", []):
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield excerpt(name, WARNING_CHARACTERS), excerpt(text, _COMMAND)
