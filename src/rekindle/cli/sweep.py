"""`rekindle train --seeds --recipes`: the runs of several recipes and seeds, one directory for all."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.cli.messages import say

if TYPE_CHECKING:
    from rekindle.sweeps import Status

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
    from rekindle.api.sweeping import sweep
    from rekindle.cli.options import recipe_named
    from rekindle.sweeps.names import named_recipes, named_seeds

    made = sweep(
        options.config,
        recipes=[recipe_named(options)] if options.recipes is None else named_recipes(options.recipes),
        seeds=named_seeds(options.seeds) if options.seeds is not None else _one_seed(options),
        overrides=options.overrides,
        out=options.out,
        jobs=options.jobs,
        resume=options.resume,
        say=say,
    )
    _conclude(made.statuses, made.directory)
    return _exit_code(made.statuses)


def _one_seed(options: argparse.Namespace) -> list[int] | None:
    return None if options.seed is None else [options.seed]


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
