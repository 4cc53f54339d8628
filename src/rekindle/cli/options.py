"""The options of every command that reads a configuration."""

import argparse
from pathlib import Path

from rekindle.config import Config
from rekindle.recipes import resolve

__all__ = ["add_config", "resolved"]


def add_config(parser: argparse.ArgumentParser) -> None:
    """CONFIG.toml, --recipe, --set and --seed."""
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
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


def resolved(options: argparse.Namespace) -> Config:
    """The complete configuration that the options name."""
    return resolve(options.config, options.recipe, options.overrides, options.seed)
