"""`rekindle export`: the model of a run, a checkpoint, an adapter, the hub or a GGUF file as a plain directory.

With ``--ledger`` the tables of a run as Parquet files.
"""

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.cli.messages import say
from rekindle.cli.options import saved_policy, user_path
from rekindle.observability.formatting import excerpt
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.config import Config

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    export = commands.add_parser(
        "export", help="write a model as a plain transformers directory, or a run's tables as Parquet"
    )
    export.add_argument(
        "source", metavar="SOURCE", help="run, checkpoint, adapter or model directory, name on the hub, or .gguf file"
    )
    export.add_argument(
        "--out",
        type=user_path,
        required=True,
        metavar="DIR",
        help="directory to write; with --ledger also FILE.parquet",
    )
    export.add_argument(
        "--ledger",
        action="store_true",
        help="ledger, metrics and samples of the run SOURCE as Parquet, instead of its model; the ledger alone with "
        "--out FILE.parquet",
    )
    export.add_argument(
        "--base", metavar="MODEL", help="model of an adapter (default: the one that it or its run names)"
    )
    export.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="type of the weights (default: the run's, or float32)"
    )
    export.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    out: Path = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} exists already; delete it, or choose another directory")
    if options.ledger:
        _export_tables(options, out)
        return 0
    source = user_path(options.source)
    saved = saved_policy(source) if source.is_dir() else None
    if saved is not None:
        _check_has_model(source, saved)
    config = _settings(options, source if saved else None)
    dtype = options.dtype or config.model.dtype
    config = _with(config, dtype="float32")  # computes the sum of weights and adapter
    from rekindle.preflight import policy_files

    files = policy_files(config, saved, say)
    say(files.loading)
    from rekindle.assembly.opening import load_policy
    from rekindle.warm_starts.stage import policy_directories

    model, base = policy_directories(config, files, say)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        load_policy(config, model, base).save_merged(partial, dtype)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(out)
    return 0


def _check_has_model(source: Path, saved: Path) -> None:
    """Refuse a directory without a model.

    Args:
        source: The directory, as it was given.
        saved: Where its model would be.

    Raises:
        UserError: It has none.
    """
    if any((saved / name).is_file() for name in ("config.json", "adapter_config.json")):
        return
    if (source / "metrics.jsonl").is_file() or (source / "config.toml").is_file():
        from rekindle.observability.runs import read_object

        if trainer := read_object(source / "run.json").get("trainer"):
            raise UserError(
                f"{source} has the run files of {excerpt(str(trainer), 80)}, which keeps its models itself; give one "
                "of its checkpoints, or add --ledger for the tables of the run"
            )
        raise UserError(
            f"{source} is a run without a checkpoint yet, so it has no model; export it after its first one "
            "(checkpoint.every), or add --ledger for its tables"
        )
    raise UserError(f"{source} has no model (no config.json); give a run, a checkpoint, or a model directory")


def _export_tables(options: argparse.Namespace, out: Path) -> None:
    """Write the tables of a run as Parquet files, and show them."""
    from rekindle.observability.columns import TABLES
    from rekindle.observability.parquet import write_parquet
    from rekindle.observability.runs import load_run

    if options.base is not None or options.dtype is not None:
        raise UserError("--base and --dtype are about a model; leave them out with --ledger")
    run = load_run(user_path(options.source))
    if not run.ending:
        say(f"{run.directory} goes on, or was killed: its tables are written as they are now")
    alone = out.suffix == ".parquet"
    if alone and not run.has_ledger:
        raise UserError(f"{run.directory} has no ledger yet, because no group has ended; export it later")
    for table in ["ledger"] if alone else TABLES:
        path = out if alone else out / f"{table}.parquet"
        print(f"{path}  {write_parquet(run, table, path):,} rows")


def _settings(options: argparse.Namespace, directory: Path | None) -> "Config":
    """Settings of the model: those of the run that a directory belongs to, where there is one."""
    config = _of_run(directory)
    if directory is None:
        return _with(config, path=options.source)
    return config if options.base is None else _with(config, path=options.base, revision=None)


def _with(config: "Config", **changes: str | None) -> "Config":
    """The configuration with changes of ``[model]``."""
    return config.model_copy(update={"model": config.model.model_copy(update=changes)})


def _of_run(directory: Path | None) -> "Config":
    from rekindle.config import Config, read_toml, validate

    for place in [] if directory is None else [directory, *directory.resolve().parents[:3]]:
        if (place / "config.toml").is_file() and (place / "run.json").is_file():
            return validate(read_toml(place / "config.toml"), str(place / "config.toml"))
    return Config()
