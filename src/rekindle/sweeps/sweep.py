"""A sweep from its settings to its end: which runs, where, how many at a time, and what came of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rekindle.config import merge, parse_override, read_toml, renamed
from rekindle.interrupts import Interrupts
from rekindle.notices import Say
from rekindle.observability.formatting import counted
from rekindle.observability.rows import number
from rekindle.observability.runs import Run
from rekindle.recipes import begun_settings, resolve
from rekindle.sweeps.checks import checked, sensible_jobs, threads_of
from rekindle.sweeps.display import Display, plan_words
from rekindle.sweeps.manifest import LOGS, Manifest, check_directory, locked_sweep
from rekindle.sweeps.running import run_all
from rekindle.sweeps.runs import SweepRun, ended_before, finished_run, last_step
from rekindle.sweeps.status import State, Status, seconds_left

__all__ = ["Sweep", "SweepSettings", "make_sweep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """What a sweep is made of.

    Attributes:
        source: The configuration: a TOML file, or its nested tables.
        recipes: Names of recipes; None: that of the configuration.
        seeds: Seeds; None: that of the configuration.
        overrides: ``key.sub=value`` of ``--set``.
    """

    source: Path | Mapping[str, Any]
    recipes: Sequence[str] | None = None
    seeds: Sequence[int] | None = None
    overrides: Sequence[str] = ()

    @property
    def tables(self) -> dict[str, Any]:
        """Nested tables of the configuration and of the overrides."""
        found = read_toml(self.source) if isinstance(self.source, Path) else renamed(self.source, "config")
        for text in self.overrides:
            found = merge(found, parse_override(text))
        return found

    def runs(self, directory: Path) -> Iterator[SweepRun]:
        """All runs: first each recipe with the first seed, so that recipes can be compared early.

        Args:
            directory: Directory of the sweep.

        Raises:
            ConfigError: A configuration is not valid.
        """
        recipes = self.recipes or [str(self.tables.get("recipe", "grpo"))]
        for given in [None] if self.seeds is None else self.seeds:
            for recipe in recipes:
                seed = resolve(self.source, recipe, self.overrides, given).train.seed
                name = f"{recipe}-{seed}"
                place = directory / name
                yield SweepRun(
                    name=name,
                    config=resolve(self.source, recipe, self.overrides, seed, begun_settings(place)),
                    directory=place,
                    log=directory / LOGS / f"{name}.log",
                    command=self._command(place, recipe, seed),
                )

    def _command(self, place: Path, recipe: str, seed: int) -> tuple[str, ...]:
        """The command that makes a run alone; of tables, which have no file, with the settings that the run keeps."""
        if not isinstance(self.source, Path):
            return ("train", str(place / "config.toml"), "--out", str(place))
        overrides = (part for text in self.overrides for part in ("--set", text))
        return ("train", str(self.source), "--recipe", recipe, "--seed", str(seed), *overrides, "--out", str(place))


@dataclass(frozen=True, slots=True)
class Sweep:
    """What came of a sweep.

    Attributes:
        directory: Its directory, which ``rekindle.compare`` takes whole.
        statuses: State of every run, in the order of the seeds.
    """

    directory: Path
    statuses: Sequence[Status]

    @property
    def finished(self) -> bool:
        """Whether every run came to its end, or to a bound that it declares."""
        return all(one.state in {State.DONE, State.BOUND} for one in self.statuses)

    @property
    def runs(self) -> dict[str, Run]:
        """The files of the runs that have metrics, by name, e.g. ``grpo-0``.

        Raises:
            RunError: A file of a run is broken.
        """
        found = {one.run.name: finished_run(one.run) for one in self.statuses}
        return {name: run for name, run in found.items() if run is not None}


def make_sweep(
    settings: SweepSettings,
    directory: Path,
    *,
    jobs: int | None,
    resume: bool,
    command: Sequence[str],
    shown: bool,
    say: Say,
) -> Sweep:
    """Make the runs, or go on with them.

    Args:
        settings: Which runs.
        directory: Directory of the sweep.
        jobs: Runs made at the same time; None: what processors and memory allow.
        resume: Whether to go on with a sweep in the directory.
        command: The command, to be kept in ``sweep.json``.
        shown: Whether progress is shown on standard error.
        say: Shows a line to the user.

    Raises:
        UserError: A run cannot be made, or the directory has something else in it.
    """
    directory = directory.absolute()
    runs = list(settings.runs(directory))
    check_directory(directory, settings.tables, [run.name for run in runs], resume=resume)
    parameters, threads = checked(runs, say), threads_of(runs[0].config)
    with locked_sweep(directory, say) as inherited:
        statuses = [_status(run) for run in runs]
        to_make = [one.run for one in statuses if not one.ended]
        jobs = min(jobs or sensible_jobs(to_make or runs, parameters), max(1, len(to_make)))
        say(_announcement(statuses, jobs, threads))
        if to_make and seconds_left(statuses, jobs) is not None:
            say(plan_words(statuses, jobs))
        about = {"command": list(command), "settings": settings.tables, "jobs": jobs, "threads": threads}
        manifest = Manifest(directory, about, statuses)
        manifest.write()

        display = Display(statuses, jobs) if shown else None
        with suppress(KeyboardInterrupt), Interrupts(say) as interrupts, display or nullcontext():
            interrupts.begin()
            run_all(
                statuses,
                jobs=jobs,
                threads=threads,
                watches=(manifest,) if display is None else (manifest, display),
                interrupted=lambda: interrupts.asked,
                inherited=inherited,
            )
    return Sweep(directory, statuses)


def _status(run: SweepRun) -> Status:
    """Status of a run before the sweep begins or goes on."""
    status = Status(run, step=last_step(run))
    if (ending := ended_before(run)) and (found := finished_run(run)):
        last = found.metrics[-1] if found.metrics else {}
        status.found(State(ending), int(last.get("step", 0)), number(last, "total_seconds") or 0.0)
        status.why = found.bound
        status.accuracy = next(
            (number(one, "eval/accuracy") for one in found.metrics[::-1] if "eval/accuracy" in one), None
        )
    return status


def _announcement(statuses: Sequence[Status], jobs: int, threads: int) -> str:
    """``10 runs (2 recipes x 5 seeds), 4 of them ended already; 2 at a time, each with 1 thread``."""
    recipes = len({one.run.config.recipe for one in statuses})
    seeds = len({one.run.config.train.seed for one in statuses})
    ended = sum(one.ended for one in statuses)
    before = f", {ended} of them ended already" if ended else ""
    words = f"{counted(len(statuses), 'run')} ({counted(recipes, 'recipe')} x {counted(seeds, 'seed')}){before}"
    if ended == len(statuses):
        return words
    return f"{words}; {jobs} at a time, each with {counted(threads, 'thread')}"
