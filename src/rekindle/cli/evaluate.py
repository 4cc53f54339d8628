"""`rekindle eval`: accuracy of a policy on held-out prompts or question sets."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.cli.messages import messages, say
from rekindle.cli.options import add_config, resolved, user_path
from rekindle.observability.formatting import duration
from rekindle.observability.warnings_log import WARNINGS
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.evaluation.set_pass import Results

__all__ = ["add"]

RESULTS, TABLE, TRANSCRIPTS = "results.json", "table.md", "transcripts.jsonl"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    evaluate = commands.add_parser("eval", help="measure a policy on held-out prompts or question sets")
    add_config(evaluate)
    evaluate.add_argument(
        "--checkpoint",
        type=user_path,
        metavar="DIR",
        help="a run, a checkpoint or a model directory (default: the start policy)",
    )
    evaluate.add_argument(
        "--questions",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a question set (JSONL, JSON, TSV, Parquet); repeatable (default: the held-out prompts)",
    )
    evaluate.add_argument("--samples", type=int, default=8, metavar="N", help="rollouts per prompt (default: 8)")
    evaluate.add_argument("--k", default="1", metavar="K,...", help="report pass@k for these (default: 1)")
    _add_sampling(evaluate)
    evaluate.add_argument(
        "--out",
        type=user_path,
        metavar="DIR",
        help=f"keep {RESULTS}, {TABLE}, {TRANSCRIPTS}, {WARNINGS} and a journal there; repeat the command to continue",
    )
    evaluate.add_argument("--json", type=user_path, metavar="FILE", help="also write the results, with every answer")
    evaluate.add_argument("--markdown", type=user_path, metavar="FILE", help="also write the table in Markdown")
    evaluate.add_argument("--transcripts", type=user_path, metavar="FILE", help="also write every rollout, a line each")
    evaluate.set_defaults(run=_eval)


def _add_sampling(evaluate: argparse.ArgumentParser) -> None:
    configured = "default: the configuration's"
    evaluate.add_argument("--temperature", type=float, metavar="T", help="0 is greedy (default: 1)")
    evaluate.add_argument("--top-p", type=float, metavar="P", help=f"nucleus of probability P ({configured})")
    evaluate.add_argument("--min-p", type=float, metavar="P", help=f"least probability, relative ({configured})")
    evaluate.add_argument("--max-new-tokens", type=int, metavar="N", help=f"longest completion ({configured})")
    evaluate.add_argument(
        "--sampling",
        choices=("config", "model"),
        default="config",
        help="model: temperature, top_p and min_p of the model's generation_config.json, where they are not given",
    )


def _eval(options: argparse.Namespace) -> int:
    from rekindle.api.evaluating import evaluate

    ks = _ks(options.k, options.samples)
    _check(options)
    results = evaluate(
        config=resolved(options),
        checkpoint=options.checkpoint,
        questions=_question_files(options.questions),
        samples=options.samples,
        temperature=options.temperature,
        top_p=options.top_p,
        min_p=options.min_p,
        max_new_tokens=options.max_new_tokens,
        sampling=options.sampling,
        out=options.out,
        transcripts=_files(options.transcripts, options.out, TRANSCRIPTS),
        progress=_progress,
        say=say,
    )
    _report(results, ks, options)
    return 0


def _what(options: argparse.Namespace) -> str:
    return "questions" if options.questions else "held-out prompts"


def _report(results: "Results", ks: Sequence[int], options: argparse.Namespace) -> None:
    from rekindle.evaluation.tables import json_table, markdown_table, text_table

    overall = results.over_questions(ks)
    temperature = results.settings["temperature"]
    say(f"{overall.questions} {_what(options)}, {results.samples} rollouts each, temperature {temperature:g}")
    if not options.questions:
        for k in ks:
            error = overall.standard_error[k]
            print(f"pass@{k}  {overall.pass_at[k]:.4f}  +- {'-' if error is None else f'{error:.4f}'}")
    print(text_table(results, ks), end="")
    if overall.void:
        say(f"{overall.void} prompts could not be played and count as never solved")
    if overall.failures:
        why = ", ".join(f"{name} {count}" for name, count in overall.failures.items())
        say(f"{sum(overall.failures.values())} rollouts have no judgement and count as failed: {why}")
    for path in _files(options.json, options.out, RESULTS):
        _write(path, json_table(results, ks))
    for path in _files(options.markdown, options.out, TABLE):
        _write(path, markdown_table(results, ks))


def _write(path: Path, text: str) -> None:
    from rekindle.evaluation.atomic_write import atomic_write

    with atomic_write(path, UserError, "choose another file") as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def _files(chosen: Path | None, out: Path | None, name: str) -> list[Path]:
    """Files of a result: the chosen one, and the one in the directory of --out."""
    return [path for path in (chosen, out and out / name) if path is not None]


def _progress(done: int, total: int, left: float) -> None:
    messages.status(f"eval: {done:,} of {total:,} questions, {duration(left)} left", last=done == total)


# -- options -----------------------------------------------------------------------------------------------------------


def _ks(text: str, samples: int) -> list[int]:
    try:
        ks = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--k {text}: expected numbers separated by commas, e.g. --k 1,8") from None
    if samples < 1 or not all(1 <= k <= samples for k in ks):
        raise UserError(f"--k {text} with --samples {samples}: every k must be between 1 and the number of samples")
    return list(dict.fromkeys(ks))


def _check(options: argparse.Namespace) -> None:
    for path in filter(None, (options.json, options.markdown, options.transcripts)):
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise UserError(f"{path} cannot be written; give a file in a directory that exists and can be written")


def _question_files(chosen: Sequence[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for text in chosen:
        name, separator, path = text.partition("=")
        if not separator or not name.strip() or not path:
            raise UserError(f"--questions {text}: expected NAME=FILE, e.g. --questions nq=NQ-open.dev.jsonl")
        if name in named:
            raise UserError(f"--questions {text}: there is another set of this name; give each its own")
        named[name] = user_path(path)
    return named
