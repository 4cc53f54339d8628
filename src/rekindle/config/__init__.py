"""The strict configuration model, and nothing that acts on it.

A configuration is TOML: ``recipe = "..."`` and the tables of ``tables``. Every key has a type, a bound and a default;
unknown keys, wrong types and combinations that cannot work are refused with the key's path and the remedy.
"""

from rekindle.config.reading import ConfigError, dump_toml, merge, parse_override, read_toml, validate
from rekindle.config.rules import refusals
from rekindle.config.tables import (
    CheckpointTable,
    Config,
    EngineTable,
    EvalTable,
    HeatingTable,
    ModelTable,
    PhasesTable,
    PoolTable,
    PosteriorTable,
    PriorityTable,
    ProfileTable,
    ReactivationTable,
    RefillTable,
    SizesTable,
    SkipTable,
    SubsetTable,
    TaskTable,
    TinyModel,
    TopUpTable,
    TrainTable,
    VerifyTable,
    WarmStartTable,
)

__all__ = [
    "CheckpointTable",
    "Config",
    "ConfigError",
    "EngineTable",
    "EvalTable",
    "HeatingTable",
    "ModelTable",
    "PhasesTable",
    "PoolTable",
    "PosteriorTable",
    "PriorityTable",
    "ProfileTable",
    "ReactivationTable",
    "RefillTable",
    "SizesTable",
    "SkipTable",
    "SubsetTable",
    "TaskTable",
    "TinyModel",
    "TopUpTable",
    "TrainTable",
    "VerifyTable",
    "WarmStartTable",
    "dump_toml",
    "merge",
    "parse_override",
    "read_toml",
    "refusals",
    "validate",
]
