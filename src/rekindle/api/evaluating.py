"""``rekindle.evaluate``: the command `rekindle eval` from a script."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rekindle.api.arguments import Arguments, to_stderr
from rekindle.config.facts import needs_answers
from rekindle.interrupts import Interrupts
from rekindle.notices import Say
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.api.arguments import Model, Rows, Settings
    from rekindle.config import Config
    from rekindle.evaluation.question_sets import QuestionSet
    from rekindle.evaluation.sampling_settings import Sampling
    from rekindle.evaluation.set_pass import Results
    from rekindle.given import EngineFactory, Given
    from rekindle.preflight import PolicyFiles
    from rekindle.retrieval.retriever import Retriever
    from rekindle.tasks.task_set import TaskSet

__all__ = ["evaluate"]

GIVEN = "tasks"
"""Name of the set of rows that a script hands over."""


def evaluate(
    model: "Model | None" = None,
    tasks: "str | Path | Rows | None" = None,
    *,
    reward: object | None = None,
    recipe: str | None = None,
    config: "Settings | None" = None,
    engine: "EngineFactory | None" = None,
    environment: object | None = None,
    retriever: "Retriever | None" = None,
    checkpoint: str | Path | None = None,
    questions: Mapping[str, str | Path] = MappingProxyType({}),
    samples: int = 8,
    temperature: float | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    max_new_tokens: int | None = None,
    sampling: str = "config",
    out: str | Path | None = None,
    transcripts: Sequence[str | Path] = (),
    progress: Callable[[int, int, float], None] | None = None,
    say: Say | None = None,
) -> "Results":
    """Measure a policy on rows, on question sets, or on held-out prompts.

        results = rekindle.evaluate("models/mine", rows, samples=8)
        results.over_questions([1, 8]).pass_at    {1: 0.41, 8: 0.73}

    Args:
        model: The start policy, as for ``rekindle.train``; so are ``reward``, ``recipe``, ``config``, ``engine``,
            ``environment`` and ``retriever``.
        tasks: Rows or a file of them, of which each is asked; None: ``questions``, or held-out prompts of ``config``.
        reward: See ``model``.
        recipe: See ``model``.
        config: See ``model``.
        engine: See ``model``.
        environment: See ``model``.
        retriever: See ``model``.
        checkpoint: A run (its last checkpoint), a checkpoint or a model directory; None: the start policy.
        questions: Question sets by name: JSONL, JSON, TSV or Parquet files.
        samples: Rollouts per question, at least 1.
        temperature: 0 is greedy; None: 1, or the model's with ``sampling="model"``.
        top_p: Nucleus, above 0 and at most 1; None: the configuration's.
        min_p: Least relative probability, 0 or more and below 1; None: the configuration's.
        max_new_tokens: Most tokens of a completion; None: the configuration's.
        sampling: ``"config"``, or ``"model"``: what is None is that of the model's ``generation_config.json``.
        out: Directory of a journal, with which an interrupted evaluation goes on; None: nothing is kept.
        transcripts: Files to write, with a line per rollout.
        progress: Called with questions done, questions in all, and expected seconds left.
        say: Shows a line to the user; None: on standard error.

    Returns:
        [questions] records with the rewards of their ``samples`` rollouts, and unbiased pass@k of any part of them.

    Raises:
        UserError: Something that was given cannot be used; the message has the remedy.
        KeyboardInterrupt: The evaluation was interrupted; with ``out`` the same call goes on.
    """
    asked = Arguments.of(
        model=model,
        tasks=tasks,
        reward=reward,
        recipe=recipe,
        config=config,
        held_out=None,
        engine=engine,
        environment=environment,
        retriever=retriever,
    )
    how = _Sampled(samples, temperature, top_p, min_p, max_new_tokens, sampling)
    how.check()
    shown, files = say or to_stderr, {name: Path(path) for name, path in questions.items()}
    if isinstance(asked.tasks, str | Path):
        files = {Path(asked.tasks).stem: Path(asked.tasks), **files}
    chosen = asked.settings()
    with Interrupts(shown, "part of the questions") as interrupts:
        saved = None if checkpoint is None else Path(checkpoint)
        inputs = _look(chosen, asked, files, saved, how, shown)
        shown(inputs.policy.loading)
        results = _evaluated(
            inputs,
            how,
            None if out is None else Path(out),
            [Path(path) for path in transcripts],
            progress,
            interrupts,
            shown,
        )
    if results is None:
        kept = "to continue, repeat the command" if out is not None else "nothing is kept without --out DIR"
        raise KeyboardInterrupt(f"during the evaluation; {kept}")
    return results


@dataclass(frozen=True, slots=True)
class _Sampled:
    """How rollouts are sampled; None: as the configuration says."""

    samples: int
    temperature: float | None
    top_p: float | None
    min_p: float | None
    max_new_tokens: int | None
    source: str

    def check(self) -> None:
        """Check the bounds.

        Raises:
            UserError: A number is outside of its bounds.
        """
        if self.samples < 1:
            raise UserError(f"--samples {self.samples} makes no rollout; give at least 1")
        if self.source not in {"config", "model"}:
            raise UserError(f'--sampling {self.source} is unknown; give "config" or "model"')
        if self.temperature is not None and not 0 <= self.temperature < math.inf:
            raise UserError(
                f"--temperature {self.temperature:g} must be a number of at least 0; use 0 for greedy sampling"
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"--top-p {self.top_p:g} must be above 0 and at most 1; use 1 to keep every token")
        if self.min_p is not None and not 0 <= self.min_p < 1:
            raise UserError(f"--min-p {self.min_p:g} must be at least 0 and below 1; use 0 to keep every token")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise UserError(f"--max-new-tokens {self.max_new_tokens} leaves no room for an answer; use 1 or more")

    def settings(self, model: Path) -> "Sampling":
        """Limits and temperature for the model in a directory."""
        from rekindle.evaluation.sampling_settings import Sampling, model_sampling

        given = Sampling(self.temperature, self.top_p, self.min_p, self.max_new_tokens)
        return given if self.source == "config" else given.over(model_sampling(model))


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Inputs of an evaluation; their files are checked."""

    config: "Config"
    policy: "PolicyFiles"
    sets: "list[QuestionSet]"
    tasks: "TaskSet"
    given: "Given"


