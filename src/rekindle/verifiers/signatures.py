"""Signatures of reward functions: that of TRL and that of verl, recognised by the names of the parameters.

    trl    score(completions, prompts, completion_ids, **columns) -> a number or None for each completion
    verl   score(data_source, solution_str, ground_truth, extra_info) -> a number, or a dictionary with "score"

All arguments are passed by name. A function gets those that it names, or all of them with ``**kwargs``.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rekindle.choices import few
from rekindle.verifiers.verifier import VerifierError

__all__ = ["BATCH", "ROW", "Signature", "Style", "signature_of"]

Style = Literal["trl", "verl"]

BATCH = ("completions", "prompts", "completion_ids")
"""Arguments of TRL's signature beside the columns of the rows."""
ROW = ("data_source", "solution_str", "ground_truth", "extra_info")
"""Arguments of verl's signature."""
NOT_GIVEN = ("trainer_state", "log_extra", "log_metric")
"""Arguments of TRL's trainer that there are not here."""
KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
EXPECTED = (
    'write "def score(completions, **columns)", which returns a list of numbers (TRL\'s signature), or "def '
    "score(data_source, solution_str, ground_truth, extra_info)\", which returns a number (verl's)"
)


@dataclass(frozen=True, slots=True)
class Signature:
    """How a reward function is called.

    Attributes:
        style: ``"trl"``: once for the rollouts of a group; ``"verl"``: once for each rollout.
        accepted: Names of its parameters; None: any.
        required: Columns of the rows without which it cannot be called.
        is_async: Whether its result is awaited.
    """

    style: Style
    accepted: tuple[str, ...] | None
    required: tuple[str, ...] = ()
    is_async: bool = False

    def takes(self, name: str) -> bool:
        """Whether the function gets the argument ``name``."""
        return self.accepted is None or name in self.accepted

    def as_json(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "style": self.style,
            "accepted": self.accepted and list(self.accepted),
            "required": list(self.required),
            "is_async": self.is_async,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Signature":
        """The inverse of ``as_json``."""
        accepted = values["accepted"]
        return cls(
            values["style"],
            None if accepted is None else tuple(accepted),
            tuple(values["required"]),
            values["is_async"],
        )


def signature_of(function: object) -> Signature:
    """The signature of a function, a ``functools.partial``, or an instance with ``__call__``.

    Raises:
        VerifierError: It has neither signature, or is no function; the message begins with a verb.
    """
    if isinstance(function, type):
        raise VerifierError(
            f"is a class; make an instance in the file, e.g. score = {function.__name__}(), and name it"
        )
    if not callable(function):
        raise VerifierError(f"is {_article(type(function).__name__)} and cannot be called; name a function")
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise VerifierError(f"has no parameters that Python can read; {EXPECTED}") from None
    named = {name: one for name, one in parameters.items() if one.kind in KEYWORDS}
    anything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    required = [
        name
        for name, one in parameters.items()
        if one.default is inspect.Parameter.empty and one.kind in {*KEYWORDS, inspect.Parameter.POSITIONAL_ONLY}
    ]
    if missing := [name for name in required if name in NOT_GIVEN]:
        raise VerifierError(f"needs {missing[0]}, which only TRL's trainer has; give it a default, or remove it")
    positional = [name for name in required if name not in named]
    accepted = None if anything else tuple(name for name in named if name not in NOT_GIVEN)
    if "solution_str" in named and not positional:
        return _of_verl(accepted, required, function)
    if positional or not (anything or "completions" in named):
        raise VerifierError(f"has the parameters {few(parameters) or 'of none'}; {EXPECTED}")
    columns = tuple(name for name in required if name not in BATCH)
    return Signature("trl", accepted, columns, _is_async(function))


def _of_verl(accepted: tuple[str, ...] | None, required: list[str], function: Callable[..., object]) -> Signature:
    if further := [name for name in required if name not in ROW]:
        raise VerifierError(
            f"has verl's signature and also needs {few(further)}; verl's has {', '.join(ROW)}: give the others "
            "defaults (functools.partial)"
        )
    return Signature("verl", accepted and tuple(name for name in accepted if name in ROW), (), _is_async(function))


def _is_async(function: object) -> bool:
    inner: Any = getattr(function, "func", function)  # functools.partial
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(type(inner).__call__)


def _article(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"
