"""Tables of a recipe inside another trainer: how they are given, and which of their keys are set there instead."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rekindle.config import Config, ConfigError, read_toml, renamed
from rekindle.config.conditions import value_at
from rekindle.config.keys import keys_of
from rekindle.config.other_names import leaves
from rekindle.integrations.settings.links import PLAIN
from rekindle.integrations.settings.refusing import refuse

__all__ = ["COMMON_KEYS", "KNOWN", "Places", "recipe_tables"]

KNOWN = frozenset(key.path for key in keys_of(Config))
"""Paths of all keys."""
PATHS = tuple(key.path for key in keys_of(Config))
COMMON_TABLES = (
    "pool", "priority", "skip", "posterior", "phases", "profile", "sizes", "heating", "reactivation", "refill",
    "top_up", "subset", "overlong", "advantage", "loss",
)  # fmt: skip
COMMON_KEYS = (
    "recipe", "base", "train.group_size", "train.oversample", "train.gate", "train.temperature",
    "train.max_steps_without_signal", "optimizer.max_skipped_steps", "task.success_threshold",
    "task.binary_rewards", "samples.per_step",
)  # fmt: skip
"""Keys that are ours inside every trainer, beside those of the tables."""


def recipe_tables(recipe: object) -> dict[str, Any]:
    """The tables of a recipe as a script gives it: a name, a TOML file, or tables.

    Raises:
        ConfigError: It is none of them, or the file cannot be read.
    """
    if isinstance(recipe, Mapping):
        return renamed(recipe, "recipe")
    if isinstance(recipe, Path) or (isinstance(recipe, str) and recipe.endswith(".toml")):
        return read_toml(Path(recipe))
    if not isinstance(recipe, str):
        raise ConfigError(
            f'recipe is {recipe!r:.80}, and it takes a name ("recycle"), the path of a TOML file, or tables '
            '({"recipe": "erpo", "heating": {"delta": 0.1}})'
        )
    return {"recipe": recipe}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where keys are inside another trainer.

    Attributes:
        belongs: Sentence of a key that a setting there has, e.g. ``{} belongs to TRL: GRPOConfig({})``.
        table_example: How a table is written, for a value that is none; ``{}`` is its name.
        settings: The setting that has a key, by key or table.
        elsewhere: What there is instead of a key, by key or table; the longest name counts.
        decided: Keys that recipes set and the trainer's settings decide.
        old_logprobs: Why ``loss.old_logprobs`` is the trainer's, e.g. ``belongs to TRL, which ...; remove it``.
        tables: Tables whose keys are all ours inside the trainer too.
        keys: Further keys of ours.
    """

    belongs: str
    table_example: str
    settings: Mapping[str, str]
    elsewhere: Mapping[str, str]
    decided: frozenset[str]
    old_logprobs: str
    tables: tuple[str, ...] = COMMON_TABLES
    keys: tuple[str, ...] = COMMON_KEYS

    def allowed(self, path: str) -> bool:
        """Whether a recipe may set a key."""
        return path in self.keys or path.partition(".")[0] in self.tables

    def _allowed_in(self, table: str) -> bool:
        return table in self.tables or any(key.startswith(f"{table}.") for key in self.keys)

    def refuse(self, tables: Mapping[str, Any]) -> None:
        """Refuse keys that the trainer decides, or has no place for; unknown keys are left to the configuration.

        Raises:
            ConfigError: There are such keys; one line each.
        """
        refuse(f"recipe: {problem}" for problem in self._misplaced(tables))

    def _misplaced(self, tables: Mapping[str, Any]) -> Iterator[str]:
        for name, value in tables.items():
            if _is_table(str(name)) and self._allowed_in(str(name)) and not isinstance(value, Mapping):
                yield f"{name} = {value!r} is no table; write {self.table_example.format(name)}"
            for path in leaves(str(name), value):
                if not self.allowed(path) and _is_known(path) and (words := self._instead_of(path)):
                    yield words
        loss = tables.get("loss")
        old = loss.get("old_logprobs", "auto") if isinstance(loss, Mapping) else "auto"
        if old != "auto":
            yield f'loss.old_logprobs = "{old}" {self.old_logprobs}'

    def _instead_of(self, path: str) -> str | None:
        """Where a key is inside the trainer; None of a whole table whose keys are in several places."""
        parts = path.split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            if name in self.settings:
                return self.belongs.format(path, self.settings[name])
            if name in self.elsewhere:
                return f"{path} is not set here: {self.elsewhere[name]}"
        return None

    def without_a_place(self, config: Config) -> Iterator[str]:
        """Keys that a recipe sets to another value than recipe grpo, and that the trainer has no place for."""
        for path in PATHS:
            ours = self.allowed(path) or path in self.decided
            if not ours and value_at(config, path) != value_at(PLAIN, path):
                yield path


def _is_known(path: str) -> bool:
    """Whether a key, a table, or a key in a list of tables exists."""
    return path in KNOWN or path.partition(".")[0] in ("rewards", "audits") or _is_table(path)


def _is_table(path: str) -> bool:
    return any(one.startswith(f"{path}.") for one in KNOWN)
