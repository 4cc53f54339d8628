"""The settings of a run as a flat table, and those by which runs differ.

Left out is what changes no training: the seed, places of files and servers, the number of workers, and what is kept of
checkpoints, samples, evaluations and trackers. So is the length, where the learning rate does not depend on it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rekindle.observability.formatting import excerpt

__all__ = ["MEASURING", "Settings", "differing", "identity", "shown_value"]

Settings = Mapping[str, Any]
"""Dotted key -> value; a key without a value is missing."""

SEED = "train.seed"
MEASURING = ("eval.every", "eval.samples", "eval.prompts")
"""Keys that change what is measured, and not what is trained."""
_BOOKKEEPING = (
    SEED, "track", "tracking.", "checkpoint.", "samples.", "eval.", "audits[", "task.audit", "verify.workers",
    "train.threads", "train.max_steps_without_signal", "retriever.url", "retriever.cache_size", "retriever.token_env",
    "retriever.timeout_seconds", "retriever.retries", "judge.url", "judge.key_env", "judge.concurrency", "judge.cache",
    "judge.timeout_seconds", "check.url", "check.key_env", "check.concurrency", "check.timeout_seconds",
)  # fmt: skip
_LENGTH = ("train.steps", "train.rollouts", "train.tokens")
_SHOWN = 60
"""Most characters of a value."""


def identity(settings: Settings) -> dict[str, Any]:
    """The settings that make an arm: all that change the training. Files count by their names, without folders."""
    constant = settings.get("optimizer.schedule", "constant") == "constant"
    ignored = _BOOKKEEPING + (_LENGTH if constant else ())
    return {
        key: _without_folder(value)
        for key, value in settings.items()
        if not any(key == one or (one[-1] in ".[" and key.startswith(one)) for one in ignored)
    }


def _without_folder(value: Any) -> Any:
    """A path without the folder it is in: an absolute one, one of a home, or one that goes up."""
    if isinstance(value, str) and re.match(r"[/\\~]|\.{1,2}[/\\]|[A-Za-z]:[/\\]", value):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return json.dumps(value) if isinstance(value, list | dict) else value


def differing(all_settings: Sequence[Settings]) -> list[str]:
    """Keys whose values are not the same in all of the settings, in the order of the first that has them."""
    keys = dict.fromkeys(key for settings in all_settings for key in settings)
    return [key for key in keys if len({repr(settings.get(key)) for settings in all_settings}) > 1]


def shown_value(value: Any) -> str:
    """A value for people; a missing one is a dash. It is untrusted text."""
    return "–" if value is None else excerpt(str(value), _SHOWN).replace("\n", " ")
