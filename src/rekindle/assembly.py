"""The one place where a configuration becomes objects."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers

from rekindle.config import Config
from rekindle.engines.protocol import Engine
from rekindle.engines.torch_engine import TorchEngine
from rekindle.environments.single_turn import SamplingLimits, SingleTurn
from rekindle.evaluation.evaluator import Evaluation, evaluate
from rekindle.learning.aggregation import named_aggregation
from rekindle.learning.estimators import ESTIMATORS
from rekindle.models.kernels import Kernels
from rekindle.models.policy import Policy
from rekindle.models.tiny import build_tiny
from rekindle.observability.metrics import MetricsWriter
from rekindle.observability.runs import load_run
from rekindle.scheduling import gates, group_sizes, temperatures
from rekindle.scheduling.history import History
from rekindle.scheduling.ledger import Ledger
from rekindle.scheduling.null_control import frozen_run, posterior_rates, recycled_share
from rekindle.scheduling.pools import CyclingPool, Pool, RecyclingPool
from rekindle.scheduling.scheduler import Refill, Scheduler
from rekindle.tasks import spell_backward
from rekindle.tasks.loading import TaskSet, load_tasks
from rekindle.training import run_directory, warm_start
from rekindle.training.checkpoint import Checkpoints
from rekindle.training.loop import Observer, Parts, TrainingLoop
from rekindle.training.trainer import Trainer
from rekindle.types import Outcome, Task, outcome_of
from rekindle.verifiers.protocol import Verifier
from rekindle.verifiers.rewards import build_verifier, reward

__all__ = ["Workbench", "build_scheduler", "model_directory", "open_run", "workbench", "write_null_control"]

EVALUATION_SEED = 1_000_003
PROFILE_PROMPTS, PROFILE_SAMPLES = 256, 4


@dataclass(frozen=True, slots=True)
class Workbench:
    """A policy that can be played with: what training and evaluation share."""

    config: Config
    policy: Policy
    engine: Engine
    tasks: TaskSet
    verifier: Verifier
    directory: Path | None = None
    """Where the policy's weights came from."""

    def environment(self, tasks: Sequence[Task]) -> SingleTurn:
        """An environment over ``tasks`` with the policy as it is."""
        table, model, sampling = self.config.task, self.config.model, self.config.engine
        return SingleTurn(
            tasks,
            encode=lambda text: self.policy.encode_prompt(
                text, chat_template=model.chat_template, system_prompt=model.system_prompt
            ),
            engine=self.engine,
            verifier=self.verifier,
            reward=lambda score: reward(score, table.binary_rewards, table.success_threshold),
            limits=SamplingLimits(
                max_new_tokens=sampling.max_new_tokens,
                context=self.policy.max_length,
                top_p=sampling.top_p,
                min_p=sampling.min_p,
                stop=sampling.stop,
            ),
        )

    def evaluate(self, samples: int, temperature: float) -> Evaluation:
        """Play the held-out prompts."""
        return evaluate(
            self.environment(self.tasks.held_out),
            self.tasks.held_out,
            samples=samples,
            temperature=temperature,
            seed=EVALUATION_SEED,
            success_at=self.config.task.success_threshold,
        )

    def evaluation_metrics(self) -> dict[str, float]:
        """``eval/accuracy`` (sampled at temperature 1) and ``eval/greedy``."""
        sampled = self.evaluate(self.config.eval.samples, temperature=1.0)
        return {"eval/accuracy": sampled.accuracy, "eval/greedy": self.evaluate(1, temperature=0.0).accuracy}


@contextmanager
def workbench(config: Config, model: Path | None = None, say: Callable[[str], None] = print) -> Iterator[Workbench]:
    """Load tasks, verifier and policy; worker processes end with the context.

    Args:
        config: The run.
        model: Directory of the policy; absent: ``model.path``, or the tiny model's warm start.
        say: Told what takes a while.
    """
    torch.set_num_threads(config.train.threads)
    transformers.utils.logging.disable_progress_bar()  # a bar per checkpoint would tear the run's own display
    if config.task.source == "reasoning_gym":
        say(f"generating tasks of {config.task.name} ...")
    tasks = load_tasks(config.task, eval_prompts=config.eval.prompts, seed=0)
    verifier = build_verifier(config.task, config.verify)
    try:
        path = model or (Path(config.model.path) if config.model.path else warm_started(config, tasks, verifier, say))
        policy = Policy.load(
            path,
            device=config.model.device,
            dtype=config.model.dtype,
            trust_remote_code=config.model.trust_remote_code,
        )
        yield Workbench(config, policy, _engine(config, policy), tasks, verifier, path)
    finally:
        verifier.close()


