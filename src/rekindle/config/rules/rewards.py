"""Rules about reward functions and audits."""

import re
from collections.abc import Iterator

from rekindle.config.facts import audit_name, plays_itself, reward_name, verifier_is_a_reward, verifier_name
from rekindle.config.tables import Config

__all__ = [
    "audits_are_second_opinions",
    "audits_have_names",
    "rewards_have_names",
    "rewards_judge_given_tasks",
    "rewards_name_functions",
    "threshold_can_be_reached",
]

SPEC = re.compile(r"(?:.+\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.DOTALL)
NAME = re.compile(r"\w[\w.-]{0,63}", re.ASCII)
TAKEN = "mean"
"""The metric ``reward/mean`` is that of their sum."""


def rewards_name_functions(config: Config) -> Iterator[str]:
    """A function that is not given as a file or module and a name."""
    functions = {f"rewards[{index}]": one.function for index, one in enumerate(config.rewards)}
    functions |= {f"audits[{index}]": one.function for index, one in enumerate(config.audits) if one.function}
    for where, function in functions.items():
        if not SPEC.fullmatch(function):
            yield (
                f"{where}.function = {function!r} names no function; write FILE.py:NAME, e.g. "
                '"my_reward.py:score", or package.module:NAME'
            )


def rewards_have_names(config: Config) -> Iterator[str]:
    """Two rewards of one name, or a name that cannot be that of a metric."""
    names = [reward_name(one) for one in config.rewards]
    if verifier_is_a_reward(config):
        names.append(config.task.verifier)
    yield from _names("reward", names)


def audits_have_names(config: Config) -> Iterator[str]:
    """Two audits of one name, or a name that cannot be that of a metric."""
    yield from _names("audit", [audit_name(one) for one in config.audits])


def _names(kind: str, names: list[str]) -> Iterator[str]:
    for index, name in enumerate(names):
        if name and name in names[:index]:
            yield f'two {kind}s have the name "{name}"; give one of them another ({kind}s.name)'
        elif name and (not NAME.fullmatch(name) or name == TAKEN):
            yield (
                f"{kind}s[{index}].name = {name!r} cannot be the name of {'an' if kind == 'audit' else 'a'} {kind}; "
                f'use letters, digits, _ . and -, and not "{TAKEN}"'
            )


def audits_are_second_opinions(config: Config) -> Iterator[str]:
    """An audit without a verifier or function, by the verifier that is trained on, or of another source's tasks."""
    trained = None if config.rewards else verifier_name(config.task)
    for index, one in enumerate(config.audits):
        if one.verifier is None and one.function is None:
            yield f'audits[{index}] names no judge; set verifier, e.g. to "exact_match", or function'
        elif one.verifier is not None and one.verifier == trained:
            yield (
                f'audits[{index}].verifier = "{one.verifier}" is the verifier that is trained on, and would always '
                "agree; choose another"
            )
        elif one.verifier == "reasoning_gym" and config.task.source != "reasoning_gym":
            yield (
                f'audits[{index}].verifier = "reasoning_gym" only judges its own tasks; set task.source = '
                '"reasoning_gym"'
            )


def rewards_judge_given_tasks(config: Config) -> Iterator[str]:
    """Reward functions in self-play, whose questions are checked by comparing answers."""
    if config.rewards and plays_itself(config):
        yield (
            'task.source = "self_play" compares answers to check its own questions, which [[rewards]] cannot do; '
            "remove [[rewards]] and choose a task.verifier"
        )


def threshold_can_be_reached(config: Config) -> Iterator[str]:
    """A threshold of success outside the scores of verifiers."""
    threshold = config.task.success_threshold
    if not config.rewards and not 0 < threshold <= 1:
        yield (
            f"task.success_threshold = {threshold:g} is outside of the scores of verifiers, from 0 to 1; set it above "
            "0 and at most 1"
        )
