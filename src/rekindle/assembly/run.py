"""Opening a training run: its directory, scheduler, players, trainer and loop."""

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from rekindle.assembly.bench import Workbench, announced
from rekindle.assembly.engines import EngineFactory, build_engine
from rekindle.assembly.opening import workbench
from rekindle.assembly.players import Players
from rekindle.assembly.profiles import given_profile, own_profile, profile_costs
from rekindle.assembly.task_sources import TaskSource, task_source
from rekindle.config import Config
from rekindle.methods import build_credit, build_scheduler, needs_profile
from rekindle.models.kernels import Kernels
from rekindle.models.policy import Policy
from rekindle.notices import Say, opened
from rekindle.observability.metrics import MetricsWriter
from rekindle.observability.step_log import StepLog
from rekindle.observability.warnings_log import WarningsLog
from rekindle.scheduling.ledger import Ledger
from rekindle.scheduling.profiling import Profile
from rekindle.scheduling.scheduler import Scheduler
from rekindle.tasks.task_set import TaskSet
from rekindle.training import run_directory
from rekindle.training.checkpoint import Checkpoints
from rekindle.training.loop import Observer, Parts, TrainingLoop
from rekindle.training.run_files import RunFiles
from rekindle.training.trainer import Trainer, UpdateSettings

__all__ = ["open_run"]


@contextmanager
def open_run(
    config: Config,
    directory: Path,
    *,
    start: Path,
    resume: bool,
    observer: Callable[[int, int], Observer],
    say: Say,
    interrupted: Callable[[], bool] = lambda: False,
    tasks: TaskSet | None = None,
    engine: EngineFactory = build_engine,
    adapt: Callable[[Parts], Parts] = lambda parts: parts,
) -> Iterator[TrainingLoop]:
    """Prepare a run directory and the training loop of the run.

    Args:
        config: The complete configuration; kept as ``config.toml``.
        directory: Run directory; must be new or empty unless ``resume``.
        start: Directory of the model that the run begins, or began, with.
        resume: Continue from the last checkpoint, or start where there is none.
        observer: (first step, total rollouts before it) -> the observer of the run.
        say: Shows a line before slow work.
        interrupted: Polled while a profile is made before the first step.
        tasks: Result of ``preflight.task_set`` for this configuration, where the caller has it already.
        engine: Makes the engine of the policy, and the engine of the start policy where it plays.
        adapt: The parts of the run -> the parts to use, e.g. with another environment around the given one.
    """
    run_directory.check(config, directory, resume=resume)
    checkpoints = Checkpoints(directory / "checkpoints", config.checkpoint.keep)
    step = checkpoints.steps()[-1] if checkpoints.steps() else 0
    model, source = checkpoints.path(step) / "model" if step else start, task_source(config)
    with opened() as notices, workbench(config, model, say, tasks=tasks, engine=engine) as bench:
        # Errors of model, tasks, environment and profile are found here, before any file is written.
        profile = given_profile(bench, started=bool(step))
        scheduler = None if needs_profile(config) else _scheduler(bench, profile)
        frozen = _start_policy(config, source, start)
        of_start = engine(config, frozen) if frozen is not None and source.samples_from_start else None
        players = source.players(bench, scheduler, of_start)
        with run_directory.locked(directory), _run_files(directory, source, checkpoints) as files, ExitStack() as kept:
            _describe(directory, bench)
            checkpoints.prepare()
            saved = checkpoints.load(step) if step else None
            files.truncate_after(step)
            kept.enter_context(notices.kept_in(files.warnings))
            if scheduler is None:
                profile = own_profile(bench, directory, say, interrupted)
                scheduler = _scheduler(bench, profile)
            if saved:  # kernels round differently, so a resumed run uses those that it began with
                bench.policy.use_kernels(Kernels.from_description(saved[1]["kernels"]))
            if frozen is not None:
                frozen.use_kernels(bench.policy.kernels)
            if step:
                files.warnings.end_step(step)
            shown = observer(step, int(saved[1]["totals"]["rollouts"]) if saved else 0)
            loop = TrainingLoop(adapt(_parts(bench, players, frozen, scheduler, profile, files, shown, say)))
            if saved:
                loop.restore(step, *saved)
            with _frozen_heap():
                yield loop


@contextmanager
def _run_files(directory: Path, source: TaskSource, checkpoints: Checkpoints) -> Iterator[RunFiles]:
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(Ledger(directory / "ledger.sqlite")))
        metrics = stack.enter_context(MetricsWriter(directory / "metrics.jsonl"))
        proposals = None if source.log_file is None else stack.enter_context(StepLog(directory / source.log_file))
        warnings = stack.enter_context(WarningsLog(directory / "warnings.jsonl"))
        yield RunFiles(ledger, metrics, warnings, checkpoints, proposals)


@contextmanager
def _frozen_heap() -> Iterator[None]:
    """Exclude the objects that exist before the first step from garbage collection.

    The collector would visit the objects of the libraries and the task set again and again, and free none of them.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _describe(directory: Path, bench: Workbench) -> None:
    run_directory.describe(
        directory,
        bench.config,
        device=str(bench.policy.device),
        parameters=bench.policy.parameter_count,
        pool=len(bench.tasks.pool),
        held_out=len(bench.tasks.held_out),
    )


def _scheduler(bench: Workbench, profile: Profile | None) -> Scheduler:
    return build_scheduler(bench.config, (task.id for task in bench.tasks.pool), profile)


def _parts(
    bench: Workbench,
    players: Players,
    start: Policy | None,
    scheduler: Scheduler,
    profile: Profile | None,
    files: RunFiles,
    observer: Observer,
    say: Say,
) -> Parts:
    config, posterior = bench.config, bench.config.posterior
    reference = start if config.loss.kl_coefficient > 0 else None
    settings = UpdateSettings(config.train.learning_rate, config.train.seed, config.loss, config.optimizer)
    probe_rows = posterior.probe_rows if posterior.half_life is not None else 0
    return Parts(
        config=config,
        scheduler=scheduler,
        supply=players.supply,
        environment=players.environment,
        engine=bench.engine,
        credit=build_credit(config),
        trainer=Trainer(
            bench.policy, settings, total_updates=config.train.steps, reference=reference, probe_rows=probe_rows
        ),
        evaluate=announced(bench, say),
        files=files,
        observer=observer,
        start=profile_costs(profile),
    )


def _start_policy(config: Config, source: TaskSource, directory: Path) -> Policy | None:
    """The policy that the run began with, also after a resume; it is never trained. None where it is not needed."""
    if not (source.samples_from_start or config.loss.kl_coefficient > 0):
        return None
    table = config.model
    started = Policy.load(directory, device=table.device, dtype=table.dtype, float32_head=table.float32_head)
    return started.clone_frozen()
