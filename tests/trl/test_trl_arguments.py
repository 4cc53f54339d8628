"""The arguments that rekindle reads are those of TRL, with its defaults."""

from dataclasses import fields, replace
from typing import Any

import pytest

trl = pytest.importorskip("trl.trainer.grpo_config")

from rekindle.integrations.trl.settings.arguments import DEFAULTS, Arguments  # noqa: E402
from rekindle.integrations.trl.settings.capabilities import SENSIBLE, capabilities  # noqa: E402
from rekindle.integrations.trl.settings.links import AGGREGATION  # noqa: E402
from rekindle.integrations.trl.settings.run_settings import run_settings, settled  # noqa: E402
from rekindle.integrations.trl.settings.tables import ARGUMENTS  # noqa: E402

THEIRS = {one.name: one for one in fields(trl.GRPOConfig)}
MADE = {"world_size", "generation_batch_size", "steps_per_generation"}
"""A property, and two that TRL computes of others."""


@pytest.mark.parametrize("name", [one.name for one in fields(Arguments) if one.name not in MADE])
def test_a_default_is_that_of_trl(name):
    assert getattr(DEFAULTS, name) == THEIRS[name].default


@pytest.mark.parametrize("words", ARGUMENTS.values())
def test_messages_name_arguments_that_trl_has(words):
    names = [part.split("=")[0].strip() for part in words.replace(" or ", ", ").split(", ") if "=" in part]
    assert names
    assert all(name in THEIRS for name in names)


@pytest.mark.parametrize("loss_type", AGGREGATION)
def test_loss_types_are_those_of_trl(loss_type):
    assert f'`"{loss_type}"`' in (trl.GRPOConfig.__doc__ or "")


def config(**changes):
    return trl.GRPOConfig("unused", report_to=[], use_cpu=True, bf16=False, **changes)


def test_batches_are_computed_as_by_trl():
    cases: list[dict[str, Any]] = [
        {},
        {"gradient_accumulation_steps": 4},
        {"steps_per_generation": 4, "gradient_accumulation_steps": 2},
        {"generation_batch_size": 32},
    ]
    for changes in cases:
        theirs = config(**changes)
        ours = Arguments.of(theirs)
        assert (ours.generation_batch, ours.micro_batches) == (
            theirs.generation_batch_size,
            theirs.steps_per_generation,
        )
        given = Arguments(**changes)
        assert (given.generation_batch, given.micro_batches) == (ours.generation_batch, ours.micro_batches)


@pytest.mark.parametrize("recipe", [name for name, one in capabilities().items() if not one.refusal])
def test_what_a_recipe_decides_are_arguments_of_trl(recipe):
    for arguments in SENSIBLE.values():
        if capabilities()[recipe].needs.startswith("`steps") and arguments.updates_per_generation == 1:
            continue
        decided = settled(run_settings(recipe, arguments, model="m", rewards=[("r", 1.0)]), arguments)
        assert set(decided) <= set(THEIRS)


def test_earlier_values_of_scale_rewards_are_read():
    assert Arguments.of(config(scale_rewards=False)) == replace(Arguments.of(config()), scale_rewards="none")