@contextmanager
def open_run(
    config: Config,
    directory: Path,
    *,
    resume: bool,
    observer: Callable[[int, int], Observer],
    say: Callable[[str], None],
) -> Iterator[TrainingLoop]:
    """Prepare a run directory and everything that runs in it.

    Args:
        config: The complete configuration; kept as ``config.toml``.
        directory: Run directory; must be new or empty unless ``resume``.
        resume: Go on from the last checkpoint, or start where there is none.
        observer: Makes who is shown the run, given the step and the total rollouts it begins with.
        say: Told what takes a while.
    """
    run_directory.check(config, directory, resume=resume)
    checkpoints = Checkpoints(directory / "checkpoints", config.checkpoint.keep)
    step = checkpoints.steps()[-1] if checkpoints.steps() else 0
    model = checkpoints.path(step) / "model" if step else None
    # What can be wrong with model and tasks is wrong before anything is written.
    with workbench(config, model, say) as bench, run_directory.locked(directory):
        _describe(directory, bench)
        checkpoints.prepare()
        saved = checkpoints.load(step) if step else None
        with (
            closing(Ledger(directory / "ledger.sqlite")) as ledger,
            MetricsWriter(directory / "metrics.jsonl") as metrics,
        ):
            ledger.truncate_after(step)
            metrics.truncate_after(step if step else -1)
            if saved:  # the libraries round differently: a resumed run goes on with those it began with
                bench.policy.use_kernels(Kernels.from_description(saved[1]["kernels"]))
            shown = observer(step, int(saved[1]["totals"]["rollouts"]) if saved else 0)
            loop = TrainingLoop(_parts(bench, checkpoints, ledger, metrics, shown))
            if saved:
                loop.restore(step, *saved)
            yield loop


def _describe(directory: Path, bench: Workbench) -> None:
    run_directory.describe(
        directory,
        bench.config,
        device=str(bench.policy.device),
        parameters=bench.policy.parameter_count,
        pool=len(bench.tasks.pool),
        held_out=len(bench.tasks.held_out),
    )


def _engine(config: Config, policy: Policy) -> Engine:
    return TorchEngine(policy, max_rows=config.engine.max_rows)


def model_directory(chosen: Path | None) -> Path | None:
    """Where the weights are in what a user names: a run (its last checkpoint), a checkpoint, or a model directory."""
    if chosen is None:
        return None
    checkpoints = Checkpoints(chosen / "checkpoints", keep=1)
    if steps := checkpoints.steps():
        return checkpoints.path(steps[-1]) / "model"
    return chosen / "model" if (chosen / "model").is_dir() else chosen


def _parts(
    bench: Workbench, checkpoints: Checkpoints, ledger: Ledger, metrics: MetricsWriter, observer: Observer
) -> Parts:
    train = bench.config.train
    reference = _reference(bench) if train.kl_coefficient > 0 else None
    return Parts(
        config=bench.config,
        policy=bench.policy,
        scheduler=build_scheduler(bench.config, (task.id for task in bench.tasks.pool)),
        environment=bench.environment(bench.tasks.pool),
        estimator=ESTIMATORS[train.estimator],
        aggregation=named_aggregation(train.aggregation, bench.config.engine.max_new_tokens),
        trainer=Trainer(bench.policy, train, total_updates=train.steps, reference=reference),
        evaluate=bench.evaluation_metrics,
        checkpoints=checkpoints,
        ledger=ledger,
        metrics=metrics,
        observer=observer,
        extra_state={"kernels": bench.policy.kernels.describe()},
    )


def build_scheduler(config: Config, task_ids: Iterable[str]) -> Scheduler:
    """The scheduler of a configuration, over the prompts with these ids."""
    train, refill = config.train, config.refill
    return Scheduler(
        _pool(config, History(task_ids)),
        groups_per_step=train.groups_per_step,
        oversample=train.oversample,
        group_size=group_sizes.fixed(train.group_size),
        temperature=temperatures.fixed(train.temperature),
        gate=gates.GATES[train.gate],
        refill=Refill(refill.max_rounds, refill.on_exhausted) if refill.max_rounds else None,
        success_at=config.task.success_threshold,
        seed=train.seed,
    )


