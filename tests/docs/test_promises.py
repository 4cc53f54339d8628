"""The page of promises: each one has a test, and the two that are promises about the source are tested here."""

import ast
import re
from pathlib import Path

import pytest

from rekindle.config import Config
from rekindle.config.keys import keys_of

ROOT = Path(__file__).parents[2]
SECTIONS = dict(
    part.split("\n", 1) for part in (ROOT / "docs" / "promises.md").read_text(encoding="utf-8").split("\n## ")[1:]
)
LONG_RUNS = "The last long runs"
LINK = re.compile(r"\[`(test_\w+)`\]\(\.\./([^)#]+)#(\w+)\)")


def functions_of(path):
    """Names of the test functions of a file."""
    body = ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    return {one.name for one in body if isinstance(one, ast.FunctionDef)}


@pytest.mark.parametrize("promise", [one for one in SECTIONS if one != LONG_RUNS])
def test_every_promise_has_a_test(promise):
    links = LINK.findall(SECTIONS[promise])
    assert links
    for name, path, anchor in links:
        assert name == anchor
        assert name in functions_of(path)


def test_commands_of_the_long_runs_are_there():
    named = re.findall(r"`(?:python )?((?:tests|benchmarks)/[\w/.]+)", SECTIONS[LONG_RUNS])
    assert len(named) >= 3
    for path in named:
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make (\w+)", SECTIONS[LONG_RUNS]):
        assert f"\n{target}:" in makefile


def calls():
    """(File, called name, call) of every call in the package."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path, ast.unparse(node.func), node


def test_nothing_is_unpickled():
    for path, name, call in calls():
        given = {one.arg: ast.unparse(one.value) for one in call.keywords}
        assert "pickle" not in name, path
        assert name != "torch.load" or given["weights_only"] == "True", path
        assert given.get("allow_pickle", "False") == "False", path


def test_code_of_a_model_runs_only_where_it_is_asked_for():
    (key,) = (one for one in keys_of(Config) if one.path == "model.trust_remote_code")
    assert key.default is False
    for path, _, call in calls():
        for keyword in call.keywords:
            assert not (keyword.arg == "trust_remote_code" and getattr(keyword.value, "value", None) is True), path
