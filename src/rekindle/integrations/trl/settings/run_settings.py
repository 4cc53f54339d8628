"""The configuration of a run inside TRL, of a recipe and TRL's arguments; and the arguments that the recipe decides.

Where an argument of TRL and a key of ours mean the same (``links``):

- A recipe decides a key that it sets to another value than recipe ``grpo`` has, and tables decide every key in them.
  What they decide holds where the argument has TRL's default. Where a script set the argument to something else, the
  two are refused.
- All other keys have the argument's value, TRL's default included.

TRL's batch arguments decide how many groups a step has (``step_shape``), because the user's memory does.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rekindle.config import Config, ConfigError, merge
from rekindle.integrations.settings.links import decided_paths, decided_settings
from rekindle.integrations.settings.paths import at, draft, nested, where_read, without_condition
from rekindle.integrations.settings.rewards import counts_successes, reward_tables
from rekindle.integrations.settings.tables import recipe_tables
from rekindle.integrations.trl.settings.arguments import Arguments
from rekindle.integrations.trl.settings.links import LINKS
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
    tables = recipe_tables(recipe)
    refuse_tables(tables)
    refuse_arguments(arguments)
    preset = preset_of(tables.get("recipe", "grpo"), tables.get("base"), where="RekindleTrainer")
    refuse_preset(preset)
    chosen = merge(preset, tables)
    decided = decided_paths(LINKS, preset, tables)
    read = meant(chosen, arguments)
    refuse_contradictions(chosen, tables, decided, read)
    asked = {link.path: link.value(read) for link in LINKS if link.path not in decided}
    if steps is None and rows is not None:
        size = at(chosen, "train.group_size") if "train.group_size" in decided else arguments.num_generations
        steps = arguments.updates_of(rows, size if isinstance(size, int) and size > 0 else 1)
    given = {**_surroundings(arguments, model, rewards, steps), **without_condition(asked)}
    try:
        sketch = draft(chosen, given)
        refuse_sizes(sketch, arguments)
        given |= where_read(asked, sketch)
        given |= _measured(draft(chosen, given), tables)
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
    return decided_settings(LINKS, config, arguments)


def _resolved(tables: Mapping[str, Any], given: Mapping[str, Any]) -> Config:
    try:
        return resolve(tables, given=nested(given))
    except ConfigError as error:
        raise ConfigError(in_words_of_trl(str(error), given)) from None


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
    return reward_tables(counted)


def _measured(draft: Config, tables: Mapping[str, Any]) -> dict[str, Any]:
    """TRL's standard deviation, where the estimator is TRL's and the tables leave it alone."""
    if draft.advantage.estimator != "grpo":
        return {}
    return {path: value for path, value in TRL_DEVIATION.items() if at(tables, path) is None}


def _sized(
    chosen: Mapping[str, Any], given: Mapping[str, Any], tables: Mapping[str, Any], arguments: Arguments
) -> dict[str, Any]:
    """Groups of a step, the division of its updates, and whether rewards become 0 and 1."""
    groups = groups_per_step(draft(chosen, given), arguments)
    sizes = {"train.groups_per_step": groups, **update_keys(arguments, groups)}
    if at(tables, "task.binary_rewards") is not None:
        return sizes
    counts = counts_successes(draft(chosen, {**given, "task.binary_rewards": False}))
    return sizes | {"task.binary_rewards": counts}
