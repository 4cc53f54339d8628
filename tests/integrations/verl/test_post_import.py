"""Callbacks after an import, with modules made for it."""

import importlib
import inspect
import runpy
import sys

import pytest

from rekindle.integrations.verl import plugin, post_import
from rekindle.integrations.verl.post_import import after_import, named


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that makes an importable module of a source and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(post_import, "_waiting", {})

    def made(source, name="waited_for"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        path = tmp_path.joinpath(*name.split("."))
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".py").write_text(source)
        importlib.invalidate_caches()
        return name

    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] in ("waited_for", "called_later")]:
        del sys.modules[name]


def test_a_callback_runs_once_right_after_the_import_and_before_names_are_taken(module):
    name, seen = module("def answer():\n    return 1\n"), []

    def replace(imported):
        seen.append(imported)
        imported.answer = lambda: 2

    after_import(name, replace)
    assert not seen
    assert name not in sys.modules
    scope = {}
    exec(f"from {name} import answer\nimport {name}", scope)
    assert scope["answer"]() == 2
    assert seen == [sys.modules[name]]


def test_what_is_imported_already_is_called_at_once(module):
    name, seen = module("value = 3\n"), []
    imported = importlib.import_module(name)
    after_import(name, seen.append)
    assert seen == [imported]


def test_several_callbacks_run_in_order_and_only_for_their_module(module):
    first, other, seen = module("value = 1\n"), module("value = 2\n", "called_later"), []
    after_import(first, lambda _: seen.append("one"))
    after_import(first, lambda _: seen.append("two"))
    after_import(other, lambda _: seen.append("other"))
    importlib.import_module(first)
    assert seen == ["one", "two"]
    importlib.import_module(other)
    assert seen == ["one", "two", "other"]
    assert sum(isinstance(finder, post_import._Finder) for finder in sys.meta_path) == 1


def test_a_module_of_a_package_is_found_and_keeps_its_loader_and_its_source(module):
    name, seen = module("def here():\n    return 'source'\n", "waited_for.inside"), []
    after_import(name, seen.append)
    imported = importlib.import_module(name)
    assert seen == [imported]
    assert "return 'source'" in inspect.getsource(imported.here)
    assert imported.__spec__ is not None
    assert type(imported.__loader__) is type(imported.__spec__.loader) is type(pytest.__loader__)


def test_an_exception_of_a_callback_is_one_of_the_import(module):
    name = module("value = 1\n")
    after_import(name, lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(name)
    assert name not in sys.modules


def test_a_module_that_does_not_exist_stays_missing(module):
    after_import("waited_for_in_vain", lambda _: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("waited_for_in_vain")


def test_a_named_callback_imports_its_module_when_it_is_called(module):
    name = module("seen = []\nadd = seen.append\n", "called_later")
    callback = named(f"{name}:add")
    assert name not in sys.modules
    callback(sys)
    assert sys.modules[name].seen == [sys]


def test_every_hook_of_the_plugin_names_a_function_of_one_module():
    for place in plugin.HOOKS.values():
        module, _, function = place.partition(":")
        assert len(inspect.signature(getattr(importlib.import_module(module), function)).parameters) == 1, place


def test_a_module_can_be_run_as_the_program(module):
    name, seen = module("value = 1\n"), []
    after_import(name, seen.append)
    assert runpy.run_module(name)["value"] == 1
    assert not seen, "nothing was imported"
