"""What TRL cannot do, and what contradicts a recipe: one sentence each, with the remedy."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rekindle.choices import few
from rekindle.config import Config, ConfigError
from rekindle.config.facts import plays_itself
from rekindle.integrations.settings.group_shape import sizes_itself, sizing_rule
from rekindle.integrations.settings.links import contradicted
from rekindle.integrations.settings.refusing import refuse
from rekindle.integrations.settings.words import with_names
from rekindle.integrations.trl.settings.arguments import DEFAULTS, Arguments
from rekindle.integrations.trl.settings.links import AGGREGATION, LINKS, LOSS_TYPE, OWN_LOSSES, wished_loss
from rekindle.integrations.trl.settings.step_shape import BATCH
from rekindle.integrations.trl.settings.tables import NAMES, PLACES
from rekindle.learning.losses import LOSSES

__all__ = [
    "in_words_of_trl",
    "meant",
    "refuse_arguments",
    "refuse_contradictions",
    "refuse_preset",
    "refuse_result",
    "refuse_sizes",
]

SAMPLING = (
    "temperature", "top_p", "min_p", "do_sample", "num_beams", "num_return_sequences", "n", "seed", "max_new_tokens",
    "max_tokens",
)  # fmt: skip
"""Keys of ``generation_kwargs`` that would override what a request says."""


def refuse_arguments(arguments: Arguments) -> None:
    """Refuse arguments with which no recipe works.

    Raises:
        ConfigError: There are some.
    """
    refuse(_impossible(arguments))


def _impossible(arguments: Arguments) -> Iterator[str]:
    if arguments.scale_rewards not in ("group", "none"):
        yield (
            f'scale_rewards = "{arguments.scale_rewards}": rekindle scales by the batch with an estimator; leave '
            'scale_rewards out, and give recipe={"advantage": {"estimator": "reinforce_pp_baseline"}}'
        )
    if arguments.multi_objective_aggregation != DEFAULTS.multi_objective_aggregation:
        yield (
            f'multi_objective_aggregation = "{arguments.multi_objective_aggregation}" has an advantage per reward, and '
            'rekindle one per rollout; set multi_objective_aggregation = "sum_then_normalize"'
        )
    if arguments.use_transformers_continuous_batching:
        yield (
            "use_transformers_continuous_batching = True has one temperature for all rows and no seeds; leave it out, "
            "or set use_vllm = True"
        )
    if (uses := arguments.micro_batches * arguments.num_iterations) % arguments.gradient_accumulation_steps:
        yield (
            f"gradient_accumulation_steps = {arguments.gradient_accumulation_steps} goes over several generations, "
            f"which are used up after {uses} micro-batches (steps_per_generation x num_iterations); make this number a "
            "multiple of gradient_accumulation_steps"
        )
    if arguments.max_completion_length is None:
        yield "max_completion_length = None sets no limit, and rekindle needs one; set max_completion_length = 512"
    if taken := [name for name in SAMPLING if name in (arguments.generation_kwargs or {})]:
        yield (
            f"generation_kwargs has {taken[0]!r}, which every request decides for its rows; remove it, and set "
            "temperature, top_p, min_p, max_completion_length and seed as arguments of their own"
        )
    if arguments.loss_type not in AGGREGATION:
        yield f"loss_type = {arguments.loss_type!r} is unknown here; choose one of {', '.join(AGGREGATION)}"


def refuse_preset(preset: Mapping[str, Any]) -> None:
    """Refuse a recipe that needs what TRL has not.

    Raises:
        ConfigError: It does.
    """
    name = preset["recipe"]
    config = Config.model_validate_json(json.dumps(preset))
    if plays_itself(config):
        raise ConfigError(
            f'recipe = "{name}" makes its own prompts, and TRL trains on those of a dataset; use rekindle train for '
            "self-play"
        )
    for path in PLACES.without_a_place(config):
        raise ConfigError(
            f'recipe = "{name}" sets {path}, for which TRL has no place; use rekindle train, or another recipe'
        )


def refuse_contradictions(
    chosen: Mapping[str, Any], tables: Mapping[str, Any], decided: set[str], arguments: Arguments
) -> None:
    """Refuse arguments that a script set and that say something else than the recipe.

    Args:
        chosen: The recipe's settings, with those of the tables over them.
        tables: Those that were given with it.
        decided: The keys that both decide.
        arguments: TRL's.

    Raises:
        ConfigError: There are some.
    """
    refuse(_without_a_loss_type(chosen, decided))
    refuse(_contradictions(chosen, tables, decided, arguments))
    refuse(_without_a_bound(decided, arguments))
    refuse(_own_loss(chosen, decided, arguments))
    refuse(_too_few_steps(chosen, decided, arguments))


def _too_few_steps(chosen: Mapping[str, Any], decided: set[str], arguments: Arguments) -> Iterator[str]:
    """GSPO and CISPO where every ratio is 1."""
    kind, steps = _kind_of(chosen), 4 * arguments.gradient_accumulation_steps
    needs = "loss.kind" in decided and kind in LOSSES and LOSSES[kind].needs_several_steps
    if needs and arguments.updates_per_generation == 1:
        yield (
            f"recipe {chosen['recipe']!r} differs from grpo only after a first optimizer step on a generation, and TRL "
            f"makes one of it; set steps_per_generation = {steps} (4 x gradient_accumulation_steps)"
        )


def _contradictions(
    chosen: Mapping[str, Any], tables: Mapping[str, Any], decided: set[str], arguments: Arguments
) -> Iterator[str]:
    """Arguments that differ from what the recipe decides."""
    for link, ours in contradicted(LINKS, chosen, decided, arguments, {"importance_sampling_level": "gspo"}):
        table, key = link.path.split(".")
        own = key in tables.get(table, {})
        yield (
            f"{link.name} = {arguments.at(link.name)!r} contradicts recipe {chosen['recipe']!r}, "
            f"which has {link.path} = {ours!r}; leave {link.name} out of GRPOConfig"
            f"{_and_full_groups(arguments) if link.name == 'num_generations' else ''}, or "
            f"{f'remove {link.path}' if own else 'choose another recipe'}"
        )


def _and_full_groups(arguments: Arguments) -> str:
    """What TRL checks where ``num_generations`` is left out."""
    if arguments.generation_batch % DEFAULTS.num_generations == 0:
        return ""
    return f", and make {BATCH} a multiple of its default, {DEFAULTS.num_generations}, as TRL checks"


def _without_a_loss_type(chosen: Mapping[str, Any], decided: set[str]) -> Iterator[str]:
    """Aggregations that TRL has not, or not with a loss."""
    aggregation = chosen["loss"].get("aggregation")
    if "loss.aggregation" in decided and aggregation == "group_token_mean":
        yield (
            'loss.aggregation = "group_token_mean" has no loss_type in TRL; remove it and set loss_type, or choose '
            f"{few(f'{ours} ({theirs})' for ours, theirs in LOSS_TYPE.items())}"
        )
    elif "loss.aggregation" in decided and _kind_of(chosen) == "cispo" and aggregation != AGGREGATION["cispo"]:
        yield (
            f'loss.kind = "cispo" is a mean over tokens in TRL, and recipe {chosen["recipe"]!r} has loss.aggregation = '
            f"{aggregation!r}; leave loss.aggregation out"
        )


def _without_a_bound(decided: set[str], arguments: Arguments) -> Iterator[str]:
    """CISPO with the bound of PPO, which TRL reads as that of the ratio itself."""
    if arguments.loss_type == "cispo" and "loss.clip_high" not in decided and not (arguments.epsilon_high or 0) > 1:
        yield (
            f"the loss cispo bounds the ratio itself in TRL, and epsilon_high = {arguments.epsilon_high} would bound "
            "it at 1 or less; set epsilon_high = 5.0"
        )


def _own_loss(chosen: Mapping[str, Any], decided: set[str], arguments: Arguments) -> Iterator[str]:
    """A loss of TRL's own beside a recipe that decides parts of the loss."""
    loss = sorted(path for path in decided if path.startswith("loss.") and not path.startswith("loss.kl"))
    own = arguments.loss_type in OWN_LOSSES and arguments.is_set("loss_type")
    if own and loss and not (arguments.loss_type == _kind_of(chosen) == "cispo"):
        yield (
            f"loss_type = {arguments.loss_type!r} is a loss of TRL's own, and recipe {chosen['recipe']!r} sets "
            f"{few(loss)}; leave loss_type out of GRPOConfig, or choose another recipe"
        )


