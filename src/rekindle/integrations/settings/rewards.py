"""Rewards of another trainer, for the record of a run, and whether they become 0 or 1."""

import re
from collections.abc import Iterable
from typing import Any

from rekindle.config import Config
from rekindle.config.rules.credit import successes_need_binary_rewards

__all__ = ["counts_successes", "reward_tables"]

LONGEST_NAME = 48


def reward_tables(rewards: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    """Entries of ``rewards``, of (name, weight)."""
    names: list[str] = []
    tables = []
    for name, weight in rewards:
        plain = _plain(name)
        names.append(plain if plain not in names else f"{plain}_{len(names) + 1}")
        tables.append({"function": f"given:{names[-1]}", "weight": float(weight), "in_process": True})
    return tables


def _plain(name: str) -> str:
    """A function's name as the name of a metric: of a lambda, or of a reward model's directory, another one."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)[-LONGEST_NAME:]
    return plain if plain[:1].isalpha() and plain != "mean" else f"reward_{plain.strip('_') or 1}"


def counts_successes(config: Config) -> bool:
    """Whether a recipe counts successes, so that rewards have to be 0 or 1.

    Args:
        config: Its configuration with ``task.binary_rewards = false``.
    """
    return any(successes_need_binary_rewards(config))
