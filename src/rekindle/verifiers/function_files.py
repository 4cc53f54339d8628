"""Functions by name: ``my_reward.py:score`` of a file, or ``package.module:score`` of an importable module."""

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from rekindle.choices import closest
from rekindle.verifiers.signatures import Signature, signature_of
from rekindle.verifiers.verifier import VerifierError

__all__ = ["Loaded", "cause_of", "file_digest", "load_function"]

SHORT = 300
"""Most characters of an exception's message."""


class Loaded(NamedTuple):
    """A function with its signature."""

    function: Callable[..., object]
    signature: Signature


def load_function(spec: str) -> Loaded:
    """Import the function that ``spec`` names. The file's folder is on the import path, before all others.

    Raises:
        VerifierError: It cannot be imported or called; the message goes on from the name of the key.
    """
    place, _, name = spec.rpartition(":")
    module = _module(place)
    try:
        function: Any = reduce(getattr, name.split("."), module)
    except AttributeError:
        known = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        near = closest(name, known)
        hint = f"did you mean {near}?" if near else f"it has {', '.join(known[:8]) or 'no functions'}"
        raise VerifierError(f"there is no {name} in {place}; {hint}") from None
    try:
        signature = signature_of(function)
    except VerifierError as error:
        raise VerifierError(f"{name} {error}") from None
    return Loaded(function, signature)


def file_digest(spec: str) -> str:
    """Digest of the file of a function; "" for a function of a module."""
    file = Path(spec.rpartition(":")[0])
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.suffix == ".py" and file.is_file() else ""


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.append(here)
        return _imported(lambda: importlib.import_module(place), place)
    file = Path(place)
    if not file.is_file():
        raise VerifierError(f"there is no file {place}; correct the path")
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    return _imported(lambda: _executed(file), file.name)


_executed_files: dict[tuple[Path, bytes], ModuleType] = {}
"""Modules by file and content: the functions of a file share one, and a changed file is executed anew."""


def _executed(file: Path) -> ModuleType:
    """The module of a file, under its own name unless another module has it."""
    key = file.absolute(), file.read_bytes()
    if key in _executed_files:
        return _executed_files[key]
    name = file.stem if file.stem not in sys.modules else f"rekindle_reward_{file.stem}"
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None, "the suffix is .py"
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _executed_files[key] = module
    return module


def _imported(import_it: Callable[[], ModuleType], name: str) -> ModuleType:
    try:
        return import_it()
    except (Exception, SystemExit) as error:  # noqa: BLE001 (the user's code; it becomes a message)
        raise VerifierError(f"{name} cannot be imported: {cause_of(error)}; fix it") from None


def cause_of(error: BaseException) -> str:
    """An exception in one line, with its innermost place outside of libraries: ``KeyError: 'x' (my.py, line 3)``."""
    kind, message = type(error).__name__, str(error).strip()
    text = f"{kind}: {message.splitlines()[0][:SHORT]}" if message else kind
    if isinstance(error, SyntaxError):
        return f"{kind}: {error.msg} ({Path(error.filename or '?').name}, line {error.lineno})"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not _is_ours(frame.filename)
    ]
    of_user = [frame for frame in frames if not _is_library(frame.filename)] or frames
    return f"{text} ({Path(of_user[-1].filename).name}, line {of_user[-1].lineno})" if of_user else text


def _is_ours(filename: str) -> bool:
    return Path(filename).parent == Path(__file__).parent


def _is_library(filename: str) -> bool:
    return "site-packages" in filename or filename.startswith((sys.prefix, sys.base_prefix))