def _look(
    config: "Config", asked: Arguments, files: Mapping[str, Path], saved: Path | None, how: _Sampled, say: Say
) -> _Inputs:
    """The inputs of the evaluation, after checks of their files."""
    from rekindle.evaluation.question_sets import QuestionSet
    from rekindle.preflight import check_retriever, check_rewards, policy_files, question_sets, task_set
    from rekindle.records.checkpoint_choice import model_directory

    policy = policy_files(config, None if saved is None else model_directory(saved), say)
    if policy.ready is not None:
        how.settings(policy.ready)
    given = asked.given(config, _all_asked(asked, config))
    if not given.retrievers:
        check_retriever(config)
    sets = question_sets(files, say)
    tasks = given.tasks or task_set(config, say)
    if given.tasks is not None:
        sets.insert(0, QuestionSet(GIVEN, tasks.pool))
    if given.rewards:
        check_rewards(config, tasks, given.rewards)
    return _Inputs(config, policy, sets, tasks, given)


def _all_asked(asked: Arguments, config: "Config") -> "TaskSet | None":
    """Given rows, of which each is asked."""
    if asked.rows is None:
        return None
    from rekindle.tasks.given import given_questions

    return given_questions(asked.rows, columns=config.task.columns, needs_answers=needs_answers(config))


def _evaluated(
    inputs: _Inputs,
    how: _Sampled,
    out: Path | None,
    transcripts: Sequence[Path],
    progress: Callable[[int, int, float], None] | None,
    interrupts: Interrupts,
    say: Say,
) -> "Results | None":
    from rekindle.assembly import workbench
    from rekindle.assembly.evaluations import evaluate_bench
    from rekindle.observability.warnings_log import WARNINGS, warnings_kept_in
    from rekindle.warm_starts.stage import policy_directories

    config, tasks = inputs.config, inputs.tasks

    def on_progress(done: int, total: int, left: float) -> None:
        interrupts.pace.mark()
        if progress is not None:
            progress(done, total, left)

    model, base = policy_directories(config, inputs.policy, say, tasks)
    with (
        workbench(config, model, say, base=base, tasks=tasks, given=inputs.given) as bench,
        warnings_kept_in(None if out is None else out / WARNINGS),
    ):
        count = sum(len(one.tasks) for one in inputs.sets) or len(tasks.held_out)
        what = "questions" if inputs.sets else "held-out prompts"
        say(f"evaluating {count:,} {what} with {how.samples} rollouts each ...")
        interrupts.begin()
        return evaluate_bench(
            bench,
            inputs.sets,
            samples=how.samples,
            sampling=how.settings(base or model),
            out=out,
            transcripts=transcripts,
            on_progress=on_progress,
            interrupted=lambda: interrupts.asked,
        )
