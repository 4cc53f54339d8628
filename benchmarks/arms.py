"""Shared parts of the recipe benchmarks: commands and their runs, page blocks and curves.

An *arm* is a recipe with its settings; it is run once per seed. Differences between arms are paired by seed.
"""

import argparse
import contextlib
import functools
import json
import re
import shutil
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from machine import machine
from rekindle.cli.options import add_config, resolved
from rekindle.comparison.curves import Curve
from rekindle.comparison.drawing import on_one_grid, standalone
from rekindle.observability.runs import Run
from rekindle.observability.svg import Series, line_chart
from rekindle.sweeps import State, Status, SweepRun
from rekindle.sweeps import run_all as run_sweep
from rekindle.sweeps.display import Display

__all__ = [
    "ROOT",
    "accuracy_curves",
    "block",
    "counted",
    "cpu_seconds",
    "evaluations",
    "made",
    "made_now",
    "made_words",
    "markdown_table",
    "plain_cell",
    "read_results",
    "read_rows",
    "replace_block",
    "run_all",
    "train",
]

Line = TypeVar("Line", bound=Mapping[str, Any])
ROOT = Path(__file__).parents[1]
DONE = "finished.json"
REVISION_LETTERS = 9
ENDINGS = {State.DONE: 0, State.BOUND: 3}
"""Exit codes of a finished run: budget spent, or stopped by a declared bound."""
HOPS = (1, 2, 3, 4)
"""Numbers of hops of the search world's questions."""


# -- files -------------------------------------------------------------------------------------------------------------


def read_results(file: Path) -> Any:
    """The JSON of a benchmark's results; a damaged file ends the command with a sentence."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{file} cannot be read ({error}); take it from git again, or measure again") from None


def read_rows(file: Path, count: int | None = None) -> list[dict[str, Any]]:
    """The first ``count`` objects of a file with one JSON object a line; None: all.

    A missing or damaged file ends the command with a sentence.
    """
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:count]]
    except (OSError, ValueError) as error:
        raise SystemExit(f"{file} cannot be read ({error}); give the directory that holds it") from None


# -- runs -------------------------------------------------------------------------------------------------------------


def train(arguments: Sequence[str], directory: Path) -> None:
    """``run_all`` of a single run."""
    run_all([(arguments, directory)], jobs=1)


def run_all(arms: Sequence[tuple[Sequence[str], Path]], jobs: int, *, keep_checkpoints: bool = True) -> None:
    """Make the runs that are missing with one thread each, ``jobs`` at a time; a stopped run goes on.

    Args:
        arms: Arguments of ``rekindle train`` from the repository's root, as on the documentation's page, and the run
            directory, which is resumed.
        jobs: Runs at the same time.
        keep_checkpoints: Those of a finished run; one of a pretrained model takes gigabytes.
    """
    missing = [
        (list(arguments), directory.resolve()) for arguments, directory in arms if not _is_made(arguments, directory)
    ]
    with contextlib.chdir(ROOT):
        statuses = [Status(_planned(*arm)) for arm in missing]
        with Display(statuses, jobs) as display:
            run_sweep(statuses, jobs=jobs, threads=1, watches=(_Records(keep_checkpoints), display))
    if failed := [one for one in statuses if one.state not in ENDINGS]:
        raise SystemExit("".join(f"{one.run.directory}: {one.state}: {one.why} ({one.run.log})\n" for one in failed))


def _is_made(arguments: Sequence[str], directory: Path) -> bool:
    """Whether the directory has the finished run of these arguments; another one is refused."""
    record = directory / DONE
    if not record.exists():
        return False
    before = json.loads(record.read_text())["arguments"]
    if before != list(arguments):
        raise SystemExit(f"{directory} holds a run of `rekindle train {' '.join(before)}`; choose another --runs")
    return True


def _planned(arguments: Sequence[str], directory: Path) -> SweepRun:
    parser = argparse.ArgumentParser()
    add_config(parser)
    return SweepRun(
        name=directory.name,
        config=resolved(parser.parse_args(arguments), begun=directory),
        directory=directory,
        log=directory.with_name(f"{directory.name}.log"),
        command=("train", *arguments, "--out", str(directory)),
    )


class _Records:
    """Watch that notes in the directory of a finished run how it was made."""

    def __init__(self, keep_checkpoints: bool) -> None:
        self._keep_checkpoints = keep_checkpoints

    def changed(self, status: Status) -> None:
        if status.state not in ENDINGS:
            return
        before, after = ("train",), ("--out", str(status.run.directory))
        arguments = list(status.run.command[len(before) : -len(after)])
        today = datetime.now(UTC).date().isoformat()
        record = {
            "arguments": arguments,
            "exit": ENDINGS[status.state],
            "date": today,
            "machine": machine(),
        }
        (status.run.directory / DONE).write_text(json.dumps(record))
        if not self._keep_checkpoints:
            shutil.rmtree(status.run.directory / "checkpoints", ignore_errors=True)

    def progressed(self, status: Status) -> None:
        """Steps are in the files of the runs."""


def evaluations(run: Run) -> list[dict[str, Any]]:
    """The lines with an evaluation; the first is that of the start policy."""
    return [line for line in run.metrics if "eval/accuracy" in line]


def counted(run: Run) -> dict[str, float]:
    """Cost of a run, including a profile's rollouts, tokens and FLOPs, without evaluation.

    CPU seconds are those of the steps; a profiling pass is not included.
    """
    start, last = run.metrics[0], run.metrics[-1]
    return {
        "steps": last["step"],
        "updates": last["version"],
        "rollouts": last["total_rollouts"] + start.get("profile/rollouts", 0),
        "tokens": last["total_generated_tokens"],
        "profile_tokens": start["generated_tokens"],
        "flops": last["total_flops"],
        "cpu_seconds": cpu_seconds(run.metrics[1:]),
    }


def cpu_seconds(steps: Iterable[Mapping[str, Any]]) -> float:
    """CPU seconds of steps without evaluation, which is subtracted by its share of the wall time."""
    return sum(line["cpu_seconds"] * (1 - line["time/evaluate"] / line["seconds"]) for line in steps)


def made(run: Run) -> dict[str, str]:
    """Date, revision and machine of a run made by ``train``."""
    record = json.loads((run.directory / DONE).read_text())
    return {
        "date": record["date"],
        "revision": run.info["git_revision"][:REVISION_LETTERS],
        "machine": record.get("machine", ""),
    }


@functools.cache
def made_now() -> dict[str, str]:
    """Date, revision and machine of what this process measures itself."""
    command = ["git", "rev-parse", f"--short={REVISION_LETTERS}", "HEAD"]
    revision = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    return {"date": datetime.now(UTC).date().isoformat(), "revision": revision, "machine": machine()}


def made_words(measured: Iterable[Mapping[str, Any]]) -> str:
    """A sentence with the dates, revisions and machines of all that was measured; the oldest have none of them."""
    found: dict[str, set[tuple[str, str]]] = {}
    for one in (one for one in measured if "date" in one):
        found.setdefault(one.get("machine", ""), set()).add((one["date"], one["revision"]))
    parts = []
    for name, made in sorted(found.items()):
        when = ", ".join(f"{date} at revision {revision}" for date, revision in sorted(made))
        parts.append(f"{when}, on {name}" if name else when)
    return f"Measured {'; '.join(parts)}." if parts else "Date and revision were not kept."


def accuracies(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Sampled and greedy accuracy by hops, and their means over hops."""

    def mean(key: str) -> float:
        return statistics.fmean(line[key] for line in lines)

    by_hops = {f"{kind}_{hops}": mean(f"level_{hops}/{kind}") for kind in ("accuracy", "greedy") for hops in HOPS}
    means = {kind: statistics.fmean(by_hops[f"{kind}_{hops}"] for hops in HOPS) for kind in ("accuracy", "greedy")}
    return {"sampled": means["accuracy"], "greedy": means["greedy"], **by_hops}


