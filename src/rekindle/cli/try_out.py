"""`rekindle try`: a few rollouts before a run, what is wrong with them, and what the run would cost."""

import argparse

from rekindle.cli.messages import say
from rekindle.cli.options import add_config, resolved
from rekindle.types import UserError

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    tried = commands.add_parser("try", help="show a few rollouts and what a run would cost; nothing is written")
    add_config(tried)
    tried.add_argument("--prompts", type=int, default=3, metavar="N", help="prompts to show (default: 3)")
    tried.add_argument("--measure", type=int, default=64, metavar="N", help="rollouts to make (default: 64)")
    tried.set_defaults(run=_try)


def _try(options: argparse.Namespace) -> int:
    from rekindle.api.trying import try_out

    if options.prompts < 0:
        raise UserError(f"--prompts {options.prompts} must be at least 0; use e.g. --prompts 3")
    result = try_out(config=resolved(options), measure=options.measure, say=say)
    from rekindle.trial_words import trial_lines

    for line in trial_lines(result, options.prompts):
        print(line)
    return 0
