"""Evaluations of `rekindle eval`: question sets, sampling settings, and everything the results depend on."""

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rekindle.assembly.bench import Workbench
from rekindle.config import Config
from rekindle.evaluation.passes import OnProgress
from rekindle.evaluation.question_sets import EvaluationError, QuestionSet, all_tasks
from rekindle.evaluation.set_pass import Results, evaluate_sets
from rekindle.tasks.qa_sets import read_questions

__all__ = ["HELD_OUT", "JOURNAL", "Sampling", "evaluate_bench", "model_sampling", "question_sets"]

HELD_OUT = "held-out"
JOURNAL = "journal.jsonl"
GENERATION = "generation_config.json"
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "top_k": (0,),
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "num_beams": (1,),
}
"""Settings of a generation configuration that we have not, and the values at which they do nothing."""

ELSEWHERE = {
    "retriever": {"index", "token_env", "timeout_seconds", "retries", "cache_size"},
    "judge": {"key_env", "max_calls", "timeout_seconds", "concurrency", "cache"},
}
"""Keys that say how something is fetched, not what: they may change between an evaluation and its continuation."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are sampled; None is what the configuration says, for the temperature 1."""

    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    max_new_tokens: int | None = None

    def over(self, other: "Sampling") -> "Sampling":
        """These settings, and those of ``other`` where nothing is set here."""
        return Sampling(**{name: _either(getattr(self, name), getattr(other, name)) for name in self.__slots__})

    def applied(self, config: Config) -> Config:
        """The configuration with these limits."""
        chosen = {name: getattr(self, name) for name in ("top_p", "min_p", "max_new_tokens")}
        changes = {name: value for name, value in chosen.items() if value is not None}
        return config.model_copy(update={"engine": config.engine.model_copy(update=changes)})


def _either(first: Any, second: Any) -> Any:
    return second if first is None else first


def question_sets(chosen: Mapping[str, Path]) -> list[QuestionSet]:
    """Read the files of ``{name: path}``.

    Raises:
        TaskError: One cannot be used.
    """
    return [QuestionSet(name, tuple(read_questions(path))) for name, path in chosen.items()]


# -- sampling settings of a model --------------------------------------------------------------------------------------


def model_sampling(directory: Path) -> Sampling:
    """What a model directory's ``generation_config.json`` says of temperature, top_p and min_p.

    Raises:
        EvaluationError: It is not there, says nothing of sampling, or asks for what we cannot do.
    """
    path = directory / GENERATION
    remedy = "give --temperature and --top-p instead of --sampling model"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror or error}); {remedy}") from error
    except ValueError as error:
        raise EvaluationError(f"{path} is not valid JSON; {remedy}") from error
    return _sampling(path, {name: value for name, value in found.items() if value is not None}, remedy)


def _sampling(path: Path, found: Mapping[str, Any], remedy: str) -> Sampling:
    if found.get("do_sample") is False:
        return Sampling(temperature=0.0, top_p=1.0, min_p=0.0)
    foreign = [
        f"{name} = {found[name]}" for name, values in NEUTRAL.items() if name in found and found[name] not in values
    ]
    if foreign:
        raise EvaluationError(f"{path} asks for {' and '.join(foreign)}, which is not supported here; {remedy}")
    if not {"do_sample", "temperature", "top_p", "min_p"} & set(found):
        raise EvaluationError(f"{path} says nothing of sampling; {remedy}")
    return Sampling(
        temperature=_within(path, found, "temperature", 1.0, lambda value: 0 <= value < math.inf),
        top_p=_within(path, found, "top_p", 1.0, lambda value: 0 < value <= 1),
        min_p=_within(path, found, "min_p", 0.0, lambda value: 0 <= value < 1),
    )


def _within(path: Path, found: Mapping[str, Any], name: str, default: float, holds: Callable[[float], bool]) -> float:
    value = found.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
        raise EvaluationError(f"{path}: {name} = {value!r} is out of bounds; give --{name.replace('_', '-')}")
    return float(value)


# -- the evaluation ----------------------------------------------------------------------------------------------------


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
    """Evaluate the workbench's policy, or go on with an evaluation; None when interrupted.

    Args:
        bench: The policy and what plays and judges it.
        sets: The questions; none of them means the held-out prompts.
        samples: Rollouts per question.
        sampling: Limits and temperature.
        out: Directory whose journal is gone on with; None keeps nothing.
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
    """What rollouts and rewards depend on besides policy, questions and temperature, by key of the configuration."""
    found = config.model_dump(mode="json")
    engine = found["engine"]
    kept: dict[str, dict[str, Any]] = {
        "engine": {"stop": engine["stop"]},
        "model": {name: found["model"][name] for name in ("dtype", "chat_template", "system_prompt")},
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
    flat = {f"{table}.{name}": value for table, values in kept.items() for name, value in values.items()}
    return {**{name: engine[name] for name in ("top_p", "min_p", "max_new_tokens")}, **flat}
