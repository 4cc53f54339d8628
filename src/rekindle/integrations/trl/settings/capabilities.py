"""What each recipe is inside TRL: accepted or refused, what to set, and what it decides; of the code that refuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from rekindle.config import Config, ConfigError
from rekindle.integrations.settings.group_shape import largest_group
from rekindle.integrations.trl.settings.arguments import DEFAULTS, Arguments
from rekindle.integrations.trl.settings.run_settings import run_settings, settled
from rekindle.integrations.trl.settings.step_shape import full_groups
from rekindle.recipes import RECIPES

__all__ = ["Capability", "capabilities", "refusal_of"]

PLAIN = Arguments(per_device_train_batch_size=64, max_steps=100)
SEVERAL = Arguments(per_device_train_batch_size=16, steps_per_generation=4, max_steps=100)
SENSIBLE: Mapping[str, Arguments] = {
    "": PLAIN,
    "`steps_per_generation` = 4 x `gradient_accumulation_steps` (or another multiple)": SEVERAL,
}
"""Arguments to try, by what a script has to set for them."""


@dataclass(frozen=True, slots=True)
class Capability:
    """A recipe inside TRL.

    Attributes:
        refusal: Reason why it is refused; "" where it is accepted.
        needs: What a script has to set; "" where TRL's defaults do.
        decided: Arguments that the recipe decides, with their values.
        binary: Whether rewards become 0 or 1.
    """

    refusal: str = ""
    needs: str = ""
    decided: Mapping[str, object] | None = None
    binary: bool = False


@cache
def capabilities() -> Mapping[str, Capability]:
    """Every recipe by name."""
    return {name: _capability(name) for name in RECIPES}


def refusal_of(recipe: str) -> str:
    """Reason why TRL cannot do a recipe; "" where it can."""
    return capabilities()[recipe].refusal


def _capability(name: str) -> Capability:
    refusal = ""
    for words, arguments in SENSIBLE.items():
        try:
            config = run_settings(name, arguments, model="model", rewards=[("reward", 1.0)])
        except ConfigError as error:
            refusal = refusal or str(error)
            continue
        needs = "; ".join(filter(None, [words, _batch(config)]))
        return Capability("", needs, settled(config, arguments), config.task.binary_rewards)
    return Capability(refusal)


def _batch(config: Config) -> str:
    """What a recipe asks of the generation batch beyond TRL's own check."""
    most, whole = largest_group(config), full_groups(config)
    if most > max(whole, DEFAULTS.num_generations):
        return f"a generation batch of at least {most}"
    return f"a generation batch that is a multiple of {whole}" if DEFAULTS.num_generations % whole else ""
