"""The configuration of a run on verl, of a recipe and verl's settings; and the settings that the recipe decides.

Where a setting of verl and a key of ours mean the same (``links``):

- A recipe decides a key that it sets to another value than recipe ``grpo`` has, and tables decide every key in them.
  What they decide holds where the setting has verl's default. Where it was set to something else, the two are refused.
- All other keys have the setting's value, verl's default included.

verl's batch sizes decide how many groups a step has (``step_shape``).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from rekindle.config import Config, ConfigError, merge
from rekindle.integrations.settings.links import decided_paths, decided_settings
from rekindle.integrations.settings.paths import at, draft, nested, where_read, without_condition
from rekindle.integrations.settings.rewards import counts_successes, reward_tables
from rekindle.integrations.verl.settings.environments import are_ours, environment_keys
from rekindle.integrations.verl.settings.impossible import refuse_values
from rekindle.integrations.verl.settings.links import LINKS
from rekindle.integrations.verl.settings.refusals import (
    in_words_of_verl,
    refuse_contradictions,
    refuse_lag,
    refuse_preset,
    refuse_result,
    refuse_single_rollouts,
    refuse_sizes,
)
from rekindle.integrations.verl.settings.step_shape import groups_per_step, optimizer_record, steps_of_run, update_keys
from rekindle.integrations.verl.settings.tables import refuse_tables
from rekindle.integrations.verl.settings.values import ACTOR, MANAGER, ROLLOUT, Values
from rekindle.recipes import preset_of, resolve

__all__ = ["RECIPE", "run_settings", "settled"]

RECIPE = "+rekindle.recipe"
"""The override that names the recipe."""
DEVIATION: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "grpo": {"advantage.deviation": "sample", "advantage.epsilon": 1e-6},
        "reinforce_pp_baseline": {"advantage.deviation": "sample"},
        "batch_standardize": {"advantage.deviation": "sample"},
    }
)
"""How verl's estimators of the same name standardise."""


def run_settings(tables: Mapping[str, Any], values: Values, *, steps: int | None = None) -> Config:
    """The configuration of a run on verl.

    ``task.binary_rewards`` is on where the recipe counts successes: a reward of at least ``task.success_threshold`` is
    then 1, and any other 0. Elsewhere rewards stay as they are.

    Args:
        tables: The table ``rekindle``: tables of a configuration, with the name of the recipe.
        values: verl's settings.
        steps: Steps of the run, where ``total_training_steps`` does not say; None: they are not known yet, and a step
            per epoch stands for them.

    Raises:
        ConfigError: The recipe, a key or a setting is not valid, or they contradict each other, or verl has no place
            for what they ask. One line per problem.
    """
    refuse_tables(tables)
    refuse_values(values)
    preset = preset_of(tables.get("recipe", "grpo"), tables.get("base"), where=RECIPE)
    refuse_preset(preset)
    chosen = merge(preset, tables)
    decided = decided_paths(LINKS, preset, tables)
    refuse_contradictions(chosen, tables, decided, values)
    asked = {link.path: link.value(values) for link in LINKS if link.path not in decided}
    given = {**_surroundings(values, steps), **(_of_verl(values) if not are_ours(tables) else {})}
    given |= without_condition(asked)
    try:
        if are_ours(tables):
            given |= environment_keys(chosen, tables, values, draft(chosen, given))
        sketch = draft(chosen, given)
        refuse_sizes(sketch, values)
        given |= where_read(asked, sketch)
        if "train.group_size" not in decided:
            refuse_single_rollouts(draft(chosen, given), values)
        given |= _measured(draft(chosen, given), tables)
        if draft(chosen, given).train.max_off_policy_steps:
            refuse_lag(draft(chosen, given), values)
            given["loss.old_logprobs"] = "recompute"
        given |= _binary(chosen, given, tables)
    except ValidationError:  # which resolve puts in words
        _resolved(tables, given)
        raise
    config = _resolved(tables, given)
    refuse_result(config, values)
    return config


def settled(config: Config, values: Values) -> dict[str, Any]:
    """The settings of verl that the recipe decides, by path; those that are right already are left out.

    Args:
        config: The run's settings.
        values: verl's.
    """
    manager = f"{ROLLOUT}.agent.agent_loop_manager_class"
    ours = {} if values.at(manager) == MANAGER else {manager: MANAGER}
    return {**decided_settings(LINKS, config, values), **ours}


def _resolved(tables: Mapping[str, Any], given: Mapping[str, Any]) -> Config:
    try:
        return resolve(tables, given=nested(given))
    except ConfigError as error:
        raise ConfigError(in_words_of_verl(str(error), given)) from None


def _surroundings(values: Values, steps: int | None) -> dict[str, Any]:
    """Keys by path that no recipe decides: model, length of the run, batch, sampling."""
    known = steps_of_run(values) or steps
    seed = values.at("data.seed")
    return {
        "model.path": str(values.at("actor_rollout_ref.model.path")),
        "train.steps": int(known or max(1, values.at("trainer.total_epochs"))),
        "train.seed": int(values.at(f"{ROLLOUT}.seed") if seed is None else seed),
        "train.groups_per_step": groups_per_step(values),
        "train.learning_rate": float(values.at(f"{ACTOR}.optim.lr")),
        "engine.top_p": float(values.at(f"{ROLLOUT}.top_p")),
        **optimizer_record(values, known),
        **update_keys(values),
    }


def _of_verl(values: Values) -> dict[str, Any]:
    """Keys by path where prompts and rewards are verl's."""
    return {
        "task.source": "given",
        "rewards": reward_tables([(_reward(values), 1.0)]),
        "engine.max_new_tokens": int(values.at(f"{ROLLOUT}.response_length")),
    }


def _reward(values: Values) -> str:
    """Name of the reward: of a function of the user's own its name."""
    own = values.at("reward.custom_reward_function.path") is not None
    return str(values.at("reward.custom_reward_function.name")) if own else "score"


def _measured(config: Config, tables: Mapping[str, Any]) -> dict[str, Any]:
    """How verl standardises, and that C-RF balances the batch, where it is read and not in the tables."""
    found = {**DEVIATION.get(config.advantage.estimator, {}), "advantage.count_over": "batch"}
    found = where_read(found, config)
    return {path: value for path, value in found.items() if at(tables, path) is None}


def _binary(chosen: Mapping[str, Any], given: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Whether rewards become 0 and 1."""
    if at(tables, "task.binary_rewards") is not None or are_ours(tables):
        return {}
    return {"task.binary_rewards": counts_successes(draft(chosen, {**given, "task.binary_rewards": False}))}
