"""`rekindle verl`: a recipe on verl, whose command is checked, shown and run."""

import argparse
import os
import sys

from rekindle.cli.messages import say

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    verl = commands.add_parser(
        "verl",
        help="train on verl, over many GPUs",
        description="Checks a recipe with verl's configuration, shows the command of verl, and runs it.",
        epilog="e.g. rekindle verl --recipe recycle -- data.train_files=train.parquet actor_rollout_ref.rollout.n=8",
    )
    verl.add_argument("--recipe", metavar="NAME", help="recipe (see: rekindle recipes), or a TOML file with its tables")
    verl.add_argument(
        "--dry-run",
        "--print",
        action="store_true",
        dest="dry_run",
        help="only check, also with verl's own checks, and print the command",
    )
    verl.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="after --: what you would give python -m verl.trainer.main_ppo"
    )
    verl.set_defaults(run=_verl)


def _verl(options: argparse.Namespace) -> int:
    from rekindle.integrations.verl.settings.command import check_with_verl, command_of

    command = command_of(options.recipe, options.overrides)
    for path, value in command.decided.items():
        say(f"set by the recipe: {path}={value}")
    if options.dry_run:
        check_with_verl(command)
    print(command, flush=True)
    if options.dry_run:
        return 0
    sys.stderr.flush()
    os.execv(sys.executable, command.words)  # noqa: S606 (the command that the user asks for)
