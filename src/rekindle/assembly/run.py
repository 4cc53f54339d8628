"""Opening a training run: its directory, scheduler, players, trainer and loop."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rekindle.assembly.bench import Note, Workbench, announced
from rekindle.assembly.engines import EngineFactory, build_engine
from rekindle.assembly.opening import load_policy, workbench
from rekindle.assembly.players import Players
from rekindle.assembly.profiles import given_profile, own_profile, profile_costs
from rekindle.assembly.task_sources import TaskSource, task_source
from rekindle.config import Config
from rekindle.config.facts import needs_answers, plays_itself, updates_per_step
from rekindle.environments.rewards import file_digests, trouble_of
from rekindle.given import NOTHING, Given
from rekindle.heap import frozen_heap
from rekindle.methods import build_credit, build_scheduler, needs_profile
from rekindle.models.directory import is_adapter
from rekindle.models.kernels import Kernels
from rekindle.models.policy import Policy
from rekindle.models.reading import ReadModel, read_model
from rekindle.notices import Say, opened, warn
from rekindle.observability.opened_files import opened_run_files
from rekindle.observability.trackers import check_trackers, tracked
from rekindle.records import run_directory
from rekindle.records.checkpoint_choice import MODEL, newest_whole, step_of
from rekindle.records.health import HealthWatch
from rekindle.records.rollout_samples import SampleRecorder, spread
from rekindle.records.run_files import RunFiles
from rekindle.records.run_tasks import keep_tasks, same_tasks
from rekindle.records.skipped_files import SKIPPED
from rekindle.records.state_files import UNREADABLE
from rekindle.scheduling.ledger import LEDGER
from rekindle.scheduling.profiling import Profile
from rekindle.scheduling.scheduler import Scheduler
from rekindle.tasks.task_set import TaskSet
from rekindle.training.callbacks import Callbacks
from rekindle.training.checkpoint import Checkpoints, damaged
from rekindle.training.loop import Observer, Parts, TrainingLoop
from rekindle.training.schedules import Decay
from rekindle.training.skipped_steps import SkippedSteps
from rekindle.training.trainer import Trainer, TrainerState, UpdateSettings
from rekindle.types import GroupRequest, Rollout, UserError
from rekindle.verifiers.weaknesses import weaknesses

__all__ = ["open_run"]


@contextmanager
def open_run(
    config: Config,
    directory: Path,
    *,
    start: Callable[[], Path],
    resume: bool,
    observer: Callable[[int, int], Observer],
    say: Say,
    interrupted: Callable[[], bool] = lambda: False,
    tasks: TaskSet | None = None,
    given: Given = NOTHING,
    callbacks: Callbacks | None = None,
    adapt: Callable[[Parts], Parts] = lambda parts: parts,
    commit: str | None = None,
    read_policy: ReadModel = read_model,
) -> Iterator[TrainingLoop]:
    """Prepare a run directory and the training loop of the run.

    Args:
        config: The complete configuration; kept as ``config.toml``.
        directory: Run directory; must be new or empty unless ``resume``.
        start: Returns the directory of the model that the run begins, or began, with; called where it is needed.
        resume: Continue from the last checkpoint, or start where there is none.
        observer: (first step, total rollouts before it) -> the observer of the run.
        say: Shows a line before slow work.
        interrupted: Polled while a profile is made before the first step.
        tasks: Result of ``preflight.task_set`` for this configuration, where the caller has it already.
        given: Parts that a script made itself; its engine also plays the start policy.
        callbacks: Called after every step, evaluation and checkpoint.
        adapt: The parts of the run -> the parts to use, e.g. with another environment around the given one.
        commit: Commit of the start model on the hub, kept in ``run.json``.
        read_policy: Reads the directory of the start model.
    """
    run_directory.check(config, directory, resume=resume)
    if run_directory.is_begun(directory):
        given.check_same(run_directory.given_parts(directory), str(directory))
    check_trackers(config)
    kept = config.checkpoint
    checkpoints = Checkpoints(directory / "checkpoints", kept.keep, every_optimizer=kept.optimizer == "all")
    chosen = newest_whole(directory)
    step = step_of(chosen)
    start = functools.cache(start)
    model = start() if chosen is None else chosen / MODEL
    base = start() if is_adapter(model) else None
    threads = run_directory.kept_threads(directory)
    prepared = workbench(
        config,
        model,
        say,
        base=base,
        threads=threads,
        tasks=tasks,
        tasks_commit=run_directory.tasks_commit(directory),
        given=given,
        audits=True,
        read_policy=read_model if step and base is None else read_policy,
    )
    with opened() as notices, prepared as bench:
        for text in (*weaknesses(config), *_changed_rewards(config, directory)):
            warn(text)
        # Errors of model, tasks, environment and profile are found here, before any file is written.
        first = functools.partial(_start_policy, start=start, read=read_policy)
        ready = _ready(_of_the_run(bench, directory) if step else bench, first, started=bool(step))
        with run_directory.locked(directory), _files(config, directory, ready, step) as files:
            saved = _resumed_files(files, checkpoints, step) if step else None
            if saved is None:
                _new_files(files, checkpoints, directory, ready.bench, commit)
            with notices.kept_in(files.warnings), _tracked(files, config, directory, saved) as tracked_files:
                profiled = _with_profile(ready, lambda bench: own_profile(bench, directory, say, interrupted))
                parts = replace(
                    _parts(profiled, directory, tracked_files, checkpoints, saved, observer, say),
                    callbacks=callbacks or Callbacks(),
                )
                loop = TrainingLoop(adapt(parts))
                if saved:
                    _restore(loop, saved, checkpoints.path(step), told=run_directory.has_ended(directory))
                    _describe(directory, ready.bench, commit)
                with frozen_heap():
                    yield loop


@dataclass(frozen=True, slots=True)
class _Ready:
    """What a run needs besides its files.

    Attributes:
        bench: The workbench.
        source: Source of the tasks.
        profile: The profile of the pool; None where there is none, or not yet.
        scheduler: The scheduler; None while a profile is still to be made.
        frozen: The start policy, where the run needs it.
        players: Supply and environment.
    """

    bench: Workbench
    source: TaskSource
    profile: Profile | None
    scheduler: Scheduler | None
    frozen: Policy | None
    players: Players


def _ready(bench: Workbench, first: Callable[[Workbench, TaskSource], Policy | None], *, started: bool) -> _Ready:
    """What the run needs; ``first`` returns its start policy where that is needed."""
    config, source = bench.config, task_source(bench.config)
    profile = given_profile(bench, started=started)
    scheduler = None if needs_profile(config) else _scheduler(bench, profile)
    frozen = first(bench, source)
    engine: EngineFactory = bench.given.engine or build_engine
    of_start = engine(config, frozen) if frozen is not None and source.samples_from_start else None
    return _Ready(bench, source, profile, scheduler, frozen, source.players(bench, scheduler, of_start))


def _changed_rewards(config: Config, directory: Path) -> Iterator[str]:
    """Warnings of a resumed run about reward functions whose files have changed; a fixed fault is no other run."""
    for name in run_directory.changed_files(directory, file_digests(config)):
        yield (
            f'the file of the reward "{name}" has changed since the run began; the run goes on with the new one, and '
            "its steps are not those that it would have made"
        )


def _with_profile(ready: _Ready, make: Callable[[Workbench], Profile]) -> _Ready:
    """The same with a scheduler, after a profile was made where one is missing."""
    if ready.scheduler is not None:
        return ready
    profile = make(ready.bench)
    return replace(ready, profile=profile, scheduler=_scheduler(ready.bench, profile))


@dataclass(frozen=True, slots=True)
class _Saved:
    """Content of the checkpoint from which a run goes on.

    Attributes:
        step: Its step.
        trainer: State of the trainer.
        state: State of everything else.
        rollouts: Rollouts before it.
        kernels: Kernels that the run began with; libraries round differently.
    """

    step: int
    trainer: TrainerState
    state: Mapping[str, Any]
    rollouts: int
    kernels: Kernels


def _of_the_run(bench: Workbench, directory: Path) -> Workbench:
    """The workbench with the tasks in the order in which the run has them.

    Raises:
        UserError: The tasks are others, or what was left to them (``preflight.settled``) is.
    """
    pool, held_out = same_tasks(directory, bench.tasks.pool, bench.tasks.held_out)
    run_directory.check_same(bench.config, directory)
    return replace(bench, tasks=replace(bench.tasks, pool=pool, held_out=held_out))


def _new_files(
    files: RunFiles, checkpoints: Checkpoints, directory: Path, bench: Workbench, commit: str | None
) -> None:
    """Prepare the files of a run that begins, perhaps after an earlier start was killed."""
    _describe(directory, bench, commit)
    keep_tasks(directory, bench.tasks.pool, bench.tasks.held_out)
    checkpoints.prepare()
    files.truncate_after(0)


def _resumed_files(files: RunFiles, checkpoints: Checkpoints, step: int) -> _Saved:
    """Read a checkpoint, and remove from the files what came after it.

    Raises:
        UserError: The checkpoint or a file is damaged, or they do not belong together.
    """
    checkpoints.prepare(step)
    trainer, state = checkpoints.load(step)
    try:
        rollouts, kernels = int(state["totals"]["rollouts"]), Kernels.from_description(state["kernels"])
    except UNREADABLE as error:
        raise damaged(checkpoints.path(step), error) from error
    files.ledger.check_pages()
    files.truncate_after(step)
    if step and (last := files.metrics.last_step()) != step:
        ends = "is empty" if last is None else f"ends at step {last}"
        warn(
            f"metrics.jsonl {ends}, and the run goes on after step {step}; the curves of its report have a gap, unless "
            "you stop the run and restore the file from a copy"
        )
    files.ledger.check(rollouts, "it is not the ledger of this checkpoint; restore it")
    if (last_request := files.ledger.last_request()) >= state["scheduler"]["next_request"]:
        raise damaged(
            checkpoints.path(step), ValueError(f"the ids of its next requests are taken, up to {last_request}")
        )
    return _Saved(step, trainer, state, rollouts, kernels)


def _restore(loop: TrainingLoop, saved: _Saved, path: Path, *, told: bool) -> None:
    try:
        loop.restore(saved.step, saved.trainer, saved.state, told=told)
    except UserError:
        raise
    except UNREADABLE as error:
        raise damaged(path, error) from error


def _files(config: Config, directory: Path, ready: _Ready, step: int) -> AbstractContextManager[RunFiles]:
    """The files of a run that grow, in a directory that is locked.

    Args:
        config: The complete configuration.
        directory: Run directory.
        ready: What the run needs.
        step: Step of the checkpoint that it goes on from; 0: it begins, and its first file are the settings.

    Raises:
        UserError: Another process has trained in the directory meanwhile, or the ledger is gone.
    """
    if step_of(last_whole := newest_whole(directory)) != step:
        raise UserError(f"another process has meanwhile written {last_whole}; repeat the command with --resume")
    if not step:
        run_directory.write_settings(directory, ready.bench.config)
    elif not (directory / LEDGER).exists():
        raise UserError(
            f"{directory / LEDGER} is gone, without which the account of the run's rollouts is not complete; restore "
            f'it from a copy, or begin a new run with model.path = "{directory / MODEL}" and another --out'
        )
    kept = config.samples.per_step or config.samples.held_out
    return opened_run_files(directory, proposals=ready.source.log_file, samples=bool(kept))


@contextmanager
def _tracked(files: RunFiles, config: Config, directory: Path, saved: _Saved | None) -> Iterator[RunFiles]:
    """The same files, whose metrics also go to the trackers of the configuration."""
    with tracked(config, directory, files.metrics, resumed_from=saved.step if saved else -1) as metrics:
        yield replace(files, metrics=metrics)


def _describe(directory: Path, bench: Workbench, commit: str | None) -> None:
    run_directory.describe(
        directory,
        bench.config,
        device=str(bench.policy.device),
        model_commit=commit,
        tasks_commit=bench.tasks.commit,
        threads=torch.get_num_threads(),
        parameters=bench.policy.parameter_count,
        trained_parameters=bench.policy.trained_count,
        pool=len(bench.tasks.pool),
        held_out=len(bench.tasks.held_out),
        given=bench.given.names or None,
        functions=file_digests(bench.config) or None,
    )


def _scheduler(bench: Workbench, profile: Profile | None) -> Scheduler:
    return build_scheduler(bench.config, (task.id for task in bench.tasks.pool), profile)


def _parts(
    ready: _Ready,
    directory: Path,
    files: RunFiles,
    checkpoints: Checkpoints,
    saved: _Saved | None,
    observer: Callable[[int, int], Observer],
    say: Say,
) -> Parts:
    bench, config, scheduler = ready.bench, ready.bench.config, ready.scheduler
    assert scheduler is not None, "a profile that was missing is made before"
    for policy in filter(None, (bench.policy, ready.frozen)):
        policy.use_kernels(saved.kernels if saved else bench.policy.kernels)
    if saved:
        files.warnings.end_step(saved.step)
    posterior = config.posterior
    recorder = SampleRecorder(config.samples.per_step, bench.policy.tokenizer.decode, _answer_by_id(bench))
    health = HealthWatch(config, len(bench.tasks.held_out), _answers(bench), lambda: trouble_of(bench.verifier))
    settings = UpdateSettings(config.train.learning_rate, config.train.seed, config.loss, config.optimizer)
    return Parts(
        config=config,
        scheduler=scheduler,
        supply=ready.players.supply,
        environment=ready.players.environment,
        engine=bench.engine,
        credit=build_credit(config),
        trainer=Trainer(
            bench.policy,
            settings,
            decay=_decay(config),
            reference=ready.frozen if config.loss.kl_coefficient > 0 else None,
            probe_rows=posterior.probe_rows if posterior.half_life is not None else 0,
            on_skip=SkippedSteps(directory / SKIPPED, config.model_dump(mode="json")).keep,
        ),
        evaluate=announced(bench, say, _noted(bench, recorder, health)),
        evaluated=len(bench.tasks.held_out) * (config.eval.samples + 1),
        recorder=recorder,
        health=health,
        files=files,
        checkpoints=checkpoints,
        observer=observer(saved.step, saved.rollouts) if saved else observer(0, 0),
        start=profile_costs(ready.profile),
    )


def _decay(config: Config) -> Decay:
    """The course of the learning rate: to the last update, or where a budget ends the run to its end."""
    train, warm_up = config.train, config.optimizer.warmup_steps
    if train.steps is not None:
        return Decay(warm_up, train.steps * updates_per_step(config))
    if train.rollouts is not None:
        return Decay(0, train.rollouts, key="train.rollouts")
    return Decay(0, train.tokens, key="train.tokens")


def _noted(bench: Workbench, recorder: SampleRecorder, health: HealthWatch) -> Note:
    """Shows an evaluation's rollouts to the watch, and some of them (``samples.held_out``) to the recorder."""
    tasks = bench.tasks.held_out
    kept = set(spread(len(tasks), bench.config.samples.held_out))

    def note(request: GroupRequest, rollouts: Sequence[Rollout]) -> None:
        if needs_answers(bench.config):
            answer = tasks[request.row].answer
            health.note_start((answer,) if isinstance(answer, str) else answer, rollouts)
        if request.row in kept:
            recorder.note_held_out(request, rollouts)

    return note


def _answers(bench: Workbench) -> Callable[[int], Sequence[str]]:
    """Accepted answers by row of the pool; none where they are not compared with the completions."""
    if plays_itself(bench.config) or not needs_answers(bench.config):
        return lambda row: ()
    answers = [(one.answer,) if isinstance(one.answer, str) else one.answer for one in bench.tasks.pool]
    return answers.__getitem__


def _answer_by_id(bench: Workbench) -> Callable[[str], object]:
    """Reference answer by the id of a given task."""
    answers = {one.id: one.answer for one in (*bench.tasks.pool, *bench.tasks.held_out)}
    return answers.get


def _start_policy(bench: Workbench, source: TaskSource, *, start: Callable[[], Path], read: ReadModel) -> Policy | None:
    """The policy that the run began with, also after a resume; it is never trained. None where it is not needed."""
    if not (source.samples_from_start or bench.config.loss.kl_coefficient > 0):
        return None
    if bench.policy.adapter is not None:
        return bench.policy.without_adapter()
    return load_policy(bench.config, start(), read=read).clone_frozen()
