"""The command line and its exit codes.

Exit codes: 0 done; 2 bad usage or configuration (one message without traceback); 3 stopped by a declared bound;
130 interrupted (a checkpoint is written first);
141 nobody reads the output any more, as with `| head`.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rekindle import __version__
from rekindle.cli import compare, evaluate, export, init, plan, profile, serve_retriever, train, try_out, verl
from rekindle.cli.messages import messages
from rekindle.cli.options import user_path
from rekindle.cli.readers import READER_GONE, flushed, reader_is_gone
from rekindle.failures import sentence_of
from rekindle.heap import freeze_until_the_end

if TYPE_CHECKING:
    from rekindle.config import Config

__all__ = ["entry", "main"]

BAD_USAGE, INTERRUPTED = 2, 130


def entry() -> None:
    """The ``rekindle`` command."""
    try:
        code: int | str | None = main(sys.argv[1:])
    except SystemExit as end:  # of the help and of bad usage
        code = end.code
    except BrokenPipeError:  # of the sentence about another error
        if not reader_is_gone():
            raise
        code = READER_GONE
    freeze_until_the_end()
    sys.exit(flushed(code))


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        with messages.collected():
            run: Callable[[argparse.Namespace], int] = options.run
            return run(options)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_is_gone():
            return READER_GONE
        again = "repeat the command with --resume" if "resume" in options else "repeat the command"
        if (sentence := sentence_of(error, again)) is None:
            raise
        for line in sentence.splitlines():
            messages.say(f"rekindle: {line}")
        return BAD_USAGE
    except KeyboardInterrupt as interrupt:
        messages.say(f"rekindle: interrupted {interrupt}".rstrip())
        _forget_the_interrupt()
        return INTERRUPTED


def _forget_the_interrupt() -> None:
    """Let ``python -m rekindle`` end with the exit code of ``main``.

    CPython notes that an interrupt came through ``exec`` of a text (dataclasses use it), and then kills its own process
    by the signal, although the interrupt was caught. The next text that is executed clears the note.
    """
    exec("")  # noqa: S102


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rekindle", description="Reinforcement learning with verifiable rewards in which every rollout counts."
    )
    parser.add_argument("--version", action="version", version=f"rekindle {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (init, try_out, train, profile, plan, evaluate, compare, export, serve_retriever, verl):
        command.add(commands)
    report = commands.add_parser("report", help="write a run's report.html")
    report.add_argument("directory", type=user_path, metavar="DIR", help="run directory")
    report.set_defaults(run=_report)
    commands.add_parser("recipes", help="list the recipes").set_defaults(run=_recipes)
    doctor = commands.add_parser("doctor", help="check this machine and installation")
    doctor.add_argument(
        "--confinement", action="store_true", help="show what scorers in worker processes cannot do here, and elsewhere"
    )
    doctor.set_defaults(run=_doctor)
    return parser


def _report(options: argparse.Namespace) -> int:
    from rekindle.observability.report import write_report

    print(write_report(options.directory))
    return 0


def _recipes(_: argparse.Namespace) -> int:
    from rekindle.recipes import RECIPES

    for name, recipe in RECIPES.items():
        print(f"{name:<22} {_summary(recipe)}")
    return 0


def _summary(recipe: "Callable[[], Config]") -> str:
    """First line of the module that documents the recipe."""
    return (sys.modules[recipe.__module__].__doc__ or "").strip().splitlines()[0]


def _doctor(options: argparse.Namespace) -> int:
    from rekindle.doctor import confinement_table, examine

    if options.confinement:
        print(confinement_table())
        return 0
    healthy = True
    for check in examine():
        print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<14} {check.finding}")
        healthy &= check.ok
    return 0 if healthy else BAD_USAGE
