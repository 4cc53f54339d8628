"""Checks of a run's files: data that can be read and has prompts, and a reward function that is there.

They read the first rows of each file. They run before Ray where it runs on one machine, and in the driver everywhere.
"""

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from rekindle.integrations.verl.reward import check_row
from rekindle.integrations.verl.rows import tasks_of
from rekindle.tasks.task_set import TaskError
from rekindle.types import UserError

__all__ = ["check_data"]

ROWS = 16
"""Rows of a file that are read."""
READS = (".parquet", ".json", ".jsonl")
"""Files that verl reads."""
PACKAGE = "pkg://"
OURS = f"{PACKAGE}rekindle.integrations.verl.reward"
FUNCTION = "reward.custom_reward_function"


def check_data(config: Any) -> None:
    """Check the files that verl's configuration names; those of other machines (``hdfs://``...) are left out.

    Args:
        config: verl's ``DictConfig``.

    Raises:
        UserError: A file is missing or cannot be read, its first rows have no prompts or no answers, or there is no
            reward function.
    """
    function = config.reward.custom_reward_function
    if function.path is not None:
        _check_function(str(function.path), str(function.name))
    if config.data.get("custom_cls", {}).get("path") is not None:
        return
    judged = function.path == OURS
    verifier = (function.get("reward_kwargs") or {}).get("verifier")
    for name in ("train_files", "val_files"):
        for file in _files(config.data.get(name)):
            rows = _first_rows(f"data.{name}", file)
            if name == "train_files":
                tasks_of(rows, config.data.prompt_key)
            _check_prompts(f"data.{name}={file}", rows, str(config.data.prompt_key))
            for row in rows if judged else ():
                check_row(row, verifier)


def _files(given: Any) -> list[str]:
    files = [given] if isinstance(given, str) else list(given or ())
    return [str(file) for file in files if "://" not in str(file)]


def _first_rows(setting: str, file: str) -> list[dict[str, Any]]:
    path = Path(file).expanduser()
    if path.suffix not in READS:
        raise UserError(f"{setting}={file} is none of the files that verl reads ({', '.join(READS)}); convert it")
    if not path.is_file():
        raise UserError(f"{setting}={file}: there is no such file; correct the path")
    try:
        return _parquet_rows(path) if path.suffix == ".parquet" else list(_json_rows(path))
    except (OSError, ValueError) as error:  # pyarrow's are ValueError
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{setting}={file} cannot be read ({why}); write it again") from error


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        batch = next(file.iter_batches(batch_size=ROWS), None)
    return [] if batch is None else list(batch.to_pylist())


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file of JSON lines, or of one JSON list."""
    with path.open(encoding="utf-8") as lines:
        text = (line for line in lines if line.strip())
        first = next(text, "")
        if first.lstrip().startswith("["):
            yield from json.loads(path.read_text(encoding="utf-8"))[:ROWS]
            return
        yield from (json.loads(line) for line in islice([first, *islice(text, ROWS)], ROWS) if line)


def _check_prompts(where: str, rows: Sequence[Mapping[str, Any]], key: str) -> None:
    if not rows:
        raise TaskError(f"{where} has no rows; give a file that has some")
    for number, row in enumerate(rows):
        if not row.get(key):
            raise TaskError(f'row {number} of {where} has no "{key}"; set data.prompt_key to the column of the prompts')


def _check_function(path: str, name: str) -> None:
    """Check that a file or module has a function, without importing it."""
    place = _place_of(path)
    if place is None:
        return
    try:
        tree = ast.parse(place.read_text(encoding="utf-8"), str(place))
    except OSError as error:
        raise UserError(f"{FUNCTION}.path={path} cannot be read ({error.strerror}); correct the path") from error
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{FUNCTION}.path={path} is no Python ({error}); correct it") from error
    names = set(_names(tree.body))
    if "*" not in names and "__getattr__" not in names and name not in names:
        raise UserError(f"{FUNCTION}.path={path} has no function {name}; set {FUNCTION}.name to one that it has")


def _place_of(path: str) -> Path | None:
    """The source of ``pkg://MODULE`` or of a file; None where it cannot be told."""
    if not path.startswith(PACKAGE):
        return Path(path).expanduser()
    try:
        found = find_spec(path.removeprefix(PACKAGE))
    except ImportError:
        found = None
    if found is None:
        raise UserError(f"{FUNCTION}.path={path}: there is no such module; install it, or correct the name")
    return Path(found.origin) if found.origin and found.origin.endswith(".py") else None


def _names(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Names that statements of a module bind, those of nested blocks included; "*" where they cannot be told."""
    for one in body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield one.name
            continue
        for node in ast.walk(one):
            if isinstance(node, ast.alias):
                yield (node.asname or node.name).partition(".")[0]
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name
