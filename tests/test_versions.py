"""The version is written in one place, and the changelog knows it."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import rekindle

ROOT = Path(__file__).parents[1]


def test_the_project_takes_its_version_from_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in settings["project"]
    assert settings["project"]["dynamic"] == ["version"]
    source = ROOT / settings["tool"]["hatch"]["version"]["path"]
    assert re.findall(r'^__version__ = "(.+)"$', source.read_text(encoding="utf-8"), re.M) == [rekindle.__version__]


def test_what_is_installed_has_the_same_version():
    try:
        assert version("rekindle") == rekindle.__version__
    except PackageNotFoundError:
        pytest.skip("rekindle is not installed here, only on the path")


def test_the_changelog_has_a_section_for_it_below_what_is_unreleased():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", text, re.M)
    assert sections[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(rekindle.__version__)}( - \d{{4}}-\d\d-\d\d)?", sections[1])
