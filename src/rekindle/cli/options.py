"""Options shared by the commands that read a configuration, and their evaluation."""

import argparse
import os.path
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rekindle.config import Config

__all__ = ["add_config", "recipe_named", "resolved", "saved_policy", "user_path"]


def user_path(text: str) -> Path:
    """The path of an option; ``~`` is the home directory, also after a ``=``, where a shell leaves it alone."""
    return Path(os.path.expanduser(text))


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add CONFIG.toml, --recipe, --set and --seed."""
    parser.add_argument("config", type=user_path, metavar="CONFIG.toml")
    parser.add_argument("--recipe", metavar="NAME", help="preset under the file's keys (see: rekindle recipes)")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="e.g. train.steps=100; repeatable",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="short for --set train.seed=N")


def resolved(options: argparse.Namespace, begun: Path | None = None) -> "Config":
    """The complete configuration that the options name; the run in ``begun``, if there is one, keeps its defaults."""
    from rekindle.recipes import begun_settings, resolve

    saved = {} if begun is None else begun_settings(begun)
    return resolve(options.config, options.recipe, options.overrides, options.seed, saved)


def recipe_named(options: argparse.Namespace) -> str:
    """Name of the recipe that the options or the file choose; grpo where neither does."""
    from rekindle.config import read_toml

    return str(options.recipe or read_toml(options.config).get("recipe", "grpo"))


def saved_policy(checkpoint: Path | None) -> Path | None:
    """Directory of the policy named by ``--checkpoint``; None: the start model."""
    from rekindle.records.checkpoint_choice import model_directory

    return None if checkpoint is None else model_directory(checkpoint)
