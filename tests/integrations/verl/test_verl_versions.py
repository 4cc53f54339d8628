"""Which releases of verl are accepted, and what is said of the others before Ray starts; without verl itself."""

import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rekindle.integrations import contracts
from rekindle.integrations.verl import beside_trl, checks, versions
from rekindle.integrations.verl.resuming import NEWEST
from rekindle.types import UserError

ROOT = Path(__file__).parents[3]
WHOLE = dict.fromkeys(versions.FORGOTTEN, "1.0") | {"verl": "0.9.1"}


@pytest.fixture
def fake(monkeypatch):
    """``fake(verl="0.8.0", cachetools=None)``: these releases are installed, on Python 3.12; None is a missing one."""

    def install(python=(3, 12, 4), **changes):
        found = WHOLE | changes
        monkeypatch.setattr(versions, "installed", found.get)
        monkeypatch.setattr(sys, "version_info", python)

    return install


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no verl": ({"verl": None}, 'needs verl, which is not installed; run: pip install "rekindle[verl]"'),
    "an old one": ({"verl": "0.8.0"}, 'tested with verl>=0.9.1,<0.10; run: pip install "verl>=0.9.1,<0.10"'),
    "the one before": ({"verl": "0.9.0"}, "verl 0.9.0 is installed, and "),
    "a new one": ({"verl": "0.10.0.dev0"}, "verl 0.10.0.dev0 is installed, and "),
    "no store": ({"TransferQueue": None}, "needs TransferQueue, which verl does not install by itself; run: pip"),
    "no server": ({"fastapi": None, "uvicorn": None}, "needs fastapi and uvicorn, which verl does not"),
    "Python": ({"python": (3, 13, 1)}, "this is Python 3.13, for which there is no verl; make an environment with"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_was_not_tested_is_refused_in_one_sentence(case, fake):
    changes, sentence = REFUSED[case]
    fake(**changes)
    with pytest.raises(UserError) as raised:
        versions.check_versions()
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("changes", [{}, {"verl": "0.9.4"}, {"python": (3, 11, 0)}])
def test_what_was_tested_is_accepted(changes, fake):
    fake(**changes)
    versions.check_versions()


def test_a_changed_function_of_verl_is_named(monkeypatch):
    module = ModuleType("verl.utils.config")
    vars(module)["validate_config"] = lambda config, critic: None
    for name in ("verl", "verl.utils", "verl.utils.config"):
        monkeypatch.setitem(sys.modules, name, module if name.endswith("config") else ModuleType(name))
    monkeypatch.setattr(contracts, "installed", lambda distribution: "0.9.3")
    place = "verl.utils.config:validate_config"
    monkeypatch.setattr(versions, "FUNCTIONS", {place: versions.FUNCTIONS[place]})
    with pytest.raises(UserError) as raised:
        versions.check_contract()
    assert str(raised.value) == (
        "verl 0.9.3: validate_config now takes (config, critic), and rekindle.integrations.verl was written for "
        '(config, use_reference_policy, use_critic); run: pip install "verl>=0.9.1,<0.10"'
    )


def configuration(mode, directory="nowhere"):
    trainer = SimpleNamespace(v1=SimpleNamespace(trainer_mode=mode), default_local_dir=directory, resume_mode="auto")
    return SimpleNamespace(trainer=trainer)


@pytest.fixture
def validate(fake, monkeypatch):
    """verl's ``validate_config`` after the hook, without our settings; it notes its calls in ``validate.calls``."""
    calls = []
    monkeypatch.setattr(checks, "check_settings", lambda config: None)
    module = ModuleType("verl.utils.config")
    vars(module)["validate_config"] = lambda config, use_critic=False: calls.append(use_critic)
    checks.check_before_ray(module)
    module.validate_config.calls = calls
    return module.validate_config


def test_a_run_of_ours_ends_with_the_sentence_before_ray_starts(validate, fake, capsys):
    fake(cachetools=None)
    with pytest.raises(SystemExit, match="2"):
        validate(configuration("rekindle_colocate_async"))
    assert capsys.readouterr().err.startswith("rekindle: verl's trainer needs cachetools, which ")
    assert not validate.calls


def test_a_checkpoint_that_is_gone_is_said_before_ray_starts(validate, fake, tmp_path, capsys):
    fake()
    (tmp_path / NEWEST).write_text("4")
    with pytest.raises(SystemExit, match="2"):
        validate(configuration("rekindle", tmp_path))
    assert capsys.readouterr().err.startswith(f"rekindle: there is no checkpoint {tmp_path}/global_step_4; ")
    assert not validate.calls


@pytest.mark.parametrize(("mode", "changes"), [("sync", {"cachetools": None}), ("rekindle", {})])
def test_other_runs_are_checked_by_verl_as_always(mode, changes, validate, fake):
    fake(**changes)
    validate(configuration(mode), use_critic=True)
    assert validate.calls == [True]


@pytest.mark.parametrize(
    ("has_trl", "has_class", "found"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_trl_counts_only_where_it_has_the_class_that_verl_takes(has_trl, has_class, found, monkeypatch):
    trl, module = ModuleType("trl"), ModuleType("monkey_patch")
    if has_class:
        vars(trl)["AutoModelForCausalLMWithValueHead"] = object
    monkeypatch.setitem(sys.modules, "trl", trl)
    vars(module)["is_trl_available"] = lambda: has_trl
    beside_trl.allow_trl_without_value_heads(module)
    assert module.is_trl_available() is found


def test_the_plug_in_imports_neither_verl_nor_torch():
    program = (
        "import sys, rekindle.integrations.verl.plugin\n"
        "assert not {'verl', 'ray', 'torch', 'transformers', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_range_is_that_of_the_extra_and_of_the_constraints():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["verl"]
    assert f"{versions.RANGE}; python_version < '3.13'" in extra
    assert all(any(one.startswith(f"{name}>=") for one in extra) for name in versions.FORGOTTEN)
    lines = (ROOT / "constraints-verl.txt").read_text(encoding="utf-8").splitlines()
    (pinned,) = [line.removeprefix("verl==") for line in lines if line.startswith("verl==")]
    assert versions.LOWEST <= contracts.release(pinned) < versions.BEFORE
    assert project["entry-points"]["verl.plugins"] == {"rekindle": "rekindle.integrations.verl.plugin"}
