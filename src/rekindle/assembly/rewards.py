"""The verifier of a run: the built-in one, or the weighted sum of reward functions."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from rekindle.config import Config
from rekindle.config.facts import plays_search, reward_name, verifier_is_a_reward, verifier_name
from rekindle.config.tables.rewards import RewardTable
from rekindle.preflight import GIVEN, refuse_given
from rekindle.types import Task
from rekindle.verifiers.function_files import file_digest
from rekindle.verifiers.functions import FunctionJudge, LocalFunction, WorkerFunction, check_call
from rekindle.verifiers.rewards import build_verifier
from rekindle.verifiers.verifier import Verifier
from rekindle.verifiers.weighted import Part, WeightedVerifier, function_part, verifier_part

__all__ = ["GivenReward", "build_rewards", "file_digests", "given_tables", "trouble_of", "with_given"]


@dataclass(frozen=True, slots=True)
class GivenReward:
    """A reward function that a Python script handed over; it runs in this process.

    Attributes:
        name: Name in metrics and samples.
        function: TRL's or verl's signature.
        weight: Factor of its values in the reward.
    """

    name: str
    function: Callable[..., Any]
    weight: float = 1.0


def given_tables(given: Sequence[GivenReward]) -> list[dict[str, object]]:
    """Entries of ``rewards`` in a configuration, for given functions: ``{"function": "given:NAME", ...}``."""
    return [{"function": f"{GIVEN}:{one.name}", "weight": one.weight, "in_process": True} for one in given]


def with_given(config: Config, given: Sequence[GivenReward]) -> Config:
    """The configuration with an entry of ``rewards`` for every given function that it does not name."""
    named = {one.function for one in config.rewards}
    further = [RewardTable.model_validate(one) for one in given_tables(given) if one["function"] not in named]
    return config.model_copy(update={"rewards": (*config.rewards, *further)}) if further else config


def build_rewards(
    config: Config, given: Sequence[GivenReward] = (), *, tasks: Sequence[Task] = (), token_ids: bool = True
) -> Verifier:
    """Build what judges the rollouts of a configuration. Functions of files are imported now.

    Args:
        config: The complete configuration.
        given: Functions that it names as ``given:NAME``; those that it does not name are further rewards.
        tasks: The tasks that will be judged, whose columns are compared with what the functions need.
        token_ids: Whether the tokens of completions will be known.

    Raises:
        VerifierError: A function cannot be imported or called, or see ``verifiers.rewards.build_verifier``.
    """
    config = with_given(config, given)
    if not config.rewards:
        return build_verifier(config.task, config.verify, config.judge)
    functions = {f"{GIVEN}:{one.name}": one.function for one in given}
    parts: list[Part] = []
    with ExitStack() as opened:
        for index, table in enumerate(config.rewards):
            where = f'rewards[{index}].function = "{table.function}"'
            judge = _judge(config, table, where, functions)
            opened.callback(judge.close)
            check_call(judge.signature, tasks, where, token_ids=token_ids and not plays_search(config))
            parts.append(function_part(reward_name(table), table.weight, judge))
        if verifier_is_a_reward(config):
            verifier = build_verifier(config.task, config.verify, config.judge)
            parts.append(verifier_part(verifier_name(config.task), config.task.verifier_weight, verifier))
        opened.pop_all()
    return WeightedVerifier(parts)


def _judge(config: Config, table: RewardTable, where: str, given: Mapping[str, Callable[..., Any]]) -> FunctionJudge:
    if (function := given.get(table.function)) is not None:
        return LocalFunction(function, where)
    refuse_given(table.function, where)
    if table.in_process:
        return LocalFunction.of_file(table.function, where)
    return WorkerFunction(table.function, where, workers=config.verify.workers, timeout_seconds=table.timeout_seconds)


def trouble_of(verifier: Verifier) -> str:
    """The last problem of a reward function as a sentence; "" where there was none."""
    return verifier.trouble if isinstance(verifier, WeightedVerifier) else ""


def file_digests(config: Config) -> dict[str, str]:
    """Digest of the file of each reward function by name; functions without a file are left out."""
    found = {reward_name(one): file_digest(one.function) for one in config.rewards}
    return {name: digest for name, digest in found.items() if digest}
