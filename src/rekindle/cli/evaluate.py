"""`rekindle eval`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.cli.interrupts import say
from rekindle.cli.options import add_config, resolved
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.evaluation.evaluator import Evaluation

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    evaluate = commands.add_parser("eval", help="measure a policy on held-out prompts")
    add_config(evaluate)
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


def _eval(options: argparse.Namespace) -> int:
    ks = _ks(options.k, options.samples)
    if options.temperature < 0:
        raise UserError(f"--temperature {options.temperature} is negative; use 0 for greedy, or more")
    config = resolved(options)
    from rekindle.assembly import model_directory, workbench

    with workbench(config, model_directory(options.checkpoint), say=say) as bench:
        evaluation = bench.evaluate(options.samples, options.temperature)
    prompts = len(evaluation.task_ids)
    say(f"{prompts} held-out prompts, {options.samples} rollouts each, temperature {options.temperature:g}")
    for k in ks:
        print(f"pass@{k}  {evaluation.pass_at(k):.4f}  +- {evaluation.standard_error(k):.4f}")
    if evaluation.failed:
        say(f"{evaluation.failed} prompts could not be played and count as never solved")
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
