"""The command line.

Exit codes: 0 done; 2 bad usage or configuration (one clear message, no traceback); 3 stopped by a declared bound;
130 interrupted (a checkpoint is written first).
"""

import argparse
import json
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rekindle import __version__
from rekindle.config import Config
from rekindle.recipes import RECIPES, resolve
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.evaluation.evaluator import Evaluation

__all__ = ["entry", "main"]

BAD_USAGE, INTERRUPTED = 2, 130


def entry() -> None:
    """The ``rekindle`` command."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except UserError as error:
        for line in str(error).splitlines():
            print(f"rekindle: {line}", file=sys.stderr)
        return BAD_USAGE
    except (OSError, sqlite3.OperationalError) as error:
        print(
            f"rekindle: a file could not be read or written ({error}); look at free space and permissions, and "
            "go on with --resume",
            file=sys.stderr,
        )
        return BAD_USAGE
    except ModuleNotFoundError as error:
        if error.name not in {"torch", "transformers", "tokenizers", "safetensors"}:
            raise
        print(f'rekindle: {error.name} is not installed; run: pip install "rekindle[train]"', file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print("rekindle: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rekindle", description="Reinforcement learning with verifiable rewards in which every rollout counts."
    )
    parser.add_argument("--version", action="version", version=f"rekindle {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a policy")
    _add_config(train)
    train.add_argument("--out", type=Path, metavar="DIR", help="run directory (default: runs/CONFIG-RECIPE-SEED)")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint of --out, or start there")
    train.set_defaults(run=_train)

    evaluate = commands.add_parser("eval", help="measure a policy on held-out prompts")
    _add_config(evaluate)
    evaluate.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="a run, a checkpoint or a model directory (default: the start policy)",
    )
    evaluate.add_argument("--samples", type=int, default=8, metavar="N", help="rollouts per prompt (default: 8)")
    evaluate.add_argument("--k", default="1", metavar="K,...", help="report pass@k for these (default: 1)")
    evaluate.add_argument("--temperature", type=float, default=1.0, metavar="T", help="0 is greedy (default: 1)")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="also write the results, with every answer")
    evaluate.set_defaults(run=_eval)

    report = commands.add_parser("report", help="write a run's report.html")
    report.add_argument("directory", type=Path, metavar="DIR", help="run directory")
    report.set_defaults(run=_report)

    commands.add_parser("recipes", help="list the recipes").set_defaults(run=_recipes)
    commands.add_parser("doctor", help="check this machine and installation").set_defaults(run=_doctor)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
    parser.add_argument("--recipe", metavar="NAME", help="preset under the file's keys (see: rekindle recipes)")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="e.g. train.steps=100; repeatable",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="short for --set train.seed=N")


def _resolve(options: argparse.Namespace) -> Config:
    return resolve(options.config, options.recipe, options.overrides, options.seed)


# -- train ------------------------------------------------------------------------------------------------------------


def _train(options: argparse.Namespace) -> int:
    config = _resolve(options)
    directory = options.out or Path("runs") / f"{options.config.stem}-{config.recipe}-{config.train.seed}"
    from rekindle.assembly import open_run, write_null_control
    from rekindle.observability.progress import Progress
    from rekindle.observability.report import write_report

    with _Interrupts() as interrupts:
        progress = Progress(config.train.steps, config.train.rollouts)
        with (
            open_run(config, directory, resume=options.resume, observer=lambda *_: progress, say=_say) as loop,
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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Interrupts:
    """Ctrl-C or a termination signal asks the run to stop after its step; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "_Interrupts":
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        _say("interrupted: stopping after this step (once more to stop at once) ...")


# -- the other commands -----------------------------------------------------------------------------------------------


def _eval(options: argparse.Namespace) -> int:
    ks = _ks(options.k, options.samples)
    if options.temperature < 0:
        raise UserError(f"--temperature {options.temperature} is negative; use 0 for greedy, or more")
    config = _resolve(options)
    from rekindle.assembly import model_directory, workbench

    with workbench(config, model_directory(options.checkpoint), say=_say) as bench:
        evaluation = bench.evaluate(options.samples, options.temperature)
    prompts = len(evaluation.task_ids)
    _say(f"{prompts} held-out prompts, {options.samples} rollouts each, temperature {options.temperature:g}")
    for k in ks:
        print(f"pass@{k}  {evaluation.pass_at(k):.4f}  +- {evaluation.standard_error(k):.4f}")
    if evaluation.failed:
        _say(f"{evaluation.failed} prompts could not be played and count as never solved")
    if options.json:
        options.json.write_text(
            json.dumps(_evaluation_json(evaluation, ks), ensure_ascii=False, indent=1), encoding="utf-8"
        )
    return 0


def _ks(text: str, samples: int) -> list[int]:
    try:
        ks = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--k {text}: expected numbers separated by commas, e.g. --k 1,8") from None
    if samples < 1 or not all(1 <= k <= samples for k in ks):
        raise UserError(f"--k {text} with --samples {samples}: every k must be between 1 and the number of samples")
    return ks


def _evaluation_json(evaluation: "Evaluation", ks: Sequence[int]) -> dict[str, object]:
    columns = zip(evaluation.task_ids, evaluation.successes, evaluation.texts, strict=True)
    return {
        "samples": evaluation.samples,
        "pass_at": {str(k): evaluation.pass_at(k) for k in ks},
        "standard_error": {str(k): evaluation.standard_error(k) for k in ks},
        "prompts": [{"id": name, "correct": correct, "answers": texts} for name, correct, texts in columns],
    }


def _report(options: argparse.Namespace) -> int:
    from rekindle.observability.report import write_report

    print(write_report(options.directory))
    return 0


def _recipes(_: argparse.Namespace) -> int:
    for name, recipe in RECIPES.items():
        print(f"{name:<14} {_summary(recipe)}")
    return 0


def _summary(recipe: Callable[[], Config]) -> str:
    """First line of the module that documents the recipe."""
    return (sys.modules[recipe.__module__].__doc__ or "").strip().splitlines()[0]


def _doctor(_: argparse.Namespace) -> int:
    from rekindle.doctor import examine

    healthy = True
    for check in examine():
        print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<14} {check.finding}")
        healthy &= check.ok
    return 0 if healthy else BAD_USAGE
