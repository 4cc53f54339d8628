"""`rekindle train`: trains a policy."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.cli.messages import say
from rekindle.cli.options import add_config, resolved, user_path

if TYPE_CHECKING:
    from rekindle.observability.runs import Run

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    train = commands.add_parser("train", help="train a policy")
    add_config(train)
    train.add_argument("--out", type=user_path, metavar="DIR", help="run directory (default: runs/CONFIG-RECIPE-SEED)")
    train.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint of --out, or start there"
    )
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from rekindle.api import train
    from rekindle.training.endings import Ending

    config = resolved(options)
    directory = options.out or Path("runs") / f"{options.config.stem}-{config.recipe}-{config.train.seed}"
    if options.resume:
        config = resolved(options, begun=directory)
    run = train(config=config, out=directory, resume=options.resume, say=say)
    _conclude(run)
    return Ending[run.ending.upper()].value


def _conclude(run: "Run") -> None:
    if run.ending == "bound":
        say(f"rekindle: stopped: {run.bound}")
    print(f"{'interrupted after' if run.ending == 'interrupted' else 'finished'} step {run.metrics[-1]['step']}")
    print(f"  accuracy       {_accuracy(run)}")
    print(f"  run directory  {run.directory}")
    print(f"  metrics        {run.directory / 'metrics.jsonl'}")
    print(f"  report         {run.directory / 'report.html'}")
    if run.ending == "interrupted":
        print("  to continue, repeat the command with --resume")


def _accuracy(run: "Run") -> str:
    from rekindle.observability.narrative import accuracy_change
    from rekindle.observability.summary import Summary

    change = accuracy_change(Summary(run), "accuracy")
    if change is None or change.end is None:
        return "not evaluated since the start"
    mean = f" (mean of the last {change.averaged} evaluations)" if change.averaged > 1 else ""
    return f"{change.start:.2f} -> {change.end:.2f} on held-out prompts{mean}"