def quarters(lines: Sequence[Line]) -> list[Sequence[Line]]:
    """The lines of a run, split into quarters."""
    size = len(lines) / 4
    return [lines[round(part * size) : round((part + 1) * size)] for part in range(4)]


# -- documents --------------------------------------------------------------------------------------------------------


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first line is its head."""
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body]) + "\n"


def plain_cell(text: str) -> str:
    """A text of a policy in a cell of a table, in one line and without marks."""
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def block(page: str, name: str) -> str | None:
    """The text between a page's markers of this name; None without markers."""
    found = _marked(name).search(page)
    return None if found is None else found[2]


def replace_block(path: Path, name: str, text: str) -> None:
    """Replace the text between the markers of this name."""
    page = path.read_text(encoding="utf-8")
    if block(page, name) is None:
        raise SystemExit(f"{path} has no markers of {name}: <!-- measured: {name} --> and <!-- end measured -->")
    path.write_text(_marked(name).sub(lambda found: found[1] + text + found[3], page), encoding="utf-8")


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- measured: {re.escape(name)} -->\n)(.*?)(<!-- end measured -->)", re.DOTALL)


# -- curves -----------------------------------------------------------------------------------------------------------


def drawn_arms(
    arms: Mapping[str, Sequence[Mapping[str, Any]]], colours: Sequence[str]
) -> dict[str, tuple[str, list[Any]]]:
    """Colour and curves of each arm, for ``accuracy_curves``."""
    return {
        arm: (colour, [run["curve"] for run in runs]) for (arm, runs), colour in zip(arms.items(), colours, strict=True)
    }


def accuracy_curves(
    arms: Mapping[str, tuple[str, Sequence[Sequence[tuple[float, float]]]]], *, x_label: str, description: str
) -> str:
    """A standalone SVG file of accuracy against cost: the mean over seeds, with their range as a band.

    Args:
        arms: name -> (colour, one curve of (cost, accuracy) per seed), from back to front.
        x_label: Name of the cost.
        description: The chart's message in a sentence, for assistive technology.
    """
    series = []
    for index, (name, (_, curves)) in enumerate(arms.items()):
        x, heights = on_one_grid([Curve(*zip(*curve, strict=True)) for curve in curves])
        band = (heights.min(axis=0).tolist(), heights.max(axis=0).tolist())
        series.append(Series(name, x, heights.mean(axis=0).tolist(), f"arm{index}", band=band))
    drawn = line_chart(
        series, title=f"Held-out accuracy by {x_label}", description=description, x_label=x_label, y_limits=(0.0, 1.0)
    )
    return standalone(drawn, [(name, color) for name, (color, _) in arms.items()])
