"""The recipes of a plan: their settings at each group size, and those that cannot be planned, each with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from rekindle.config import Config, ConfigError
from rekindle.config.facts import plays_itself
from rekindle.recipes import RECIPES, resolve
from rekindle.scheduling.pools import POOLS

__all__ = ["FEW", "FEW_ON_CLUSTER", "Arm", "arms_of", "has_closed_form", "is_single"]

FEW = ("grpo", "dapo", "recycle", "posterior_recycle", "erpo", "sgpo", "rekindle")
"""Recipes that are planned where none are named."""
FEW_ON_CLUSTER = ("grpo", "recycle")
"""The same on a cluster, where a recipe takes a minute or more."""
USUAL_GROUPS = 64
"""Groups of a step in the recipes that choose none; other recipes keep their proportion to it."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A recipe at a group size.

    Attributes:
        recipe: Its name.
        size: Group size; None where the recipe sizes its groups itself.
        config: The resolved configuration.
    """

    recipe: str
    size: int | None
    config: Config

    @property
    def name(self) -> str:
        """Recipe and size."""
        return self.recipe if self.size is None else f"{self.recipe}, groups of {self.size}"


def arms_of(recipes: Sequence[str], sizes: Sequence[int], groups: int | None) -> tuple[list[Arm], list[str]]:
    """The arms of a plan, and a sentence for each recipe without one.

    Args:
        recipes: Names.
        sizes: Group sizes, for recipes whose groups have a given size.
        groups: ``train.groups_per_step``, of 64 in most recipes; None: theirs.

    Raises:
        ConfigError: A name is unknown.
    """
    found, left_out = list[Arm](), list[str]()
    for recipe in recipes:
        if recipe in RECIPES and plays_itself(RECIPES[recipe]()):
            left_out.append(f"{recipe} creates its prompts while it runs, so no profile can say what they are.")
            continue
        own = resolve({"train": {"steps": 1}}, recipe)
        if sizes_itself(own):
            found.append(Arm(recipe, None, resolve({"train": _batch(own, groups)}, recipe)))
            continue
        for size in sizes:
            try:
                config = resolve({"train": _batch(own, groups) | {"group_size": size}}, recipe)
            except ConfigError as error:
                left_out.append(f"{recipe} with group size {size} is refused: {error}")
                continue
            found.append(Arm(recipe, size, config))
    return found, left_out


def _batch(own: Config, groups: int | None) -> dict[str, int]:
    share = own.train.groups_per_step / USUAL_GROUPS
    chosen = {} if groups is None else {"groups_per_step": max(1, round(groups * share))}
    return {"steps": 1, **chosen}  # a run needs an end; a plan has its horizon


def sizes_itself(config: Config) -> bool:
    """Whether ``--group-size`` says nothing to a recipe: phases, rounds, subsets and groups of one have sizes."""
    return (
        POOLS[config.pool.kind].sizes_groups
        or config.top_up.kind != "off"
        or config.subset.kind != "off"
        or is_single(config)
    )


def is_single(config: Config) -> bool:
    """Whether groups have one rollout, which is compared with others than its own prompt's."""
    return config.train.group_size == 1 and not POOLS[config.pool.kind].sizes_groups


def has_closed_form(config: Config, prompts: int) -> bool:
    """Whether every prompt in turn gets a group of a given size, so that expectations need no simulation.

    A step that may take the whole pool has none, because it cannot take a prompt twice.
    """
    most = config.train.groups_per_step * (config.train.oversample + config.refill.max_rounds)
    return (
        most <= prompts
        and config.pool.kind == "cycling"
        and config.sizes.rule == "fixed"
        and config.top_up.kind == "off"
        and config.subset.kind == "off"
        and not config.heating.delta
    )
