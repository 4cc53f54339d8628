"""verl's configuration and a recipe made one: checked, with the settings that the recipe decides written into it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rekindle.config import Config, ConfigError, merge
from rekindle.integrations.settings.tables import recipe_tables
from rekindle.integrations.verl.settings.environments import environment_settings
from rekindle.integrations.verl.settings.impossible import notes, without_our_mode
from rekindle.integrations.verl.settings.run_settings import run_settings, settled
from rekindle.integrations.verl.settings.values import MODES, Values
from rekindle.types import UserError

__all__ = ["TABLE", "check_before_ray", "decided_by", "settle", "tables_of"]

TABLE = "rekindle"
"""Name of our table in verl's configuration."""
BAD_USAGE = 2


def check_before_ray(config: Any) -> None:
    """Check and settle verl's configuration in place, before Ray starts; without our mode and table, nothing happens.

    Args:
        config: verl's ``DictConfig``.

    Raises:
        SystemExit: With code 2, after a sentence on standard error, where something is refused.
    """
    try:
        if str(config.trainer.v1.trainer_mode) in MODES:
            settle(config)
            for note in notes(_values(config)):
                sys.stderr.write(f"rekindle: warning: {note}\n")
        elif TABLE in config:
            raise ConfigError(without_our_mode(_values(config)))
    except UserError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"rekindle: {line}\n")
        raise SystemExit(BAD_USAGE) from None


def settle(config: Any, *, steps: int | None = None) -> Config:
    """The configuration of the run; what its recipe decides is written into verl's.

    A second call changes nothing and returns the same. The recipe's file, if it is one, is read by the first.

    Args:
        config: verl's ``DictConfig``, with the table ``rekindle``; it is changed.
        steps: Steps of the run, where verl's configuration does not say.

    Raises:
        ConfigError: The recipe or a setting is not valid, or they contradict each other; one line per problem.
    """
    from omegaconf import OmegaConf, open_dict

    found, changes = decided_by(config, steps=steps)
    with open_dict(config):
        for path, value in changes.items():
            OmegaConf.update(config, path, value, merge=False)
    return found


def decided_by(config: Any, *, steps: int | None = None) -> tuple[Config, dict[str, Any]]:
    """The configuration of the run, and the changes to verl's by path; nothing is changed.

    Args:
        config: verl's ``DictConfig``, with the table ``rekindle``.
        steps: Steps of the run, where verl's configuration does not say.

    Raises:
        ConfigError: The recipe or a setting is not valid, or they contradict each other; one line per problem.
    """
    values = _values(config)
    tables = tables_of(_plain(config.get(TABLE)))
    found = run_settings(tables, values, steps=steps)
    return found, {**settled(found, values), **environment_settings(found, tables), TABLE: tables}


def tables_of(given: object) -> dict[str, Any]:
    """The tables of a recipe from the table ``rekindle``, whose ``recipe`` is a name or the path of a TOML file.

    Raises:
        ConfigError: There is none, or the file cannot be read.
    """
    if isinstance(given, str):
        given = {"recipe": given}
    if not isinstance(given, Mapping) or not given:
        raise ConfigError("the trainer mode needs a recipe; add +rekindle.recipe=recycle (rekindle recipes lists them)")
    tables = {str(name): value for name, value in recipe_tables(given).items() if value is not None}
    recipe = tables.get("recipe")
    if isinstance(recipe, str) and recipe.endswith(".toml"):
        below = recipe_tables(Path(recipe).expanduser())
        return merge(below, {name: value for name, value in tables.items() if name != "recipe"})
    return tables


def _values(config: Any) -> Values:
    return Values.of(_plain(config))


def _plain(config: Any) -> Any:
    """Nested tables of a ``DictConfig``, with its references resolved; other values as they are."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not OmegaConf.is_config(config):
        return config
    try:
        return OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"verl's configuration cannot be read ({reason}); correct the override") from None
