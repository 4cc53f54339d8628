"""The internal names of another library that an integration relies on, and whether the installed release has them.

An internal name may change in any release. Signatures can be compared in milliseconds; attributes and keys need the
source of the library's classes and functions.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

__all__ = ["Contract", "installed", "release"]

OF_RAY = "_ray_trace_ctx"
"""Parameter that Ray adds to methods of classes that actors are made of."""
TITLES = {"trl": "TRL"}
"""Packages whose names are written in another way."""


def installed(distribution: str) -> str | None:
    """The version of an installed distribution. A folder of that name on the path is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def release(text: str) -> tuple[int, int, int]:
    """(1, 16, 0) of "1.16.0rc1"; (0, 0, 0) of what is no version."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Contract:
    """What an integration relies on. A place is ``"module:name.name"``.

    Attributes:
        integration: Module of the integration.
        range: Releases that were tested, as a requirement for pip.
        functions: Place of a function that the integration overrides or calls -> its parameters, in order.
        attributes: Place of a class -> attributes that it, or a class that it is made of, gives to its objects. Place
            of a module, which has no name after the colon -> names in it.
        keys: Place of a function -> keys of batches and metrics that it reads or writes.
    """

    integration: str
    range: str
    functions: Mapping[str, str]
    attributes: Mapping[str, Sequence[str]]
    keys: Mapping[str, Sequence[str]]

    def missing(self) -> list[str]:
        """A sentence for each name that is not what the integration was written for; reads the library's source."""
        return [*self.missing_functions(), *self.missing_attributes(), *self.missing_keys()]

    def missing_functions(self) -> Iterator[str]:
        """The sentences about functions, which cost milliseconds beside the import of their modules."""
        for place, parameters in self.functions.items():
            found = _find(place)
            if not callable(found):
                yield self._sentence(place, "is gone")
            elif (now := ", ".join(one for one in inspect.signature(found).parameters if one != OF_RAY)) != parameters:
                yield self._sentence(place, f"now takes ({now}), and {self.integration} was written for ({parameters})")

    def missing_attributes(self) -> Iterator[str]:
        """The sentences about attributes, which need the source of classes."""
        for place, names in self.attributes.items():
            given = _given_attributes(_find(place))
            at = place if place.endswith(":") else f"{place}."
            yield from (self._sentence(f"{at}{name}", "is gone") for name in names if name not in given)

    def missing_keys(self) -> Iterator[str]:
        """The sentences about keys, which need the source of functions."""
        for place, names in self.keys.items():
            found = _find(place)
            texts = _texts(inspect.getsource(found)) if inspect.isfunction(found) else names  # what is gone was named
            yield from (self._sentence(place, f'no longer has "{name}"') for name in names if name not in texts)

    def _sentence(self, place: str, what: str) -> str:
        module, _, name = place.partition(":")
        package = module.split(".")[0]
        return f'{TITLES.get(package, package)} {installed(package)}: {name} {what}; run: pip install "{self.range}"'


def _find(place: str) -> object | None:
    """What a place names; None where there is nothing."""
    module, _, path = place.partition(":")
    try:
        found: object = import_module(module)
        for name in path.split(".") if path else ():
            found = getattr(found, name)
    except (ImportError, AttributeError):
        return None
    return found


def _given_attributes(owner: object | None) -> set[str]:
    """Names that a module or a class has, or that a method of the class or of its bases assigns to ``self``."""
    if isinstance(owner, ModuleType):
        return set(dir(owner))
    if not inspect.isclass(owner):
        return set()
    names = set(dir(owner))
    for one in owner.__mro__[:-1]:
        names.update(inspect.get_annotations(one))
        names.update(_assigned_to_self(one))
    return names


def _assigned_to_self(owner: type) -> Iterator[str]:
    try:
        source = textwrap.dedent(inspect.getsource(owner))
    except (OSError, TypeError):  # a class of the interpreter
        return
    stored = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    for node in stored:
        if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def _texts(source: str) -> set[str]:
    nodes = ast.walk(ast.parse(textwrap.dedent(source)))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
