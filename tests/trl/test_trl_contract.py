"""The internal names of TRL that the integration relies on are there, and a change upstream is named."""

import dataclasses
import inspect
from importlib import import_module
from importlib.util import find_spec

import pytest
import trl
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer.grpo_trainer import GRPOTrainer

import test_exported_names
from rekindle.integrations.trl import versions
from rekindle.types import UserError


@pytest.mark.parametrize("place", versions.PRIVATE)
def test_a_function_has_the_parameters_that_the_integration_was_written_for(place):
    assert not [one for one in versions.contract().missing_functions() if f" {place.partition(':')[2]} " in one]


@pytest.mark.parametrize("place", versions.ATTRIBUTES)
def test_attributes_are_given(place):
    assert not [one for one in versions.contract().missing_attributes() if f" {place.partition(':')[2]}." in one]


@pytest.mark.parametrize("place", versions.KEYS)
def test_keys_of_batches_and_metrics_are_read_and_written(place):
    assert not [one for one in versions.contract().missing_keys() if f" {place.partition(':')[2]} " in one]


def test_the_installed_release_is_one_that_the_integration_accepts():
    versions.check_versions()
    assert versions.contract().missing() == []


# -- a fake change upstream -------------------------------------------------------------------------------------------


def only_sentence():
    (sentence,) = versions.contract().missing()
    assert sentence.startswith(f"TRL {trl.__version__}: ")
    assert sentence.endswith(f'; run: pip install "{versions.RANGE}"')
    return sentence


def test_a_renamed_method_is_named(monkeypatch):
    monkeypatch.setattr(GRPOTrainer, "_generate_turn", GRPOTrainer._generate_single_turn, raising=False)
    monkeypatch.delattr(GRPOTrainer, "_generate_single_turn")
    assert "GRPOTrainer._generate_single_turn is gone" in only_sentence()
    with pytest.raises(UserError, match=r"GRPOTrainer\._generate_single_turn is gone"):
        versions.check_versions()


def test_a_method_that_a_base_class_still_has_is_compared_with_that_one(monkeypatch):
    monkeypatch.delattr(GRPOTrainer, "_prepare_inputs")
    assert "GRPOTrainer._prepare_inputs now takes (self, inputs)" in only_sentence()


def test_a_new_parameter_is_named(monkeypatch):
    def generate(self, prompts, images, num_generations, profiler=None, *, priority=0): ...

    monkeypatch.setattr(VLLMGeneration, "generate", generate)
    assert "VLLMGeneration.generate now takes (self, prompts, images, num_generations, profiler, priority), and " in (
        only_sentence()
    )


def test_a_removed_attribute_is_named(monkeypatch):
    source = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda one: source(one).replace("self._buffered_inputs", "self._buffer"))
    assert "GRPOTrainer._buffered_inputs is gone" in only_sentence()


def test_a_renamed_key_of_a_batch_is_named(monkeypatch):
    source = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda one: source(one).replace('"tool_mask"', '"env_mask"'))
    assert [one.split(": ")[1] for one in versions.contract().missing()] == [
        f'GRPOTrainer.{name} no longer has "tool_mask"; run'
        for name in ("_generate_and_score_completions", "_compute_loss")
    ]


# -- arguments, and the modules that the fast tests cannot import -----------------------------------------------------


@pytest.mark.skipif(
    find_spec("rekindle.integrations.trl.settings.arguments") is None,
    reason="no module of arguments beside versions.py",
)
def test_arguments_have_the_names_and_defaults_of_the_configuration_of_trl():
    ours = import_module("rekindle.integrations.trl.settings.arguments").Arguments
    theirs = {field.name: field for field in dataclasses.fields(trl.GRPOConfig)}
    for field in dataclasses.fields(ours):
        known = field.name in theirs or isinstance(getattr(trl.GRPOConfig, field.name, None), property)
        assert known, f"TRL {trl.__version__}: GRPOConfig.{field.name} is gone"
        if field.name in theirs:
            assert default_of(field) == default_of(theirs[field.name]), field.name


def default_of(field):
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def modules():
    """The modules of the integration."""
    return [name for name in test_exported_names.modules() if ".integrations.trl." in name]


@pytest.mark.parametrize("module", modules())
def test_every_module_says_what_it_exports_and_has_it(module):
    assert not list(test_exported_names.offences(module))
