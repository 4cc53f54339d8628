"""The internal names of verl that the integration relies on are there, and a change upstream is named."""

import inspect
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import verl
import verl.utils.config
from cluster import composed
from tiny_run import Run

import test_exported_names
from rekindle.integrations.contracts import installed
from rekindle.integrations.verl import plugin, versions
from rekindle.types import UserError

assert plugin.HOOKS, "its import wraps verl's check, where no entry point has"


@pytest.mark.parametrize("place", versions.FUNCTIONS)
def test_a_function_has_the_parameters_that_the_integration_was_written_for(place):
    assert not [one for one in versions.contract().missing_functions() if f" {place.partition(':')[2]} " in one]


@pytest.mark.parametrize("place", versions.ATTRIBUTES)
def test_attributes_are_given(place):
    assert not [one for one in versions.contract().missing_attributes() if f" {place.partition(':')[2]}" in one]


@pytest.mark.parametrize("place", versions.KEYS)
def test_keys_are_read_and_written(place):
    assert not [one for one in versions.contract().missing_keys() if f" {place.partition(':')[2]} " in one]


def test_the_installed_release_is_one_that_the_integration_accepts():
    versions.check_versions()
    versions.check_contract()
    assert versions.contract().missing() == []


def only_sentence():
    (sentence,) = versions.contract().missing()
    assert sentence.startswith(f"verl {verl.__version__}: ")
    assert sentence.endswith(f'; run: pip install "{versions.RANGE}"')
    return sentence


def test_a_new_parameter_is_named(monkeypatch):
    monkeypatch.setattr(verl.utils.config, "validate_config", lambda config, use_critic: None)
    assert "validate_config now takes (config, use_critic), and " in only_sentence()
    with pytest.raises(UserError, match="validate_config now takes"):
        versions.check_contract()


def test_a_renamed_registry_is_named(monkeypatch):
    import verl.workers.rollout.base as base

    monkeypatch.delattr(base, "_ROLLOUT_REGISTRY")
    assert "_ROLLOUT_REGISTRY is gone" in only_sentence()


def test_a_renamed_word_is_named(monkeypatch):
    source = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda one: source(one).replace('"aborted"', '"stopped"'))
    assert 'FullyAsyncLLMServerClient.generate no longer has "aborted"' in only_sentence()


def test_verl_loads_the_plug_in_while_it_is_imported():
    if "rekindle" not in entry_points(group="verl.plugins").names:
        pytest.skip("rekindle is on the path only, and has no entry points")
    program = "import sys, verl; assert 'rekindle.integrations.verl.plugin' in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", program], check=True)


def test_the_check_of_verls_own_command_ends_with_our_sentence(monkeypatch, assets, tmp_path, capsys):
    def checked(mode):
        config = composed(Run(str(tmp_path), mode=mode), assets)
        verl.utils.config.validate_config(config=config, use_reference_policy=False, use_critic=False)

    monkeypatch.setattr(versions, "installed", lambda name: None if name == "cachetools" else installed(name))
    checked("sync")
    with pytest.raises(SystemExit, match="2"):
        checked("rekindle_separate_async")
    assert "rekindle: verl's trainer needs cachetools, which verl does not install by itself" in capsys.readouterr().err


@pytest.mark.parametrize("module", [name for name in test_exported_names.modules() if ".integrations.verl." in name])
def test_every_module_says_what_it_exports_and_has_it(module):
    assert not list(test_exported_names.offences(module))
