"""`rekindle train`."""

import argparse
import sys
from pathlib import Path

from rekindle.cli.interrupts import Interrupts, say
from rekindle.cli.options import add_config, resolved
from rekindle.training import run_directory

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    train = commands.add_parser("train", help="train a policy")
    add_config(train)
    train.add_argument("--out", type=Path, metavar="DIR", help="run directory (default: runs/CONFIG-RECIPE-SEED)")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint of --out, or start there")
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    config = resolved(options)
    directory = options.out or Path("runs") / f"{options.config.stem}-{config.recipe}-{config.train.seed}"
    from rekindle.assembly import open_run
    from rekindle.observability.progress import Progress
    from rekindle.observability.report import write_report
    from rekindle.planning import write_null_control
    from rekindle.warm_starts.stage import start_model

    run_directory.check(config, directory, resume=options.resume)
    with Interrupts() as interrupts:
        progress = Progress(config.train.steps, config.train.rollouts)
        with (
            open_run(
                config,
                directory,
                start=start_model(config, say),
                resume=options.resume,
                observer=lambda *_: progress,
                say=say,
                interrupted=lambda: interrupts.asked,
            ) as loop,
            progress,
        ):
            ending = loop.run(lambda: interrupts.asked)
    write_null_control(config, directory)
    report = write_report(directory)
    if ending.name == "BOUND":
        print(f"rekindle: stopped: {loop.bound}", file=sys.stderr)
    print(f"{'interrupted after' if ending.name == 'INTERRUPTED' else 'finished'} step {loop.step}")
    print(f"  accuracy       {_accuracy(directory)}")
    print(f"  run directory  {directory}")
    print(f"  metrics        {directory / 'metrics.jsonl'}")
    print(f"  report         {report}")
    if ending.name == "INTERRUPTED":
        print("  to go on, repeat the command with --resume")
    return ending.value


def _accuracy(directory: Path) -> str:
    """From the start to the mean of the last three evaluations, as the single ones swing."""
    from rekindle.observability.runs import load_run

    found = [line["eval/accuracy"] for line in load_run(directory).metrics if "eval/accuracy" in line]
    if len(found) < 2:
        return "not evaluated since the start"
    late = found[1:][-3:]
    return (
        f"{found[0]:.2f} -> {sum(late) / len(late):.2f} on held-out prompts (mean of the last {len(late)} evaluations)"
    )
