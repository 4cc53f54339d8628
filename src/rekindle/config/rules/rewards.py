"""Rules about reward functions."""

import re
from collections.abc import Iterator

from rekindle.config.facts import plays_itself, reward_name, verifier_is_a_reward
from rekindle.config.tables import Config

__all__ = [
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
    for index, one in enumerate(config.rewards):
        if not SPEC.fullmatch(one.function):
            yield (
                f"rewards[{index}].function = {one.function!r} names no function; write FILE.py:NAME, e.g. "
                '"my_reward.py:score", or package.module:NAME'
            )


def rewards_have_names(config: Config) -> Iterator[str]:
    """Two rewards of one name, or a name that cannot be that of a metric."""
    names = [reward_name(one) for one in config.rewards]
    if verifier_is_a_reward(config):
        names.append(config.task.verifier)
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f'two rewards have the name "{name}"; give one of them another (rewards.name)'
        elif name and (not NAME.fullmatch(name) or name == TAKEN):
            yield (
                f"rewards[{index}].name = {name!r} cannot be the name of a reward; use letters, digits, _ . and -, and "
                f'not "{TAKEN}"'
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
