"""Which releases of TRL are accepted, and what is said of the others; without TRL itself."""

import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from rekindle.integrations import contracts
from rekindle.integrations.trl import versions
from rekindle.types import UserError

ROOT = Path(__file__).parents[3]


def pretend(monkeypatch, version):
    """That release of TRL is installed; None: no TRL is."""
    for module in (versions, contracts):
        monkeypatch.setattr(module, "installed", lambda distribution: version)


@pytest.fixture
def fake(monkeypatch):
    """``fake("1.16.3", trainer)``: that release of TRL is installed, and its GRPOTrainer is this class."""

    def install(version, trainer=None):
        module = ModuleType("trl.trainer.grpo_trainer")
        vars(module)["GRPOTrainer"] = trainer
        for name in ("trl", "trl.trainer"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        pretend(monkeypatch, version)
        monkeypatch.setattr(versions, "PRIVATE", {f"{versions.GRPO}._generate": "self, prompts"})
        monkeypatch.setattr(versions, "KEYS", {f"{versions.GRPO}._generate": ("prompt_ids",)})
        monkeypatch.setattr(versions, "ATTRIBUTES", {versions.GRPO: ("_step",)})

    return install


class Base:
    def begin(self):
        self._step, self.other = 0, 1


class Known(Base):
    def _generate(self, prompts):
        return {"prompt_ids": []}


class Changed:
    def _generate(self, prompts, images=None):
        self._steps = 0
        return {"ids": []}


class Renamed:
    def _generate_texts(self, prompts): ...


def test_without_trl_there_is_one_sentence_with_the_remedy(monkeypatch):
    pretend(monkeypatch, None)
    with pytest.raises(UserError, match=r'needs trl, which is not installed; run: pip install "rekindle\[trl\]"$'):
        versions.check_versions()


def test_importing_the_trainer_says_it(monkeypatch):
    pretend(monkeypatch, "1.15.0")
    with pytest.raises(UserError, match=r"^trl 1\.15\.0 is installed, and "):
        from rekindle.integrations.trl import RekindleTrainer  # noqa: F401


def test_the_package_is_imported_without_trl_and_torch():
    program = (
        "import sys, rekindle.integrations.trl\n"
        "assert not {'trl', 'torch', 'transformers', 'accelerate'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_folder_with_the_name_of_a_package_is_not_the_package(tmp_path, monkeypatch):
    """As the folder of these tests is, where pytest puts tests/ on the path."""
    (tmp_path / "no_such_distribution").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert contracts.installed("no_such_distribution") is None
    assert contracts.installed("pytest") == pytest.__version__


@pytest.mark.parametrize("version", ["1.15.9", "0.29.0", "1.17.0", "1.17.0.dev0", "2.0.0", "unknown"])
def test_an_untested_release_is_refused_with_both_versions(version, fake):
    fake(version)
    with pytest.raises(UserError) as raised:
        versions.check_versions()
    assert str(raised.value) == (
        f"trl {version} is installed, and rekindle.integrations.trl was tested with trl>=1.16,<1.17; "
        'run: pip install "trl>=1.16,<1.17"'
    )


@pytest.mark.parametrize("version", ["1.16.0", "1.16.12", "1.16.1rc1"])
def test_a_tested_release_is_accepted(version, fake):
    fake(version, Known)
    versions.check_versions()
    assert versions.contract().missing() == []


def test_a_new_parameter_is_named(fake):
    fake("1.16.4", Changed)
    sentence = (
        "TRL 1.16.4: GRPOTrainer._generate now takes (self, prompts, images), and rekindle.integrations.trl was "
        'written for (self, prompts); run: pip install "trl>=1.16,<1.17"'
    )
    with pytest.raises(UserError) as raised:
        versions.check_versions()
    assert str(raised.value) == sentence
    assert versions.contract().missing() == [
        sentence,
        'TRL 1.16.4: GRPOTrainer._step is gone; run: pip install "trl>=1.16,<1.17"',
        'TRL 1.16.4: GRPOTrainer._generate no longer has "prompt_ids"; run: pip install "trl>=1.16,<1.17"',
    ]


@pytest.mark.parametrize("trainer", [Renamed, None])
def test_what_is_gone_is_named(trainer, fake):
    fake("1.16.4", trainer)
    assert versions.contract().missing() == [
        f'TRL 1.16.4: GRPOTrainer.{name} is gone; run: pip install "trl>=1.16,<1.17"' for name in ("_generate", "_step")
    ]


def test_the_range_is_that_of_the_extra_and_of_the_constraints():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert versions.RANGE in extras["trl"]
    (pinned,) = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("trl==")]
    assert versions.LOWEST <= contracts.release(pinned.removeprefix("trl=="))[:2] < versions.BEFORE