def write_null_control(config: Config, directory: Path, simulations: int = 3) -> None:
    """Put recycling's null control beside the run: the shares of the run, and those of the same sampler over a policy
    that never changes, whose success rates are the posterior of the run's own first step."""
    if config.pool.kind != "recycling":
        return
    run = load_run(directory)
    first = list(run.groups("step = 1 AND fate != 'failed'"))
    if not first:
        return
    rng = np.random.default_rng(config.train.seed)
    size, frozen = int(run.metrics[-1]["pool/size"]), []
    for _ in range(simulations):
        rates = posterior_rates([row["successes"] for row in first], [row["n"] for row in first], size, rng)
        frozen.append(
            recycled_share(
                frozen_run(build_scheduler(config, map(str, range(size))), rates, run.metrics[-1]["step"], rng)
            )
        )
    seen = recycled_share(run.metrics[1:])
    shares = {
        "recycled_share": seen.recycled,
        "frozen_share": float(np.mean([one.recycled for one in frozen])),
        "rescued_easy_share": seen.rescued_easy,
        "frozen_rescued_easy_share": float(np.mean([one.rescued_easy for one in frozen])),
        "all_correct_share": seen.all_correct,
        "frozen_all_correct_share": float(np.mean([one.all_correct for one in frozen])),
    }
    finite = {key: value for key, value in shares.items() if np.isfinite(value)}
    (directory / "null_control.json").write_text(json.dumps(finite, indent=2), encoding="utf-8")


def _pool(config: Config, history: History) -> Pool:
    pool = config.pool
    if pool.kind == "cycling":
        return CyclingPool(history)
    return RecyclingPool(history, pool.alpha, pool.on_empty, pool.reset_below)


def _reference(bench: Workbench) -> Policy:
    """The start policy: what the run began with, also after a resume."""
    start = Path(bench.config.model.path) if bench.config.model.path else None
    if start is None:
        start = warm_started(bench.config, bench.tasks, bench.verifier, lambda _: None)
    reference = Policy.load(start, device=bench.config.model.device, dtype=bench.config.model.dtype).clone_frozen()
    reference.use_kernels(bench.policy.kernels)
    return reference


# -- the tiny model's warm start --------------------------------------------------------------------------------------


def warm_started(config: Config, tasks: TaskSet, verifier: Verifier, say: Callable[[str], None]) -> Path:
    """Directory of the tiny model after its warm start, from the cache when it was made before.

    Raises:
        WarmStartError: Its profile is outside what RL can use.
    """
    key = {
        "tiny": config.model.tiny.model_dump(),
        "warm_start": config.warm_start.model_dump(exclude={"sampled_accuracy"}),
    }
    key |= {"task": {"source": config.task.source, "params": config.task.params}}
    directory, profile = warm_start.cached(key, lambda: _make_warm_start(config, tasks, verifier, say))
    low, high = config.warm_start.sampled_accuracy
    words = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in profile.items())
    if not low <= profile["sampled"] <= high:
        raise warm_start.WarmStartError(
            f"the warm start's sampled accuracy {profile['sampled']:.2f} is outside warm_start.sampled_accuracy = "
            f"({low}, {high}) ({words}); change warm_start.steps or warm_start.seed, or widen the range"
        )
    say(f"warm start ({directory}): {words}")
    return directory


def _make_warm_start(
    config: Config, tasks: TaskSet, verifier: Verifier, say: Callable[[str], None]
) -> tuple[Policy, dict[str, float]]:
    settings = config.warm_start
    policy = build_tiny(**config.model.tiny.model_dump(), characters=spell_backward.CHARACTERS, seed=settings.seed)
    count = settings.steps * settings.batch_size
    demonstrations = spell_backward.demonstrations(count, seed=settings.seed, params=config.task.params)
    say(f"warming up a model of {policy.parameter_count:,} parameters on {count:,} noisy demonstrations, once ...")

    def on_step(step: int, loss: float) -> None:
        if step % 100 == 0 or step == settings.steps:
            say(f"  warm start: step {step} of {settings.steps}, loss {loss:.2f}")

    warm_start.imitate(policy, demonstrations, settings, on_step)
    return policy, _profile(Workbench(config, policy, _engine(config, policy), tasks, verifier))


def _profile(bench: Workbench) -> dict[str, float]:
    """Pass rates and shares of unanimous groups, on prompts of the pool: held-out prompts decide nothing."""
    tasks = bench.tasks.pool[:PROFILE_PROMPTS]
    environment = bench.environment(tasks)
    sampled = evaluate(environment, tasks, samples=PROFILE_SAMPLES, seed=EVALUATION_SEED)
    greedy = evaluate(environment, tasks, samples=1, temperature=0.0)
    outcomes = [outcome_of([1.0] * correct + [0.0] * (PROFILE_SAMPLES - correct)) for correct in sampled.successes]
    return {
        "sampled": sampled.accuracy,
        "greedy": greedy.accuracy,
        "all_correct": outcomes.count(Outcome.ALL_CORRECT) / len(outcomes),
        "all_wrong": outcomes.count(Outcome.ALL_WRONG) / len(outcomes),
    }
