"""The verifier of a run: the built-in one, or the weighted sum of reward functions; and its audits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from rekindle.config import Config
from rekindle.config.facts import (
    audit_name,
    own_audit,
    plays_search,
    reward_name,
    verifier_is_a_reward,
    verifier_name,
)
from rekindle.config.tables.rewards import AuditTable, RewardTable
from rekindle.given import GivenReward, given_tables
from rekindle.preflight import refuse_given
from rekindle.types import Task
from rekindle.verifiers.audited import Audit, AuditedVerifier, function_audit, verifier_audit
from rekindle.verifiers.function_files import file_digest
from rekindle.verifiers.functions import FunctionJudge, LocalFunction, WorkerFunction, check_call
from rekindle.verifiers.rewards import build_verifier, named_verifier
from rekindle.verifiers.verifier import Verifier
from rekindle.verifiers.weighted import WeightedVerifier, function_part, verifier_part

__all__ = ["build_rewards", "file_digests", "trouble_of", "with_given"]


def with_given(config: Config, given: Sequence[GivenReward]) -> Config:
    """The configuration with an entry of ``rewards`` for every given function that it does not name."""
    named = {one.function for one in config.rewards}
    further = [RewardTable.model_validate(one) for one in given_tables(given) if one["function"] not in named]
    return config.model_copy(update={"rewards": (*config.rewards, *further)}) if further else config


def build_rewards(
    config: Config,
    given: Sequence[GivenReward] = (),
    *,
    tasks: Iterable[Task] = (),
    token_ids: bool = True,
    audits: bool = False,
) -> Verifier:
    """Build what judges the rollouts of a configuration. Functions of files are imported now.

    Args:
        config: The complete configuration.
        given: Functions that it names as ``given:NAME``; those that it does not name are further rewards.
        tasks: The tasks that will be judged, whose columns are compared with what the functions need.
        token_ids: Whether the tokens of completions will be known.
        audits: Whether audits judge as well.

    Raises:
        VerifierError: A function cannot be imported or called, or see ``verifiers.rewards.build_verifier``.
    """
    config = with_given(config, given)
    known = tuple(tasks)
    with_tokens = token_ids and not plays_search(config)
    functions = {one.place: one.function for one in given}

    def opened(table: RewardTable | AuditTable, where: str) -> FunctionJudge:
        judge = _judge(config, table, f'{where}.function = "{table.function}"', functions)
        stack.callback(judge.close)
        check_call(judge.signature, known, f'{where}.function = "{table.function}"', token_ids=with_tokens)
        return judge

    with ExitStack() as stack:
        verifier = _trained_on(config, opened)
        if audits and (found := _audits(config, opened)):
            verifier = AuditedVerifier(verifier, found)
        stack.pop_all()
    return verifier


Opened = Callable[[RewardTable | AuditTable, str], FunctionJudge]
"""(table, its place in the configuration) -> the function, ready to be called."""


def _trained_on(config: Config, opened: Opened) -> Verifier:
    """The built-in verifier, or the weighted sum of the rewards."""
    if not config.rewards:
        return build_verifier(config.task, config.verify, config.judge)
    parts = [
        function_part(reward_name(table), table.weight, opened(table, f"rewards[{index}]"))
        for index, table in enumerate(config.rewards)
    ]
    if verifier_is_a_reward(config):
        verifier = build_verifier(config.task, config.verify, config.judge)
        parts.append(verifier_part(verifier_name(config.task), config.task.verifier_weight, verifier))
    return WeightedVerifier(parts)


def _audits(config: Config, opened: Opened) -> list[Audit]:
    """The audits of a configuration: its own, or the stricter sibling of its verifier."""
    if (sibling := own_audit(config)) is not None:
        return [verifier_audit(sibling, 1.0, named_verifier(sibling, config.verify, config.judge))]
    return [
        verifier_audit(audit_name(table), table.share, named_verifier(table.verifier, config.verify, config.judge))
        if table.verifier is not None
        else function_audit(audit_name(table), table.share, opened(table, f"audits[{index}]"))
        for index, table in enumerate(config.audits)
    ]


def _judge(
    config: Config, table: RewardTable | AuditTable, where: str, given: Mapping[str, Callable[..., Any]]
) -> FunctionJudge:
    spec = table.function or ""
    if (function := given.get(spec)) is not None:
        return LocalFunction(function, where)
    refuse_given(spec, where)
    if table.in_process:
        return LocalFunction.of_file(spec, where)
    return WorkerFunction(spec, where, workers=config.verify.workers, timeout_seconds=table.timeout_seconds)


def trouble_of(verifier: Verifier) -> str:
    """The last problem of a reward function as a sentence; "" where there was none."""
    trained = verifier.verifier if isinstance(verifier, AuditedVerifier) else verifier
    return trained.trouble if isinstance(trained, WeightedVerifier) else ""


def file_digests(config: Config) -> dict[str, str]:
    """Digest of the file of each reward function by name; functions without a file are left out."""
    found = {reward_name(one): file_digest(one.function) for one in config.rewards}
    return {name: digest for name, digest in found.items() if digest}
