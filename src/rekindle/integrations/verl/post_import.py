"""Callbacks that run right after a module is imported.

verl loads its plug-ins while it is imported itself, and in every process of a run: nothing that a plug-in needs of verl
is there yet, and most processes never need it.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["after_import", "named"]

Callback = Callable[[ModuleType], object]

_waiting: dict[str, list[Callback]] = {}


def after_import(module: str, callback: Callback) -> None:
    """Call ``callback(module)`` when a module has been imported: at once where it is imported already.

    An exception of the callback is one of the import.
    """
    if (there := sys.modules.get(module)) is not None:
        callback(there)
        return
    _waiting.setdefault(module, []).append(callback)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def named(place: str) -> Callback:
    """A callback that imports ``"module:function"`` when it is called, and calls the function."""
    module, _, function = place.partition(":")

    def callback(imported: ModuleType) -> None:
        getattr(importlib.import_module(module), function)(imported)

    return callback


class _Finder(MetaPathFinder):
    """Finds the modules that callbacks wait for, with the other finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _waiting:
            return None
        others = (finder for finder in list(sys.meta_path) if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((one for one in found if one is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Notifying(spec.loader)
        return spec


class _Notifying(Loader):
    """Loads a module as another loader does, which takes its place again, and then runs the callbacks."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        """What else the other loader has: ``python -m`` asks it for the code of a module that it does not import."""
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        for callback in _waiting.pop(module.__name__, ()):
            callback(module)
