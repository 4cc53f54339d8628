"""`rekindle train`: trains a policy.

Checks come in this order, the cheapest first: options and configuration, run directory, model files, task files. Only
then torch is imported.
"""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.cli.interrupts import Interrupts
from rekindle.cli.messages import say
from rekindle.cli.options import add_config, resolved, user_path

if TYPE_CHECKING:
    from rekindle.config import Config
    from rekindle.observability.progress import Progress
    from rekindle.preflight import PolicyFiles
    from rekindle.tasks.task_set import TaskSet
    from rekindle.training.endings import Ending
    from rekindle.training.loop import TrainingLoop

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
    config = resolved(options)
    directory = options.out or Path("runs") / f"{options.config.stem}-{config.recipe}-{config.train.seed}"
    if options.resume:
        config = resolved(options, begun=directory)
    from rekindle.training import run_directory

    run_directory.check(config, directory, resume=options.resume)
    with Interrupts() as interrupts:
        tasks, policy = _look(config, directory)
        with _opened(config, directory, tasks, policy, options.resume, interrupts) as loop:
            ending = loop.run(lambda: interrupts.asked)
    _conclude(config, directory, ending, loop)
    return ending.value


def _look(config: "Config", directory: Path) -> "tuple[TaskSet, PolicyFiles]":
    """The tasks of the run and its policy, after checks of their files; shows which model is loaded next."""
    from rekindle.observability.trackers import check_trackers
    from rekindle.preflight import check_retriever, check_rewards, check_training, policy_files, task_set
    from rekindle.training.run_directory import last_checkpoint, model_commit

    check_trackers(config)
    checkpoint = last_checkpoint(directory)
    policy = policy_files(config, checkpoint and checkpoint / "model", say, commit=model_commit(directory))
    check_retriever(config)
    tasks = task_set(config, say)
    check_rewards(config, tasks)
    check_training(config, tasks)
    say(policy.loading)
    return tasks, policy


@contextmanager
def _opened(
    config: "Config",
    directory: Path,
    tasks: "TaskSet",
    policy: "PolicyFiles",
    resume: bool,
    interrupts: Interrupts,
) -> "Iterator[TrainingLoop]":
    """Training loop of the run, with a progress display."""
    from rekindle.assembly import open_run
    from rekindle.observability.progress import Progress
    from rekindle.warm_starts.stage import start_model

    interrupts.check()
    progress = Progress(config.train.steps, config.train.rollouts)
    with (
        open_run(
            config,
            directory,
            start=lambda: start_model(config, say, tasks, policy.source),
            resume=resume,
            observer=lambda step, _: _RunDisplay(progress, interrupts, begun=step > 0),
            say=say,
            interrupted=lambda: interrupts.asked,
            tasks=tasks,
            commit=policy.commit,
        ) as loop,
        progress,
    ):
        yield loop


class _RunDisplay:
    """Progress display that also begins the interruptible steps: after the first evaluation, or with a resume."""

    def __init__(self, progress: "Progress", interrupts: Interrupts, *, begun: bool) -> None:
        self._progress, self._interrupts = progress, interrupts
        if begun:
            interrupts.begin()

    def step(self, metrics: Mapping[str, object]) -> None:
        self._interrupts.begin()
        self._progress.step(metrics)

    def warn(self, text: str) -> None:
        self._progress.warn(text)


def _conclude(config: "Config", directory: Path, ending: "Ending", loop: "TrainingLoop") -> None:
    from rekindle.observability.report import write_report
    from rekindle.planning import write_null_control

    say("writing the report ...")
    write_null_control(config, directory)
    report = write_report(directory)
    if ending.name == "BOUND":
        say(f"rekindle: stopped: {loop.bound}")
    print(f"{'interrupted after' if ending.name == 'INTERRUPTED' else 'finished'} step {loop.step}")
    print(f"  accuracy       {_accuracy(directory)}")
    print(f"  run directory  {directory}")
    print(f"  metrics        {directory / 'metrics.jsonl'}")
    print(f"  report         {report}")
    if ending.name == "INTERRUPTED":
        print("  to continue, repeat the command with --resume")


def _accuracy(directory: Path) -> str:
    from rekindle.observability.narrative import accuracy_change
    from rekindle.observability.runs import load_run
    from rekindle.observability.summary import Summary

    change = accuracy_change(Summary(load_run(directory)), "accuracy")
    if change is None or change.end is None:
        return "not evaluated since the start"
    mean = f" (mean of the last {change.averaged} evaluations)" if change.averaged > 1 else ""
    return f"{change.start:.2f} -> {change.end:.2f} on held-out prompts{mean}"
