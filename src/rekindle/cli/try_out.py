"""`rekindle try`: a few rollouts before a run, what is wrong with them, and what the run would cost."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rekindle.cli.messages import say
from rekindle.cli.options import add_config, resolved
from rekindle.observability.formatting import excerpt
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.trial import TrialResult

__all__ = ["add"]

LONGEST = 1200
"""Most characters of a prompt or completion that are shown."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    tried = commands.add_parser("try", help="show a few rollouts and what a run would cost; nothing is written")
    add_config(tried)
    tried.add_argument("--prompts", type=int, default=3, metavar="N", help="prompts to show (default: 3)")
    tried.add_argument("--measure", type=int, default=64, metavar="N", help="rollouts to make (default: 64)")
    tried.set_defaults(run=_try)


def _try(options: argparse.Namespace) -> int:
    for name, least in (("prompts", 0), ("measure", 2)):
        if (value := getattr(options, name)) < least:
            raise UserError(f"--{name} {value} must be at least {least}; use e.g. --{name} {3 if least == 0 else 64}")
    config = resolved(options)
    from rekindle.given import NOTHING
    from rekindle.interrupts import Interrupts
    from rekindle.trial import Trial
    from rekindle.trial_words import forecast, problems

    with Interrupts(say):
        result = Trial(config, NOTHING, say, options.measure).run()
    for line in (*_shown(result, options.prompts), *forecast(result), *problems(result)):
        print(line)
    return 0


def _shown(result: "TrialResult", prompts: int) -> Iterator[str]:
    """Prompts as the model sees them, with the best and the worst completion of each."""
    from rekindle.trial_words import reason

    for group in result.written[:prompts]:
        yield f"--- {excerpt(group[0].task.id, 80)}: the prompt as the model sees it"
        yield excerpt(group[0].prompt, LONGEST)
        ranked = sorted(group, key=lambda one: one.rollout.reward)
        for one in [ranked[-1], *ranked[:1]] if len(ranked) > 1 else ranked:
            yield f"--- a completion; reward {one.rollout.reward:g}: {reason(result.config, one)}"
            yield excerpt(one.completion, LONGEST)
        yield ""
