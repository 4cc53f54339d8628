"""Sampling settings of an evaluation: those given, and those of a model's ``generation_config.json``."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rekindle.config import Config
from rekindle.evaluation.question_sets import EvaluationError

__all__ = ["Sampling", "model_sampling"]

GENERATION = "generation_config.json"
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "top_k": (0,),
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "num_beams": (1,),
}
"""Settings of a generation configuration that we have not, and the values at which they do nothing."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are sampled; None is what the configuration says, for the temperature 1."""

    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    max_new_tokens: int | None = None

    def over(self, other: "Sampling") -> "Sampling":
        """These settings, and those of ``other`` where nothing is set here."""
        return Sampling(**{name: _either(getattr(self, name), getattr(other, name)) for name in self.__slots__})

    def applied(self, config: Config) -> Config:
        """The configuration with these limits."""
        chosen = {name: getattr(self, name) for name in ("top_p", "min_p", "max_new_tokens")}
        changes = {name: value for name, value in chosen.items() if value is not None}
        return config.model_copy(update={"engine": config.engine.model_copy(update=changes)})


def _either(first: Any, second: Any) -> Any:
    return second if first is None else first


def model_sampling(directory: Path) -> Sampling:
    """What a model directory's ``generation_config.json`` says of temperature, top_p and min_p.

    Raises:
        EvaluationError: It is not there, says nothing of sampling, or asks for what we cannot do.
    """
    path = directory / GENERATION
    remedy = "give --temperature and --top-p instead of --sampling model"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror or error}); {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{path} is not valid JSON; {remedy}") from error
    if not isinstance(found, dict):
        raise EvaluationError(f"{path} is not a JSON object; {remedy}")
    return _sampling(path, {name: value for name, value in found.items() if value is not None}, remedy)


def _sampling(path: Path, found: Mapping[str, Any], remedy: str) -> Sampling:
    if found.get("do_sample") is False:
        return Sampling(temperature=0.0, top_p=1.0, min_p=0.0)
    foreign = [
        f"{name} = {found[name]}" for name, values in NEUTRAL.items() if name in found and found[name] not in values
    ]
    if foreign:
        raise EvaluationError(f"{path} asks for {' and '.join(foreign)}, which is not supported here; {remedy}")
    if not {"do_sample", "temperature", "top_p", "min_p"} & set(found):
        raise EvaluationError(f"{path} says nothing of sampling; {remedy}")
    return Sampling(
        temperature=_within(path, found, "temperature", 1.0, lambda value: 0 <= value < math.inf),
        top_p=_within(path, found, "top_p", 1.0, lambda value: 0 < value <= 1),
        min_p=_within(path, found, "min_p", 0.0, lambda value: 0 <= value < 1),
    )


def _within(path: Path, found: Mapping[str, Any], name: str, default: float, holds: Callable[[float], bool]) -> float:
    value = found.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
        raise EvaluationError(f"{path}: {name} = {value!r} is out of bounds; give --{name.replace('_', '-')}")
    return float(value)
