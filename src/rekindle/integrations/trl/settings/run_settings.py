"""The configuration of a run inside TRL, of a recipe and TRL's arguments; and the arguments that the recipe decides.

Where an argument of TRL and a key of ours mean the same (``links``):

- A recipe decides a key that it sets to another value than recipe ``grpo`` has, and tables decide every key in them.
  What they decide holds where the argument has TRL's default. Where a script set the argument to something else, the
  two are refused.
- All other keys have the argument's value, TRL's default included.

TRL's batch arguments decide how many groups a step has (``step_shape``), because the user's memory does.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rekindle.config import Config, ConfigError, merge, read_toml, renamed
from rekindle.config.conditions import value_at
from rekindle.config.keys import keys_of
from rekindle.config.rules.credit import successes_need_binary_rewards
from rekindle.integrations.trl.settings.arguments import Arguments
from rekindle.integrations.trl.settings.links import LINKS, PLAIN
from rekindle.integrations.trl.settings.refusals import (
    in_words_of_trl,
    meant,
    refuse_arguments,
    refuse_contradictions,
    refuse_preset,
    refuse_result,
    refuse_sizes,
)
from rekindle.integrations.trl.settings.step_shape import groups_per_step, optimizer_record, update_keys
from rekindle.integrations.trl.settings.tables import refuse_tables
from rekindle.recipes import preset_of, resolve

__all__ = ["run_settings", "settled"]

CONDITIONS = {key.path: key.only for key in keys_of(Config) if key.only is not None}
LONGEST_NAME = 48
TRL_DEVIATION = {"advantage.deviation": "sample", "advantage.epsilon": 1e-4}
"""How TRL standardises the rewards of a group."""


def run_settings(
    recipe: str | Path | Mapping[str, Any],
    arguments: Arguments,
    *,
    model: str,
    rewards: Sequence[tuple[str, float]],
    steps: int | None = None,
    rows: int | None = None,
) -> Config:
    """The configuration of a run inside TRL.

    ``task.binary_rewards`` is on where the recipe counts successes: a reward of at least ``task.success_threshold`` is
    then 1, and any other 0. Elsewhere rewards stay as they are.

    Args:
        recipe: Name of a recipe, a TOML file, or tables of a configuration (``{"recipe": "erpo", "heating": {...}}``).
        arguments: TRL's.
        model: Name or directory of the model, for the record.
        rewards: (name, weight) of each reward function.
        steps: Optimizer steps of the run, where ``max_steps`` does not say.
        rows: Of the dataset, where ``num_train_epochs`` says how long the run is.

    Raises:
        ConfigError: The recipe, a key or an argument is not valid, or they contradict each other, or TRL has no place
            for what they ask. One line per problem.
    """
    tables = _tables(recipe)
    refuse_tables(tables)
    refuse_arguments(arguments)
    preset = preset_of(tables.get("recipe", "grpo"), tables.get("base"), where="RekindleTrainer")
    refuse_preset(preset)
    chosen = merge(preset, tables)
    decided = {link.path for link in LINKS if _decides(link.path, preset, tables)}
    read = meant(chosen, arguments)
    refuse_contradictions(chosen, tables, decided, read)
    asked = {link.path: link.value(read) for link in LINKS if link.path not in decided}
    if steps is None and rows is not None:
        size = _at(chosen, "train.group_size") if "train.group_size" in decided else arguments.num_generations
        steps = arguments.updates_of(rows, size if isinstance(size, int) and size > 0 else 1)
    given = {**_surroundings(arguments, model, rewards, steps), **_without_condition(asked)}
    try:
        given |= _where_read(asked, _draft(chosen, given), arguments)
        given |= _measured(_draft(chosen, given), tables)
        given |= _sized(chosen, given, tables, arguments)
    except ValidationError:  # which resolve puts in words
        _resolved(tables, given)
        raise
    config = _resolved(tables, given)
    refuse_result(config, arguments)
    return config


def settled(config: Config, arguments: Arguments) -> dict[str, object]:
    """The arguments that the recipe decides, with their values; those that TRL has right already are left out.

    To be set on a copy of the ``GRPOConfig`` before TRL reads it. TRL's own mask of truncated completions is off where
    the credit has one, and evaluation keeps its number of generations.
    """
    changed: dict[str, object] = {}
    for link in LINKS:
        if _is_read(link.path, config):
            changed |= link.arguments(config, arguments)
    return {name: value for name, value in changed.items() if value != getattr(arguments, name)}


def _resolved(tables: Mapping[str, Any], given: Mapping[str, Any]) -> Config:
    try:
        return resolve(tables, given=_nested(given))
    except ConfigError as error:
        raise ConfigError(in_words_of_trl(str(error), given)) from None


def _tables(recipe: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a recipe as a script gives it."""
    if isinstance(recipe, Mapping):
        return renamed(recipe, "recipe")
    if isinstance(recipe, Path) or (isinstance(recipe, str) and recipe.endswith(".toml")):
        return read_toml(Path(recipe))
    if not isinstance(recipe, str):
        raise ConfigError(
            f'recipe is {recipe!r:.80}, and it takes a name ("recycle"), the path of a TOML file, or tables '
            '({"recipe": "erpo", "heating": {"delta": 0.1}})'
        )
    return {"recipe": recipe}


