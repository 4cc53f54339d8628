"""`rekindle train --seeds --recipes`: the runs of several recipes and seeds, one directory for all."""

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekindle.cli.messages import say
from rekindle.cli.options import recipe_named, resolved

if TYPE_CHECKING:
    from rekindle.sweeps import Status, SweepRun

__all__ = ["is_sweep", "sweep"]

DONE, FAILED, BOUND, INTERRUPTED = 0, 2, 3, 130


def is_sweep(options: argparse.Namespace) -> bool:
    """Whether the options name a sweep.

    Raises:
        ConfigError: They contradict one another.
    """
    from rekindle.config import ConfigError

    for one, many in (("seed", "seeds"), ("recipe", "recipes")):
        if getattr(options, one) is not None and getattr(options, many) is not None:
            raise ConfigError(f"--{one} and --{many} exclude each other; use --{many} for a sweep, --{one} for a run")
    is_one = options.seeds is not None or options.recipes is not None
    if options.jobs is not None and not is_one:
        raise ConfigError("--jobs is for a sweep; name its seeds or recipes, e.g. --seeds 0-4")
    if options.jobs is not None and options.jobs < 1:
        raise ConfigError(f"--jobs {options.jobs} makes no run; give at least 1")
    return is_one


def sweep(options: argparse.Namespace) -> int:
    """Make the runs; return the exit code."""
    from rekindle.sweeps.checks import checked, sensible_jobs, threads_of
    from rekindle.sweeps.display import plan_words
    from rekindle.sweeps.manifest import Manifest, check_directory, locked_sweep
    from rekindle.sweeps.status import seconds_left

    directory: Path = (options.out or Path("runs") / f"{options.config.stem}-sweep").absolute()
    runs = list(_runs(options, directory))
    settings = _settings(options)
    check_directory(directory, settings, [run.name for run in runs], resume=options.resume)
    parameters, threads = checked(runs, say), threads_of(runs[0].config)
    with locked_sweep(directory, say) as inherited:
        statuses = [_status(run) for run in runs]
        to_make = [one.run for one in statuses if not one.ended]
        jobs = min(options.jobs or sensible_jobs(to_make or runs, parameters), max(1, len(to_make)))
        say(_announcement(statuses, jobs, threads))
        if to_make and seconds_left(statuses, jobs) is not None:
            say(plan_words(statuses, jobs))
        about = {"command": sys.argv[1:], "settings": settings, "jobs": jobs, "threads": threads}
        manifest = Manifest(directory, about, statuses)
        manifest.write()
        _make(statuses, jobs, threads, manifest, inherited)
    _conclude(statuses, directory)
    return _exit_code(statuses)


