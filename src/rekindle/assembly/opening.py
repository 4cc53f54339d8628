"""Opening a workbench: loads tasks, verifier, retrievers and policy, and closes them again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import transformers

from rekindle.assembly.bench import Workbench
from rekindle.assembly.end_tokens import warn_of_missing_ends
from rekindle.assembly.engines import build_engine
from rekindle.assembly.prompt_rooms import with_room
from rekindle.assembly.threads import fastest_threads
from rekindle.config import Config
from rekindle.environments.retrievers import opened_retrievers
from rekindle.environments.rewards import build_rewards, with_given
from rekindle.given import NOTHING, Given
from rekindle.hub import is_commit
from rekindle.models.lora import NewAdapter, SavedAdapter
from rekindle.models.policy import Policy
from rekindle.models.reading import ReadModel, read_model
from rekindle.notices import Say, adopt_loggers
from rekindle.preflight import settled, task_set
from rekindle.tasks.loading import TaskSet

__all__ = ["load_policy", "workbench", "workbench_of"]


@contextmanager
def workbench(
    config: Config,
    model: Path,
    say: Say = print,
    *,
    base: Path | None = None,
    threads: int | None = None,
    tasks: TaskSet | None = None,
    tasks_commit: str | None = None,
    given: Given = NOTHING,
    audits: bool = False,
    read_policy: ReadModel = read_model,
) -> Iterator[Workbench]:
    """Load tasks, verifier and policy; worker processes end with the context.

    Args:
        config: The complete configuration.
        model: Directory of the policy, or of its adapter.
        say: Shows a line before slow work.
        base: Directory of the model that an adapter belongs to.
        threads: CPU threads, where the configuration names none; None: they are measured.
        tasks: Result of ``task_set`` for this configuration, where the caller has it already.
        tasks_commit: Commit of the tasks' data set on the hub that a run began with.
        given: Parts that a script made itself.
        audits: Whether the audits of the configuration judge as well.
        read_policy: Reads the model directory of the policy.
    """
    threads = config.train.threads or threads or fastest_threads(base or model)

    def read() -> TaskSet:
        return given.tasks or tasks or task_set(config, say, commit=tasks_commit)

    def load() -> Policy:
        return load_policy(config, model, base, read_policy)

    with _opened(config, load, say, read, given, threads, audits) as bench:
        yield replace(bench, directory=base or model)


def load_policy(config: Config, model: Path, base: Path | None = None, read: ReadModel = read_model) -> Policy:
    """The policy in a directory, on the device and with the adapter and the chat template of a configuration.

    Args:
        config: The complete configuration.
        model: Directory of the policy, or of its adapter.
        base: Directory of the model that an adapter belongs to.
        read: Reads the model directory.

    Raises:
        ModelError: It cannot be loaded, or its chat template cannot be used.
    """
    table = config.model
    policy = Policy.load(
        base or model,
        device=table.device,
        dtype=table.dtype,
        trust_remote_code=table.trust_remote_code,
        float32_head=table.float32_head,
        adapter=SavedAdapter(model) if base else _new_adapter(config, model),
        recompute=table.gradient_checkpointing,
        read=read,
    )
    if table.chat_template:
        policy.use_template(table.template, table.template_variables)
    return policy


def _new_adapter(config: Config, model: Path) -> NewAdapter | None:
    """The adapter that a run begins with; None where all weights are trained."""
    lora = config.model.lora
    if lora.rank == 0:
        return None
    commit = model.name if is_commit(model.name) else None  # the name of a directory of the hub's cache
    return NewAdapter(lora.rank, lora.alpha, lora.targets, config.train.seed, config.model.path or "", commit)


@contextmanager
def workbench_of(
    config: Config, policy: Policy, say: Say = print, *, tasks: TaskSet | None = None
) -> Iterator[Workbench]:
    """Workbench of a policy that is already loaded."""

    def read() -> TaskSet:
        return tasks or task_set(config, say)

    with _opened(config, lambda: policy, say, read, NOTHING, config.train.threads or 1) as bench:
        yield bench


@contextmanager
def _opened(
    config: Config,
    load: Callable[[], Policy],
    say: Say,
    read: Callable[[], TaskSet],
    given: Given,
    threads: int,
    audits: bool = False,
) -> Iterator[Workbench]:
    torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()  # its progress bars would break the run's own display
    adopt_loggers()
    tasks = read()
    config = settled(with_given(config, given.rewards), tasks)
    every = (*tasks.pool, *tasks.held_out)
    with ExitStack() as stack:
        verifier = stack.enter_context(closing(build_rewards(config, given.rewards, tasks=every, audits=audits)))
        retrievers = given.retrievers or stack.enter_context(opened_retrievers(config, say))
        policy = load()
        warn_of_missing_ends(config, policy)
        engine = (given.engine or build_engine)(config, policy)
        bench = Workbench(config, policy, engine, tasks, verifier, retrievers, given=given)
        yield replace(bench, tasks=with_room(bench, say))
