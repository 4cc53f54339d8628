"""Evaluations of `rekindle eval`, and the settings that their results depend on."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rekindle.assembly.bench import Workbench
from rekindle.assembly.prompt_rooms import warn_of_a_small_context
from rekindle.config import Config
from rekindle.config.facts import reward_name
from rekindle.environments.rewards import file_digests
from rekindle.evaluation.passes import OnProgress
from rekindle.evaluation.question_sets import EvaluationError, QuestionSet, all_tasks
from rekindle.evaluation.sampling_settings import Sampling
from rekindle.evaluation.set_pass import Results, evaluate_sets

__all__ = ["HELD_OUT", "JOURNAL", "evaluate_bench"]

HELD_OUT = "held-out"
JOURNAL = "journal.jsonl"
ELSEWHERE = {
    "retriever": {"index", "token_env", "timeout_seconds", "retries", "cache_size"},
    "judge": {"key_env", "max_calls", "timeout_seconds", "concurrency", "cache"},
}
"""Keys about access, not about results; they may change between an evaluation and its continuation."""


def evaluate_bench(
    bench: Workbench,
    sets: Sequence[QuestionSet],
    *,
    samples: int,
    sampling: Sampling,
    out: Path | None,
    transcripts: Sequence[Path],
    on_progress: OnProgress,
    interrupted: Callable[[], bool],
) -> Results | None:
    """Evaluate the workbench's policy, or continue an evaluation; None when interrupted.

    Args:
        bench: The policy, its engine and its verifier.
        sets: The questions; empty: the held-out prompts.
        samples: Rollouts per question.
        sampling: Limits and temperature.
        out: Directory of the journal, which is continued where it exists; None: no journal is kept.
        transcripts: See ``evaluate_sets``.
        on_progress: See ``evaluate_sets``.
        interrupted: See ``evaluate_sets``.

    Raises:
        EvaluationError: See ``evaluate_sets``.
    """
    chosen = list(sets) or [QuestionSet(HELD_OUT, bench.tasks.held_out)]
    tasks = all_tasks(chosen)
    if not tasks:
        raise EvaluationError("there are no held-out prompts; raise eval.prompts, or give --questions NAME=FILE")
    ready = replace(bench, config=sampling.applied(bench.config))
    if (longest := sampling.max_new_tokens) is not None:
        warn_of_a_small_context(f"--max-new-tokens {longest}", longest, bench.policy.max_length)
    with _journal(out) as journal:
        return evaluate_sets(
            ready.environment(tasks).play,
            chosen,
            samples=samples,
            temperature=1.0 if sampling.temperature is None else sampling.temperature,
            seed=bench.config.train.seed,
            success_at=bench.config.task.success_threshold,
            settings={"model": bench.policy.fingerprint(), **_settings(ready.config)},
            journal=journal,
            transcripts=transcripts,
            on_progress=on_progress,
            interrupted=interrupted,
        )


@contextmanager
def _journal(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out / JOURNAL
        return
    with tempfile.TemporaryDirectory(prefix="rekindle-eval-") as directory:
        yield Path(directory) / JOURNAL


def _settings(config: Config) -> dict[str, Any]:
    """Settings of rollouts and rewards besides policy, questions and temperature, by key of the configuration."""
    found = config.model_dump(mode="json")
    engine = found["engine"]
    kept: dict[str, dict[str, Any]] = {
        "engine": {"stop": engine["stop"]},
        "model": {
            **{name: found["model"][name] for name in ("dtype", "chat_template", "system_prompt")},
            # Only where they are set, so that evaluations of earlier versions can be continued.
            **{name: found["model"][name] for name in ("template", "template_variables") if found["model"][name]},
        },
        "task": {
            name: found["task"][name]
            for name in ("source", "environment", "name", "params", "verifier", "binary_rewards")
        },
        "verify": {"timeout_seconds": found["verify"]["timeout_seconds"]},
        **{
            table: {name: value for name, value in found[table].items() if name not in ELSEWHERE.get(table, ())}
            for table in ("search", "retriever", "judge")
        },
    }
    if config.rewards:  # only then, so that evaluations of earlier versions can be continued
        kept["rewards"] = {
            reward_name(one): [one.weight, file_digests(config).get(reward_name(one), "")] for one in config.rewards
        }
        kept["task"]["verifier_weight"] = found["task"]["verifier_weight"]
    flat = {f"{table}.{name}": value for table, values in kept.items() for name, value in values.items()}
    return {**{name: engine[name] for name in ("top_p", "min_p", "max_new_tokens")}, **flat}
