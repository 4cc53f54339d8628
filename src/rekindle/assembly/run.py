"""A training run: its directory, and everything that runs in it."""

import gc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rekindle.assembly.bench import Workbench
from rekindle.assembly.methods import build_credit, build_scheduler, needs_profile
from rekindle.assembly.opening import workbench
from rekindle.assembly.profiles import given_profile, own_profile, profile_costs
from rekindle.assembly.warm_starts import warm_started
from rekindle.config import Config
from rekindle.models.kernels import Kernels
from rekindle.models.policy import Policy
from rekindle.observability.metrics import MetricsWriter
from rekindle.scheduling.ledger import Ledger
from rekindle.scheduling.profiling import Profile
from rekindle.scheduling.scheduler import Scheduler
from rekindle.tasks.task_set import levels_of
from rekindle.training import run_directory
from rekindle.training.checkpoint import Checkpoints
from rekindle.training.loop import Observer, Parts, TrainingLoop
from rekindle.training.trainer import Trainer
from rekindle.types import Environment

__all__ = ["open_run"]


@contextmanager
def open_run(
    config: Config,
    directory: Path,
    *,
    resume: bool,
    observer: Callable[[int, int], Observer],
    say: Callable[[str], None],
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[TrainingLoop]:
    """Prepare a run directory and everything that runs in it.

    Args:
        config: The complete configuration; kept as ``config.toml``.
        directory: Run directory; must be new or empty unless ``resume``.
        resume: Go on from the last checkpoint, or start where there is none.
        observer: Makes who is shown the run, given the step and the total rollouts it begins with.
        say: Told what takes a while.
        interrupted: Asked while a profile is made before the first step.
    """
    run_directory.check(config, directory, resume=resume)
    checkpoints = Checkpoints(directory / "checkpoints", config.checkpoint.keep)
    step = checkpoints.steps()[-1] if checkpoints.steps() else 0
    model = checkpoints.path(step) / "model" if step else None
    with workbench(config, model, say) as bench:
        # What can be wrong with model, tasks, environment and profile is wrong before anything is written.
        environment = bench.environment(bench.tasks.pool)
        profile = given_profile(bench, started=bool(step))
        scheduler = None if needs_profile(config) else _scheduler(bench, profile)
        with (
            run_directory.locked(directory),
            closing(Ledger(directory / "ledger.sqlite")) as ledger,
            MetricsWriter(directory / "metrics.jsonl") as metrics,
        ):
            _describe(directory, bench)
            checkpoints.prepare()
            saved = checkpoints.load(step) if step else None
            if scheduler is None:
                profile = own_profile(bench, directory, say, interrupted)
                scheduler = _scheduler(bench, profile)
            ledger.truncate_after(step)
            metrics.truncate_after(step if step else -1)
            if saved:  # the libraries round differently: a resumed run goes on with those it began with
                bench.policy.use_kernels(Kernels.from_description(saved[1]["kernels"]))
            shown = observer(step, int(saved[1]["totals"]["rollouts"]) if saved else 0)
            loop = TrainingLoop(_parts(bench, environment, scheduler, profile, checkpoints, ledger, metrics, shown))
            if saved:
                loop.restore(step, *saved)
            with _settled_heap():
                yield loop


@contextmanager
def _settled_heap() -> Iterator[None]:
    """Leave what is there before the first step out of garbage collections.

    The objects of the libraries and the task set would be walked again and again, and none of them ever goes.
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
    environment: Environment,
    scheduler: Scheduler,
    profile: Profile | None,
    checkpoints: Checkpoints,
    ledger: Ledger,
    metrics: MetricsWriter,
    observer: Observer,
) -> Parts:
    train, posterior = bench.config.train, bench.config.posterior
    reference = _reference(bench) if train.kl_coefficient > 0 else None
    probe_rows = posterior.probe_rows if posterior.half_life is not None else 0
    return Parts(
        config=bench.config,
        policy=bench.policy,
        scheduler=scheduler,
        environment=environment,
        credit=build_credit(bench.config),
        trainer=Trainer(bench.policy, train, total_updates=train.steps, reference=reference, probe_rows=probe_rows),
        evaluate=bench.evaluation_metrics,
        checkpoints=checkpoints,
        ledger=ledger,
        metrics=metrics,
        observer=observer,
        levels=levels_of(bench.tasks.pool),
        start=profile_costs(profile),
        extra_state={"kernels": bench.policy.kernels.describe()},
    )


def _reference(bench: Workbench) -> Policy:
    """The start policy: what the run began with, also after a resume."""
    start = Path(bench.config.model.path) if bench.config.model.path else None
    if start is None:
        start = warm_started(bench.config, bench.tasks, bench.verifier, bench.retrievers, lambda _: None)
    reference = Policy.load(start, device=bench.config.model.device, dtype=bench.config.model.dtype).clone_frozen()
    reference.use_kernels(bench.policy.kernels)
    return reference
