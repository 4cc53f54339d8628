"""The command of a run on verl: what a user overrides, with what belongs to the recipe, composed and checked."""

import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rekindle.integrations.verl.settings.links import ESTIMATOR
from rekindle.integrations.verl.settings.run_settings import RECIPE
from rekindle.integrations.verl.settings.settling import TABLE, decided_by, tables_of
from rekindle.integrations.verl.settings.values import MODES, V1
from rekindle.recipes import preset_of
from rekindle.types import UserError

__all__ = ["Command", "check_with_verl", "command_of"]

MODULE = "verl.trainer.main_ppo"
CONFIG_NAME = "ppo_trainer"
MODE = f"{V1}.trainer_mode"
LONG = {"name": "--config-name", "path": "--config-path"}
SHORT = {"-cn": "name", "-cp": "path"}
OPTIONS = {**{option: what for what, option in LONG.items()}, **SHORT}
"""Options of hydra that say which configuration is composed, by what they give."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of verl that was checked.

    Attributes:
        arguments: Options and overrides for ``python -m verl.trainer.main_ppo``.
        decided: verl's settings that the recipe decides, by path.
        config: verl's composed ``DictConfig``, before they are written into it.
    """

    arguments: Sequence[str]
    decided: dict[str, Any]
    config: Any

    @property
    def words(self) -> list[str]:
        """The command, word by word."""
        return [sys.executable, "-m", MODULE, *self.arguments]

    def __str__(self) -> str:
        return shlex.join(["python", *self.words[1:]])


def command_of(recipe: str | None, given: Sequence[str]) -> Command:
    """The checked command of a recipe and of what a user gives verl.

    Added are the trainer mode (ours that is made of the one given), the recipe, and ``adv_estimator=grpo`` where no
    estimator is given.

    Args:
        recipe: Name of a recipe, or the path of a TOML file; None: the overrides say it.
        given: Overrides of verl's configuration, with hydra's options for its name and place.

    Raises:
        UserError: verl is not installed, an override is wrong, or the recipe or a setting is refused.
    """
    _check_recipe(recipe, given)
    folder = _configurations()
    options, overrides = _parted(given)
    overrides = _completed(recipe, overrides)
    config = _composed(folder, options, overrides)
    _, decided = decided_by(config)
    return Command(
        [*options.values(), *overrides], {path: value for path, value in decided.items() if path != TABLE}, config
    )


def _check_recipe(recipe: str | None, given: Sequence[str]) -> None:
    """Check that the recipe exists, before anything that has to be installed.

    Raises:
        UserError: It does not, or its file cannot be read.
    """
    named = [one.partition("=")[2] for one in given if one.startswith(f"{RECIPE}=")]
    for name in named if recipe is None else [recipe]:
        tables = tables_of(name)
        preset_of(tables.get("recipe", "grpo"), tables.get("base"), where="--recipe" if recipe else RECIPE)


def check_with_verl(command: Command) -> None:
    """Make the checks of verl itself on the settled configuration, as its command does.

    Raises:
        UserError: A check fails, or verl cannot be imported.
    """
    from rekindle.integrations.verl.settings.settling import settle

    try:
        from verl.trainer.ppo.utils import need_critic, need_reference_policy
        from verl.utils.config import validate_config

        settle(command.config)
        with warnings.catch_warnings(action="ignore"), redirect_stdout(sys.stderr):
            validate_config(command.config, need_reference_policy(command.config), need_critic(command.config))
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"verl cannot be imported ({error}); install what is missing") from error
    except Exception as error:  # of verl: assertions, ValueError, errors of omegaconf
        raise UserError(f"verl refuses the configuration: {_first_line(error)}") from error


def _configurations() -> Path:
    """Folder of verl's configurations; verl itself is not imported, because that takes seconds."""
    _place_of("hydra")
    folder = _place_of("verl") / "trainer" / "config"
    if not (folder / f"{CONFIG_NAME}.yaml").is_file():
        raise UserError(f'the installed verl has no {CONFIG_NAME}.yaml; run: pip install "rekindle[verl]"')
    return folder


def _place_of(package: str) -> Path:
    found = find_spec(package)
    if found is None or found.origin is None:
        raise UserError(f'{package} is not installed; run: pip install "rekindle[verl]"')
    return Path(found.origin).parent


def _parted(given: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The options of hydra by what they give, as one word each, and the overrides."""
    options, overrides, words = dict[str, str](), list[str](), iter(given)
    for word in words:
        name, equals, value = word.partition("=")
        if name in OPTIONS:
            options[OPTIONS[name]] = f"{LONG[OPTIONS[name]]}={value if equals else next(words, '')}"
        elif word.startswith("-"):
            raise UserError(f"{word} is no override of verl's configuration; leave it out, or call verl's command")
        else:
            overrides.append(word)
    return options, overrides


def _completed(recipe: str | None, overrides: Sequence[str]) -> list[str]:
    """The overrides with those of the recipe."""
    given = {_path(one): one for one in overrides}
    mode = given[MODE].partition("=")[2] if MODE in given else "sync"
    ours = {theirs: mine for mine, theirs in MODES.items()}.get(mode, mode)
    if ours not in MODES:
        raise UserError(f"{MODE}={mode} has no counterpart; choose {', '.join(MODES.values())}, or leave it out")
    recipes = [name for name in (TABLE, f"{TABLE}.recipe") if name in given]
    if recipe is not None and recipes:
        raise UserError(f"--recipe {recipe} beside {given[recipes[0]]} name two recipes; leave one out")
    found = [one for one in overrides if _path(one) != MODE]
    found += [] if ESTIMATOR in given else [f"{ESTIMATOR}=grpo"]
    return [*found, f"{MODE}={ours}", *([] if recipe is None else [f"+{TABLE}.recipe={recipe}"])]


def _path(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _composed(folder: Path, options: Mapping[str, str], overrides: Sequence[str]) -> Any:
    """The configuration of verl with the overrides.

    Raises:
        UserError: hydra or omegaconf refuses an override.
    """
    from hydra import compose
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    given = {what: Path(option.partition("=")[2]) for what, option in options.items()}
    name = str(given.get("name", CONFIG_NAME)).removesuffix(".yaml")
    try:
        with _initialized(_folder(folder, given.get("path"))):
            return compose(name, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        remedy = "" if "\n" in str(error) else "; correct the override"
        raise UserError(f"verl's configuration: {_first_line(error)}{remedy}") from error


def _folder(verls: Path, given: Path | None) -> Path:
    """Folder of the configuration: that of verl, or the one that the command names, as seen from verl's module."""
    return verls if given is None else verls.parent / given


@contextmanager
def _initialized(folder: Path) -> Iterator[None]:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder), version_base=None):
        yield


def _first_line(error: BaseException) -> str:
    """The message on one line, hydra's advice included."""
    text = "; ".join(line.strip().rstrip(".") for line in str(error).splitlines()[:2] if line.strip())
    return text or type(error).__name__