def _runs(options: argparse.Namespace, directory: Path) -> "Iterator[SweepRun]":
    """All runs: first each recipe with the first seed, so that recipes can be compared early.

    Raises:
        ConfigError: An option or a configuration is not valid.
    """
    from rekindle.sweeps import SweepRun
    from rekindle.sweeps.manifest import LOGS
    from rekindle.sweeps.names import named_recipes, named_seeds

    seeds: Sequence[int | None] = [options.seed] if options.seeds is None else named_seeds(options.seeds)
    recipes = [recipe_named(options)] if options.recipes is None else named_recipes(options.recipes)
    overrides = [part for text in options.overrides for part in ("--set", text)]
    for given in seeds:
        for recipe in recipes:
            one = argparse.Namespace(**{**vars(options), "recipe": recipe, "seed": given})
            seed = resolved(one).train.seed
            name = f"{recipe}-{seed}"
            place = directory / name
            own = ["--recipe", recipe, "--seed", str(seed), *overrides, "--out", str(place)]
            yield SweepRun(
                name=name,
                config=resolved(one, begun=place),
                directory=place,
                log=directory / LOGS / f"{name}.log",
                command=("train", str(options.config), *own),
            )


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Nested tables of the configuration file and of --set."""
    from rekindle.config import merge, parse_override, read_toml

    settings = read_toml(options.config)
    for text in options.overrides:
        settings = merge(settings, parse_override(text))
    return settings


def _status(run: "SweepRun") -> "Status":
    """Status of a run before the sweep begins or goes on."""
    from rekindle.observability.rows import number
    from rekindle.sweeps import State, Status
    from rekindle.sweeps.runs import ended_before, finished_run, last_step

    status = Status(run, step=last_step(run))
    if (ending := ended_before(run)) and (found := finished_run(run)):
        last = found.metrics[-1]
        status.found(State(ending), int(last["step"]), number(last, "total_seconds") or 0.0)
        status.why = found.bound
        status.accuracy = next(
            (number(one, "eval/accuracy") for one in found.metrics[::-1] if "eval/accuracy" in one), None
        )
    return status


def _announcement(statuses: "Sequence[Status]", jobs: int, threads: int) -> str:
    """``10 runs (2 recipes x 5 seeds), 4 of them ended already; 2 at a time, each with 1 thread``."""
    from rekindle.observability.formatting import counted

    recipes = len({one.run.config.recipe for one in statuses})
    seeds = len({one.run.config.train.seed for one in statuses})
    ended = sum(one.ended for one in statuses)
    before = f", {ended} of them ended already" if ended else ""
    words = f"{counted(len(statuses), 'run')} ({counted(recipes, 'recipe')} x {counted(seeds, 'seed')}){before}"
    if ended == len(statuses):
        return words
    return f"{words}; {jobs} at a time, each with {counted(threads, 'thread')}"


def _make(statuses: "Sequence[Status]", jobs: int, threads: int, manifest: Any, inherited: Sequence[int]) -> None:
    """Make the runs that have not ended, until an interruption."""
    from rekindle.interrupts import Interrupts
    from rekindle.sweeps import run_all
    from rekindle.sweeps.display import Display

    with suppress(KeyboardInterrupt), Interrupts(say) as interrupts, Display(statuses, jobs) as display:
        interrupts.begin()
        run_all(
            statuses,
            jobs=jobs,
            threads=threads,
            watches=(manifest, display),
            interrupted=lambda: interrupts.asked,
            inherited=inherited,
        )


def _conclude(statuses: "Sequence[Status]", directory: Path) -> None:
    """Show what came of every run, and what to do next."""
    from rekindle.sweeps import State
    from rekindle.sweeps.display import state_words

    width = max(len(one.run.name) for one in statuses)
    for one in statuses:
        why = f": {one.why}" if one.why else ""
        print(f"{one.run.name:<{width}}  {state_words(one)}{_result(one)}{why}")
        if one.state is State.FAILED:
            print(f"{'':<{width}}  log: {one.run.log}")
    if any(one.state in {State.WAITING, State.INTERRUPTED, State.FAILED} for one in statuses):
        print("to continue, repeat the command with --resume")
    else:
        print("next")
        print(f"  {shlex.join(['rekindle', 'compare', str(directory), '--out', str(directory / 'compare.html')])}")


def _result(status: "Status") -> str:
    """How the held-out accuracy changed; "" where it is not known."""
    from rekindle.cli.conclusion import accuracy_words
    from rekindle.observability.summary import Summary
    from rekindle.sweeps.runs import finished_run
    from rekindle.types import UserError

    try:
        found = finished_run(status.run)
        words = accuracy_words(Summary(found), "accuracy") if found else ""
    except UserError:  # a damaged file: the run has said so itself
        words = ""
    return f", accuracy {words}" if words else ""


def _exit_code(statuses: "Sequence[Status]") -> int:
    from rekindle.sweeps import State

    states = {one.state for one in statuses}
    if State.INTERRUPTED in states or State.WAITING in states:
        return INTERRUPTED
    return FAILED if State.FAILED in states else BOUND if State.BOUND in states else DONE
