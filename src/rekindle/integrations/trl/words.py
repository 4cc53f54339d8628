"""Names: those of TRL's parts, for run files, and TRL's words for our keys, in messages."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rekindle.types import UserError

__all__ = ["WORDS", "model_name", "reward_names"]

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "continue with --resume": "go on with resume_from_checkpoint=True",
        "choose another --out": "choose another output_dir",
        "another --out": "another output_dir",
        "a run resumes with the settings it was started with (its length, checkpoint.keep, its trackers, and the "
        "places of files and servers may change)": "a run resumes with the settings it was started with (max_steps "
        "may change)",
        "engine.max_new_tokens": "max_completion_length",
        "the verifier (task.verifier) does not read the format": "the reward functions do not read the format",
        "train.learning_rate": "learning_rate",
        "optimizer.warmup_steps": "warmup_steps",
        "train.group_size": "num_generations",
        "task.pool_size": "train_dataset",
        "(model.chat_template, model.system_prompt, engine.stop)": "(the tokenizer's chat template, the dataset's "
        "prompts)",
    }
)
"""What a TRL user sets, by what a message says of a native run."""


def model_name(model: Any) -> str:
    """Name or directory of a model that a script gave: text, or a model with a configuration."""
    if isinstance(model, str):
        return model
    found = getattr(getattr(model, "config", None), "_name_or_path", "")
    return str(found) or type(model).__name__


def reward_names(functions: Any) -> list[str]:
    """Names of reward functions, as TRL has them: of a function its own, of a model the last part of its path.

    Raises:
        UserError: Two have the same name, and their values could not be told apart.
    """
    several: Sequence[Any] = [] if functions is None else functions if isinstance(functions, list) else [functions]
    names = [_name(one) for one in several]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f'two reward functions have the name "{twice[0]}"; rename one, because metrics go by the name')
    return names


def _name(function: Any) -> str:
    if isinstance(function, str):
        return function.rstrip("/").rpartition("/")[2]
    inner = getattr(function, "func", function)  # of a functools.partial
    if name := getattr(inner, "__name__", ""):
        return str(name)
    return model_name(function).rstrip("/").rpartition("/")[2]
