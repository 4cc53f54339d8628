"""Opening a workbench: loads tasks, verifier, retrievers and policy, and closes them again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import transformers

from rekindle.assembly.bench import Workbench
from rekindle.assembly.end_tokens import warn_of_missing_ends
from rekindle.assembly.engines import EngineFactory, build_engine
from rekindle.assembly.prompt_rooms import with_room
from rekindle.assembly.retrievers import opened_retrievers
from rekindle.config import Config
from rekindle.models.policy import Policy
from rekindle.notices import Say, adopt_loggers
from rekindle.preflight import settled, task_set
from rekindle.tasks.loading import TaskSet
from rekindle.verifiers.rewards import build_verifier

__all__ = ["load_policy", "workbench", "workbench_of"]


@contextmanager
def workbench(
    config: Config,
    model: Path,
    say: Say = print,
    *,
    tasks: TaskSet | None = None,
    engine: EngineFactory = build_engine,
) -> Iterator[Workbench]:
    """Load tasks, verifier and policy; worker processes end with the context.

    Args:
        config: The complete configuration.
        model: Directory of the policy.
        say: Shows a line before slow work.
        tasks: Result of ``task_set`` for this configuration, where the caller has it already.
        engine: Makes the engine of the policy.
    """
    with _opened(config, lambda: load_policy(config, model), say, tasks, engine) as bench:
        yield replace(bench, directory=model)


def load_policy(config: Config, model: Path) -> Policy:
    """The policy in a directory, on the device and with the chat template of a configuration.

    Raises:
        ModelError: It cannot be loaded, or its chat template cannot be used.
    """
    table = config.model
    policy = Policy.load(
        model,
        device=table.device,
        dtype=table.dtype,
        trust_remote_code=table.trust_remote_code,
        float32_head=table.float32_head,
    )
    if table.chat_template:
        policy.use_template(table.template, table.template_variables)
    return policy


@contextmanager
def workbench_of(
    config: Config, policy: Policy, say: Say = print, *, tasks: TaskSet | None = None
) -> Iterator[Workbench]:
    """Workbench of a policy that is already loaded."""
    with _opened(config, lambda: policy, say, tasks, build_engine) as bench:
        yield bench


@contextmanager
def _opened(
    config: Config,
    load: Callable[[], Policy],
    say: Say,
    tasks: TaskSet | None,
    engine: EngineFactory,
) -> Iterator[Workbench]:
    torch.set_num_threads(config.train.threads)
    transformers.utils.logging.disable_progress_bar()  # its progress bars would break the run's own display
    adopt_loggers()
    tasks = tasks or task_set(config, say)
    config = settled(config, tasks)
    with ExitStack() as stack:
        verifier = stack.enter_context(closing(build_verifier(config.task, config.verify, config.judge)))
        retrievers = stack.enter_context(opened_retrievers(config, say))
        policy = load()
        warn_of_missing_ends(config, policy)
        bench = Workbench(config, policy, engine(config, policy), tasks, verifier, retrievers)
        yield replace(bench, tasks=with_room(bench, say))
