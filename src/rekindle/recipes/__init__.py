"""The table of recipes by name. A recipe is a function that returns a complete configuration."""

import os.path
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from rekindle.choices import closest, plain_name
from rekindle.config import Config, ConfigError, complete, merge, parse_override, read_toml, renamed, validate
from rekindle.config.facts import plays_itself
from rekindle.config.keys import lists_of
from rekindle.recipes.bounded_dapo import bounded_dapo
from rekindle.recipes.c_rf_ntf import c_rf_ntf
from rekindle.recipes.cispo import cispo
from rekindle.recipes.dapo import dapo
from rekindle.recipes.dr_grpo import dr_grpo
from rekindle.recipes.erpo import erpo
from rekindle.recipes.gpg import gpg
from rekindle.recipes.greso import greso
from rekindle.recipes.grpo import grpo
from rekindle.recipes.gspo import gspo
from rekindle.recipes.knapsack import knapsack
from rekindle.recipes.maxrl import maxrl
from rekindle.recipes.mopps import mopps
from rekindle.recipes.pods import pods
from rekindle.recipes.posterior_recycle import posterior_recycle
from rekindle.recipes.prompt_baseline import prompt_baseline
from rekindle.recipes.recycle import recycle
from rekindle.recipes.reinforce_ada import reinforce_ada
from rekindle.recipes.reinforce_pp import reinforce_pp
from rekindle.recipes.reinforce_pp_baseline import reinforce_pp_baseline
from rekindle.recipes.reinforce_pp_ntf import reinforce_pp_ntf
from rekindle.recipes.rekindle import rekindle
from rekindle.recipes.rl_zvp import rl_zvp
from rekindle.recipes.rloo import rloo
from rekindle.recipes.self_play import self_play
from rekindle.recipes.self_play_paper import self_play_paper
from rekindle.recipes.sgpo import sgpo
from rekindle.recipes.soft_recycle import soft_recycle
from rekindle.recipes.speed import speed
from rekindle.recipes.spo import spo

__all__ = ["RECIPES", "begun_settings", "on_given_tasks", "preset_of", "resolve", "unknown_recipe"]

RECIPES: dict[str, Callable[[], Config]] = {
    recipe.__name__: recipe
    for recipe in (
        grpo,
        dapo,
        bounded_dapo,
        dr_grpo,
        rloo,
        reinforce_pp,
        reinforce_pp_baseline,
        gpg,
        maxrl,
        gspo,
        cispo,
        recycle,
        soft_recycle,
        posterior_recycle,
        erpo,
        sgpo,
        c_rf_ntf,
        reinforce_pp_ntf,
        spo,
        prompt_baseline,
        rl_zvp,
        greso,
        mopps,
        speed,
        reinforce_ada,
        knapsack,
        pods,
        self_play,
        self_play_paper,
        rekindle,
    )
}

BASES: tuple[str, ...] = get_args(Config.model_fields["base"].annotation)
"""Recipes that others can be built on."""


def on_given_tasks() -> list[str]:
    """The recipes for given tasks, without self-play."""
    return [name for name, recipe in RECIPES.items() if not plays_itself(recipe())]


ELSEWHERE = {
    "reinforce": "reinforce_pp",
    "reinforce++": "reinforce_pp",
    "reinforce_plus_plus": "reinforce_pp",
    "reinforce++_baseline": "reinforce_pp_baseline",
    "reinforce_plus_plus_baseline": "reinforce_pp_baseline",
    "drgrpo": "dr_grpo",
    "dr.grpo": "dr_grpo",
    "dr._grpo": "dr_grpo",
    "ssp": "self_play",
}
"""Our recipe by a name of the same method in other trainers."""
WITHOUT_CRITIC = {"ppo", "gae", "vapo", "remax", "dpo", "sft", "kto"}


def unknown_recipe(name: object, where: str) -> ConfigError:
    """The error of a name that is no recipe's, with the nearest one.

    Args:
        name: The name.
        where: Where it is given, e.g. ``--recipe``.
    """
    return ConfigError(f"{where}: recipe {name!r} is unknown; {_recipe_instead_of(str(name))}")


def _recipe_instead_of(name: str) -> str:
    """Suggestion for an unknown recipe."""
    plain = plain_name(name)
    lists = "`rekindle recipes` lists them"
    if plain in WITHOUT_CRITIC:
        return f"rekindle compares rollouts of a prompt and trains no critic; choose e.g. grpo or rloo ({lists})"
    close = ELSEWHERE.get(plain) or closest(name, RECIPES)
    return f"did you mean {close}? ({lists})" if close else lists


