"""Last lines of a training command: results, files, and the commands that a user runs next."""

import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.cli.messages import say

if TYPE_CHECKING:
    from rekindle.observability.runs import Run
    from rekindle.observability.summary import Summary

__all__ = ["accuracy_words", "conclude", "next_commands", "results"]


def conclude(run: "Run") -> None:
    """Show the results of a finished run, its files and the next commands."""
    if run.ending == "bound":
        say(f"rekindle: stopped: {run.bound}")
    after = "after " if run.ending == "interrupted" else ""
    step = f" {after}step {run.metrics[-1]['step']}" if run.metrics else ""
    print(f"{'interrupted' if after else 'finished'}{step}")
    for name, words in results(run):
        print(f"  {name:<13}  {words}")
    if run.ending == "interrupted":
        print("  to continue, repeat the command with --resume")
    else:
        print("next")
        for command in next_commands(run.directory):
            print(f"  {command}")


def results(run: "Run") -> "Iterator[tuple[str, object]]":
    """What came of a run, and where its files are, as (name, words)."""
    from rekindle.observability.summary import Summary

    summary, directory = Summary(run), run.directory
    yield "accuracy", accuracy_words(summary, "accuracy") or "not evaluated since the start"
    if greedy := accuracy_words(summary, "greedy"):
        yield "greedy", greedy
    if (model := directory / "model").is_dir():
        yield "model", f"{model}{' (LoRA adapter)' if (model / 'adapter_config.json').exists() else ''}"
    yield "run directory", directory
    yield "metrics", directory / "metrics.jsonl"
    yield "report", directory / "report.html"


def accuracy_words(summary: "Summary", kind: str) -> str:
    """How the sampled or greedy accuracy changed, in words; "" without a later evaluation."""
    from rekindle.observability.narrative import accuracy_change

    change = accuracy_change(summary, kind)
    if change is None or change.end is None:
        return ""
    mean = f" (mean of the last {change.averaged} evaluations)" if change.averaged > 1 else ""
    return f"{change.start:.2f} -> {change.end:.2f} on held-out prompts{mean}"


def next_commands(directory: Path) -> list[str]:
    """Commands for the model of a finished run, as a shell takes them: a closer evaluation, and the export."""
    numbers = itertools.chain([""], (f"-{count}" for count in itertools.count(2)))
    names = (f"{directory.resolve().name}-model{number}" for number in numbers)
    target = next(path for name in names if not (path := directory.parent / name).exists())
    commands = [
        ["eval", directory / "config.toml", "--checkpoint", directory, "--samples", 8, "--k", "1,8"],
        ["export", directory, "--out", target],
    ]
    return [shlex.join(["rekindle", *map(str, command)]) for command in commands]
