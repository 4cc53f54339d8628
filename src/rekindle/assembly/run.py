"""A training run: its directory, and everything that runs in it."""

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rekindle.assembly.bench import Workbench
from rekindle.assembly.engines import build_engine
from rekindle.assembly.opening import workbench
from rekindle.assembly.profiles import given_profile, own_profile, profile_costs
from rekindle.assembly.self_play import build_self_play
from rekindle.config import Config
from rekindle.config.rules.facts import plays_itself
from rekindle.methods import build_credit, build_scheduler, needs_profile
from rekindle.models.kernels import Kernels
from rekindle.models.policy import Policy
from rekindle.observability.metrics import MetricsWriter
from rekindle.observability.step_log import StepLog
from rekindle.scheduling.ledger import Ledger
from rekindle.scheduling.pools import GrowingPool
from rekindle.scheduling.profiling import Profile
from rekindle.scheduling.scheduler import Scheduler
from rekindle.tasks.task_set import levels_of
from rekindle.training import run_directory
from rekindle.training.checkpoint import Checkpoints
from rekindle.training.loop import Observer, Parts, TrainingLoop
from rekindle.training.supply import Supply
from rekindle.training.trainer import Trainer
from rekindle.types import Environment

__all__ = ["open_run"]


@contextmanager
def open_run(
    config: Config,
    directory: Path,
    *,
    start: Path,
    resume: bool,
    observer: Callable[[int, int], Observer],
    say: Callable[[str], None],
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[TrainingLoop]:
    """Prepare a run directory and everything that runs in it.

    Args:
        config: The complete configuration; kept as ``config.toml``.
        directory: Run directory; must be new or empty unless ``resume``.
        start: Directory of the model that the run begins, or began, with.
        resume: Go on from the last checkpoint, or start where there is none.
        observer: Makes who is shown the run, given the step and the total rollouts it begins with.
        say: Told what takes a while.
        interrupted: Asked while a profile is made before the first step.
    """
    run_directory.check(config, directory, resume=resume)
    checkpoints = Checkpoints(directory / "checkpoints", config.checkpoint.keep)
    step = checkpoints.steps()[-1] if checkpoints.steps() else 0
    model = checkpoints.path(step) / "model" if step else start
    with workbench(config, model, say) as bench:
        # What can be wrong with model, tasks, environment and profile is wrong before anything is written.
        profile = given_profile(bench, started=bool(step))
        scheduler = None if needs_profile(config) else _scheduler(bench, profile)
        players = _players(bench, start, scheduler)
        with run_directory.locked(directory), _books(directory, config) as books:
            _describe(directory, bench)
            checkpoints.prepare()
            saved = checkpoints.load(step) if step else None
            if scheduler is None:
                profile = own_profile(bench, directory, say, interrupted)
                scheduler = _scheduler(bench, profile)
            books.truncate_after(step)
            if saved:  # the libraries round differently: a resumed run goes on with those it began with
                bench.policy.use_kernels(Kernels.from_description(saved[1]["kernels"]))
            if players.start is not None:
                players.start.use_kernels(bench.policy.kernels)
            shown = observer(step, int(saved[1]["totals"]["rollouts"]) if saved else 0)
            loop = TrainingLoop(_parts(bench, players, scheduler, profile, checkpoints, books, shown))
            if saved:
                loop.restore(step, *saved)
            with _frozen_heap():
                yield loop


@dataclass(frozen=True, slots=True)
class _Players:
    """Who plays: the environment of the solver, what makes its tasks, and the start policy where it is needed."""

    environment: Environment
    supply: Supply | None = None
    start: Policy | None = None


def _players(bench: Workbench, directory: Path, scheduler: Scheduler | None) -> _Players:
    config = bench.config
    table, start = config.self_play, None
    fixed = plays_itself(config) and (table.fixed != "none" or table.yardstick_samples > 0)
    if fixed or config.train.kl_coefficient > 0:
        start = _start_policy(config, directory)
    if not plays_itself(config):
        return _Players(bench.environment(bench.tasks.pool), start=start)
    pool = None if scheduler is None else scheduler.pool
    assert isinstance(pool, GrowingPool), "self-play has a pool that grows, and no profile to wait for"
    engine = build_engine(config, start) if fixed and start is not None else None
    sides = build_self_play(bench, pool, engine)
    return _Players(sides.environment, sides.game, start)


@dataclass(frozen=True, slots=True)
class _Books:
    """The files that a run adds to at every step."""

    ledger: Ledger
    metrics: MetricsWriter
    proposals: StepLog | None

    def truncate_after(self, step: int) -> None:
        """Forget what a checkpoint does not know of; it will be written again."""
        self.ledger.truncate_after(step)
        self.metrics.truncate_after(step if step else -1)
        if self.proposals is not None:
            self.proposals.truncate_after(step)


@contextmanager
def _books(directory: Path, config: Config) -> Iterator[_Books]:
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(Ledger(directory / "ledger.sqlite")))
        metrics = stack.enter_context(MetricsWriter(directory / "metrics.jsonl"))
        plays = plays_itself(config)
        yield _Books(ledger, metrics, stack.enter_context(StepLog(directory / "proposals.jsonl")) if plays else None)


@contextmanager
def _frozen_heap() -> Iterator[None]:
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
    players: _Players,
    scheduler: Scheduler,
    profile: Profile | None,
    checkpoints: Checkpoints,
    books: _Books,
    observer: Observer,
) -> Parts:
    train, posterior = bench.config.train, bench.config.posterior
    reference = players.start if train.kl_coefficient > 0 else None
    probe_rows = posterior.probe_rows if posterior.half_life is not None else 0
    return Parts(
        config=bench.config,
        policy=bench.policy,
        scheduler=scheduler,
        environment=players.environment,
        credit=build_credit(bench.config),
        trainer=Trainer(bench.policy, train, total_updates=train.steps, reference=reference, probe_rows=probe_rows),
        evaluate=bench.evaluation_metrics,
        checkpoints=checkpoints,
        ledger=books.ledger,
        metrics=books.metrics,
        observer=observer,
        levels=levels_of(bench.tasks.pool),
        start=profile_costs(profile),
        extra_state={"kernels": bench.policy.kernels.describe()},
        supply=players.supply,
        proposals=books.proposals,
    )


def _start_policy(config: Config, directory: Path) -> Policy:
    """What the run began with, also after a resume; it never learns."""
    return Policy.load(directory, device=config.model.device, dtype=config.model.dtype).clone_frozen()