def _decides(path: str, preset: Mapping[str, Any], tables: Mapping[str, Any]) -> bool:
    """Whether a key is in the tables, or has another value than in recipe grpo."""
    return _at(tables, path) is not None or _at(preset, path) != value_at(PLAIN, path)


def _surroundings(
    arguments: Arguments, model: str, rewards: Sequence[tuple[str, float]], steps: int | None
) -> dict[str, Any]:
    """Keys by path that no recipe decides: model, tasks, rewards, length of the run, sampling limits."""
    updates = arguments.max_steps if arguments.max_steps > 0 else steps
    return {
        "model.path": model or "in memory",
        "task.source": "given",
        "rewards": _reward_tables(rewards),
        "train.steps": updates and _steps(updates, arguments),
        "train.seed": arguments.seed,
        "train.learning_rate": arguments.learning_rate,
        "engine.max_new_tokens": arguments.max_completion_length,
        "engine.top_p": float(arguments.top_p),
        "engine.min_p": float(arguments.min_p or 0.0),
        **optimizer_record(arguments, updates),
        **update_keys(arguments, None),
    }


def _steps(updates: int, arguments: Arguments) -> int:
    """Steps, one per generation, of a number of optimizer steps."""
    batches = updates * arguments.gradient_accumulation_steps
    return max(1, math.ceil(batches / (arguments.micro_batches * arguments.num_iterations)))


def _reward_tables(rewards: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    """Entries of ``rewards``, for the record; functions with a weight of 0 or less have none."""
    counted = [(name, float(weight)) for name, weight in rewards if weight > 0]
    if rewards and not counted:
        weights = [weight for _, weight in rewards]
        raise ConfigError(
            f"reward_weights = {weights} has no weight above 0, so that no rollout could succeed; give a reward one"
        )
    names: list[str] = []
    for name, _ in counted:
        plain = _plain(name)
        names.append(plain if plain not in names else f"{plain}_{len(names) + 1}")
    return [
        {"function": f"given:{name}", "weight": weight, "in_process": True}
        for name, (_, weight) in zip(names, counted, strict=True)
    ]


def _plain(name: str) -> str:
    """A function's name as the name of a metric: of a lambda, or of a reward model's directory, another one."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)[-LONGEST_NAME:]
    return plain if plain[:1].isalpha() and plain != "mean" else f"reward_{plain.strip('_') or 1}"


def _without_condition(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Keys that are always read, with the arguments' values."""
    return {path: value for path, value in asked.items() if path not in CONDITIONS}


def _where_read(asked: Mapping[str, Any], draft: Config, arguments: Arguments) -> dict[str, Any]:
    """Keys that are read in this configuration, with the arguments' values; None is no value."""
    refuse_sizes(draft, arguments)
    return {path: value for path, value in asked.items() if value is not None and _is_read(path, draft)}


def _measured(draft: Config, tables: Mapping[str, Any]) -> dict[str, Any]:
    """TRL's standard deviation, where the estimator is TRL's and the tables leave it alone."""
    if draft.advantage.estimator != "grpo":
        return {}
    return {path: value for path, value in TRL_DEVIATION.items() if _at(tables, path) is None}


def _sized(
    chosen: Mapping[str, Any], given: Mapping[str, Any], tables: Mapping[str, Any], arguments: Arguments
) -> dict[str, Any]:
    """Groups of a step, the division of its updates, and whether rewards become 0 and 1."""
    groups = groups_per_step(_draft(chosen, given), arguments)
    sizes = {"train.groups_per_step": groups, **update_keys(arguments, groups)}
    if _at(tables, "task.binary_rewards") is not None:
        return sizes
    counts = any(successes_need_binary_rewards(_draft(chosen, {**given, "task.binary_rewards": False})))
    return sizes | {"task.binary_rewards": counts}


def _is_read(path: str, config: Config) -> bool:
    return path not in CONDITIONS or CONDITIONS[path].holds(config)


def _draft(chosen: Mapping[str, Any], given: Mapping[str, Any]) -> Config:
    """The configuration of a recipe with further keys, before its rules are checked."""
    values = merge(chosen, _nested(given))
    return Config.model_validate_json(json.dumps(values, default=str))


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of values by path."""
    found: dict[str, Any] = {}
    for path, value in values.items():
        nested: Any = value
        for part in reversed(path.split(".")):
            nested = {part: nested}
        found = merge(found, nested)
    return found


def _at(values: Mapping[str, Any], path: str) -> Any:
    """The value of a path in tables; None where there is none."""
    inner: Any = values
    for part in path.split("."):
        inner = inner.get(part) if isinstance(inner, Mapping) else None
    return inner
