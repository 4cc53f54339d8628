"""`rekindle train`: trains a policy."""

import argparse
from pathlib import Path

from rekindle.cli.conclusion import conclude
from rekindle.cli.messages import say
from rekindle.cli.options import add_config, resolved, user_path
from rekindle.cli.sweep import is_sweep, sweep

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    train = commands.add_parser("train", help="train a policy")
    add_config(train)
    train.add_argument("--out", type=user_path, metavar="DIR", help="run directory (default: runs/CONFIG-RECIPE-SEED)")
    train.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint of --out, or start there"
    )
    several = train.add_argument_group("a sweep: runs of several recipes and seeds, by default in runs/CONFIG-sweep")
    several.add_argument("--seeds", metavar="LIST", help="e.g. 0-4 or 0,3,7")
    several.add_argument("--recipes", metavar="LIST", help="e.g. grpo,recycle")
    several.add_argument("--jobs", type=int, metavar="N", help="processes (default: what processors and memory allow)")
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    if is_sweep(options):
        return sweep(options)
    from rekindle.api.training import train
    from rekindle.records.endings import Ending

    config = resolved(options)
    directory = options.out or Path("runs") / f"{options.config.stem}-{config.recipe}-{config.train.seed}"
    if options.resume:
        config = resolved(options, begun=directory)
    run = train(config=config, out=directory, resume=options.resume, say=say)
    conclude(run)
    return Ending[run.ending.upper()].value