def meant(chosen: Mapping[str, Any], arguments: Arguments) -> Arguments:
    """The arguments as a recipe means them: beside CISPO, ``epsilon_high`` is the bound of the ratio itself."""
    cispo = _kind_of(chosen) == "cispo" and not arguments.is_set("loss_type")
    return replace(arguments, loss_type="cispo") if cispo else arguments


def _kind_of(chosen: Mapping[str, Any]) -> str:
    return str(chosen["loss"].get("kind"))


def refuse_sizes(draft: Config, arguments: Arguments) -> None:
    """Refuse ``num_generations`` beside a recipe that sizes groups itself.

    Raises:
        ConfigError: It is set.
    """
    if sizes_itself(draft) and arguments.is_set("num_generations"):
        raise ConfigError(
            f"num_generations = {arguments.num_generations} beside {sizing_rule(draft)} (recipe {draft.recipe!r}), "
            f"which sizes groups; leave num_generations out of GRPOConfig{_and_full_groups(arguments)}"
        )


def refuse_result(config: Config, arguments: Arguments) -> None:
    """Refuse a configuration that is valid elsewhere and that TRL does not do.

    Raises:
        ConfigError: TRL does not do it.
    """
    refuse(_unlike_ours(config, arguments))


def _unlike_ours(config: Config, arguments: Arguments) -> Iterator[str]:
    loss, advantage = config.loss, config.advantage
    by_token = {
        "advantage.negative_keep_ratio": advantage.negative_keep_ratio < 1,
        "advantage.zero_variance_scale": advantage.zero_variance_scale > 0,
        "loss.off_temperature": loss.off_temperature == "importance",
        "loss.tis_cap": loss.tis_cap > 0,
    }
    if wished_loss(arguments) == "gspo" or loss.kind == "gspo":
        for path in [path for path, used in by_token.items() if used]:
            yield (
                f"{path} gives tokens different weights, which TRL's ratio of a whole sequence spreads over all of "
                f'them; set importance_sampling_level = "token", or leave {path} out'
            )
    corrects = arguments.use_vllm and arguments.vllm_importance_sampling_correction
    if loss.off_temperature != "tempered" and corrects:
        yield (
            f'loss.off_temperature = "{loss.off_temperature}" takes log-probabilities at train.temperature, which '
            "vllm_importance_sampling_correction would weigh against vLLM's at the raised one; set "
            "vllm_importance_sampling_correction = False, or leave loss.off_temperature out"
        )
    if loss.tis_cap and corrects:
        yield (
            f"loss.tis_cap = {loss.tis_cap} and vllm_importance_sampling_correction both weigh a token by the "
            "trainer's policy over vLLM's; set vllm_importance_sampling_correction = False, or leave loss.tis_cap out"
        )


def in_words_of_trl(message: str, given: Iterable[str]) -> str:
    """A message about keys, with TRL's name beside those that arguments gave."""
    names = {**{link.path: link.name for link in LINKS}, **NAMES}
    return with_names(message, given, names, "GRPOConfig's {}")
