"""Names: those of TRL's parts, for run files, and TRL's words for our keys, in messages."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rekindle.integrations.settings.words import Wording
from rekindle.integrations.trl.settings.tables import NAMES as ARGUMENTS
from rekindle.integrations.trl.settings.tables import PLACES
from rekindle.types import UserError

__all__ = ["NAMES", "model_name", "reward_names", "said"]

PHRASES: Mapping[str, str] = MappingProxyType(
    {
        "add --resume to go on with its run": "go on with its run (resume_from_checkpoint=True in train())",
        "continue with --resume": "go on with resume_from_checkpoint=True",
        "choose another --out": "choose another output_dir",
        "another --out": "another output_dir",
        "restore their file, or begin a new run with the model of its last checkpoint (model.path) and": "restore the "
        "dataset, or begin a new run with the model of its last checkpoint and",
        "a run resumes with the settings it was started with (its length, checkpoint.keep, its trackers, and the "
        "places of files and servers may change)": "a run resumes with the settings it was started with (max_steps "
        "may change)",
        "the verifier (task.verifier) does not read the format": "the reward functions do not read the format",
        "add prompts (task.pool_size)": "add rows to train_dataset in a new run,",
        "(model.chat_template, model.system_prompt, engine.stop)": "(the tokenizer's chat template, the dataset's "
        "prompts)",
        "`rekindle try` shows them:": "log_completions=True shows them:",
        "how to answer, or choose another verifier": "how to answer, or change the reward function",
        "a missing end token or engine.stop": "a missing end token",
        "; make a profile of this run's model and settings with `rekindle profile`, or set profile.force = true to use "
        "it anyway": "; leave profile.path out, and the trainer profiles the prompts itself, or set profile.force = "
        "true to use it anyway",
        "; profile this pool with `rekindle profile`": "; leave profile.path out, and the trainer profiles the prompts "
        "itself",
        "; make one with `rekindle profile`": "; leave profile.path out, and the trainer profiles the prompts itself",
        "; make a profile with `rekindle profile`": "; leave profile.path out, and the trainer profiles the prompts "
        "itself",
    }
)
"""What a message says of a run of the command line, and what it says inside TRL."""
TABLES: Mapping[str, str] = MappingProxyType(
    {
        "rewards[": "reward_funcs[",
        "audits[": "reward_funcs[",
        "model.": "model",
        "warm_start.": "model",
        "eval.": "eval_dataset",
        "samples.": "log_completions",
        "task.": "train_dataset",
        "optimizer.": "optim",
        "checkpoint.": "save_strategy",
        "train.": "max_steps",
        "engine.": "generation_kwargs",
    }
)
"""Argument of TRL's trainer for all other keys of a table."""
NAMES: Mapping[str, str] = MappingProxyType(
    {
        **ARGUMENTS,
        "train.group_size": "num_generations",
        "train.temperature": "temperature",
        "train.groups_per_step": "generation_batch_size / num_generations",
        "optimizer.minibatches": "steps_per_generation / gradient_accumulation_steps",
    }
)
"""Argument of TRL by our key."""
said = Wording(PLACES, PHRASES, NAMES, TABLES).said


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