def resolve(
    source: Path | Mapping[str, Any],
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    saved: Mapping[str, Any] = MappingProxyType({}),
    given: Mapping[str, Any] = MappingProxyType({}),
) -> Config:
    """The complete configuration: the recipe on its base, overridden by the file, then by ``--set`` and ``--seed``.

    Keys that none of these set have defaults that suit the model.

    Args:
        source: The file, or its nested tables.
        recipe: Name of the recipe; None: that of the file, or grpo.
        overrides: ``key.sub=value`` of ``--set``.
        seed: ``train.seed``; None: that of the file.
        saved: Settings of the run that is resumed, whose defaults stay as they are.
        given: Nested tables over those of the file.

    Raises:
        ConfigError: The file, the recipe name, a key, a value or a combination is not valid.
    """
    where = str(source) if isinstance(source, Path) else "config"
    values = read_toml(source) if isinstance(source, Path) else renamed(source, where)
    values = merge(values, given)
    name = recipe or values.get("recipe", "grpo")
    for override in overrides:
        values = merge(values, parse_override(override))
    if seed is not None:
        values = merge(values, {"train": {"seed": seed}})
    preset = preset_of(name, values.get("base"), where=where)
    values = _with_places(values, source if isinstance(source, Path) else Path("config"))
    merged = {**merge(preset, values), "recipe": name}
    return validate(complete(merged, merge(_chosen(name, values.get("base")), values), saved), where=where)


def begun_settings(run: Path) -> dict[str, Any]:
    """Settings of the run in a directory, to be kept by a run that goes on (``saved``); empty where there is none."""
    kept = run / "config.toml"
    return validate(read_toml(kept), str(kept)).model_dump(mode="json") if kept.is_file() else {}


def _with_places(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The settings with the whole paths of the files of functions, which are looked for beside the configuration."""
    found = dict(values)
    for name, _ in lists_of(Config):
        tables = values.get(name)
        if isinstance(tables, list) and all(isinstance(one, dict) for one in tables):
            found[name] = [
                one | {"function": _placed(one["function"], path)} if isinstance(one.get("function"), str) else one
                for one in tables
            ]
    return found


def _placed(function: str, path: Path) -> str:
    """``FILE.py:NAME`` with the whole path: beside the configuration, or else from the working directory."""
    file, _, name = function.rpartition(":")
    if not file.endswith(".py"):
        return function
    beside = path.absolute().parent / Path(file).expanduser()
    here = Path(file).expanduser().absolute()
    place = here if here.is_file() and not beside.is_file() else beside
    return f"{os.path.normpath(place)}:{name}"


def _chosen(name: str, base: object) -> dict[str, Any]:
    """The settings that a recipe and its base choose, defaults left out."""
    names = [name] if base not in BASES or name == base else [name, str(base)]
    chosen: dict[str, Any] = {}
    for one in names:
        chosen = merge(chosen, RECIPES[one]().model_dump(mode="json", exclude_unset=True))
    return chosen


def preset_of(name: str, base: object, *, where: str) -> dict[str, Any]:
    """The complete settings of a recipe, with those of ``base`` in place of defaults; an unknown base changes nothing.

    Raises:
        ConfigError: There is no such recipe, or it and its base set a key to different values.
    """
    if str(name) not in RECIPES:
        raise unknown_recipe(name, where)
    own = RECIPES[name]().model_dump(mode="json", exclude_none=True)
    if base not in BASES or name == base:
        return own
    below = _changes(RECIPES[str(base)]())
    theirs, ours = _by_path(below), _by_path(_changes(RECIPES[name]()))
    if both := sorted(path for path in theirs.keys() & ours.keys() if theirs[path] != ours[path]):
        raise ConfigError(
            f'{where}: base = "{base}" and recipe = "{name}" both set {", ".join(both)}; remove base, and set what you '
            "want of it key by key"
        )
    return merge(own, below)


def _changes(config: Config) -> dict[str, Any]:
    """The settings of a recipe that are not defaults, without its name."""
    values = config.model_dump(mode="json", exclude_defaults=True)
    values.pop("recipe", None)
    return values


def _by_path(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by dotted path."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, Mapping)
        found |= _by_path(value, f"{above}{key}.") if inner else {above + key: value}
    return found
