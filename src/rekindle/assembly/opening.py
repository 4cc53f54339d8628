"""Opening a workbench: everything that it needs is loaded, and let go of again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import transformers

from rekindle.assembly.bench import Workbench
from rekindle.assembly.engines import EngineFactory, build_engine
from rekindle.assembly.retrievers import opened_retrievers
from rekindle.config import Config
from rekindle.models.policy import Policy
from rekindle.tasks.loading import load_tasks
from rekindle.training.checkpoint import Checkpoints
from rekindle.verifiers.rewards import build_verifier

__all__ = ["model_directory", "workbench", "workbench_of"]


@contextmanager
def workbench(
    config: Config, model: Path, say: Callable[[str], None] = print, engine: EngineFactory = build_engine
) -> Iterator[Workbench]:
    """Load tasks, verifier and policy; worker processes end with the context.

    Args:
        config: The run.
        model: Directory of the policy.
        say: Told what takes a while.
        engine: Makes the engine of the policy.
    """

    def load() -> Policy:
        return Policy.load(
            model,
            device=config.model.device,
            dtype=config.model.dtype,
            trust_remote_code=config.model.trust_remote_code,
        )

    with _opened(config, load, say, engine) as bench:
        yield replace(bench, directory=model)


@contextmanager
def workbench_of(config: Config, policy: Policy, say: Callable[[str], None] = print) -> Iterator[Workbench]:
    """The same around a policy that is there already."""
    with _opened(config, lambda: policy, say, build_engine) as bench:
        yield bench


@contextmanager
def _opened(
    config: Config, load: Callable[[], Policy], say: Callable[[str], None], engine: EngineFactory
) -> Iterator[Workbench]:
    torch.set_num_threads(config.train.threads)
    transformers.utils.logging.disable_progress_bar()  # a bar per checkpoint would tear the run's own display
    if config.task.source == "reasoning_gym":
        say(f"generating tasks of {config.task.name} ...")
    tasks = load_tasks(config.task, eval_prompts=config.eval.prompts, seed=0)
    with ExitStack() as stack:
        verifier = stack.enter_context(closing(build_verifier(config.task, config.verify, config.judge)))
        retrievers = stack.enter_context(opened_retrievers(config, say))
        policy = load()
        yield Workbench(config, policy, engine(config, policy), tasks, verifier, retrievers)


def model_directory(chosen: Path | None) -> Path | None:
    """Where the weights are in what a user names: a run (its last checkpoint), a checkpoint, or a model directory."""
    if chosen is None:
        return None
    checkpoints = Checkpoints(chosen / "checkpoints", keep=1)
    if steps := checkpoints.steps():
        return checkpoints.path(steps[-1]) / "model"
    return chosen / "model" if (chosen / "model").is_dir() else chosen
