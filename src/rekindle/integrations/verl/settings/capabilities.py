"""What each recipe is on verl: accepted or refused, what to set, and what it decides; of the code that refuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from rekindle.config import ConfigError
from rekindle.integrations.verl.settings.links import ESTIMATOR
from rekindle.integrations.verl.settings.run_settings import run_settings, settled
from rekindle.integrations.verl.settings.values import DEFAULTS, MANAGER, ROLLOUT, Values
from rekindle.recipes import RECIPES

__all__ = ["Capability", "capabilities", "refusal_of"]

SIZE = f"{ROLLOUT}.n"
UNSIZED = Values(DEFAULTS).changed({ESTIMATOR: "grpo"})
SENSIBLE = (UNSIZED.changed({SIZE: 8}), UNSIZED)
"""Settings to try: with a group size, and without."""


@dataclass(frozen=True, slots=True)
class Capability:
    """A recipe on verl.

    Attributes:
        refusal: Reason why it is refused; "" where it is accepted.
        sized: Whether a command sets ``rollout.n``; False: the recipe decides the sizes of groups.
        decided: verl's settings that the recipe decides, with their values.
        binary: Whether rewards become 0 or 1.
    """

    refusal: str = ""
    sized: bool = False
    decided: Mapping[str, Any] | None = None
    binary: bool = False


@cache
def capabilities() -> Mapping[str, Capability]:
    """Every recipe by name."""
    return {name: _capability(name) for name in RECIPES}


def refusal_of(recipe: str) -> str:
    """Reason why a recipe does not work on verl; "" where it does."""
    return capabilities()[recipe].refusal


def _capability(name: str) -> Capability:
    refusal = ""
    for values in SENSIBLE:
        try:
            config = run_settings({"recipe": name}, values)
        except ConfigError as error:
            refusal = str(error)
            continue
        decided = {path: value for path, value in settled(config, values).items() if value != MANAGER}
        return Capability("", values.is_set(SIZE), decided, config.task.binary_rewards)
    return Capability(refusal)
