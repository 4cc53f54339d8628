"""What two runs must have in common, bit for bit: everything but times."""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

CLOCKS = ("seconds", "cpu_seconds", "total_seconds", "total_cpu_seconds")


def facts_of(run: Path) -> dict[str, Any]:
    """The content of a run directory without times, by part."""
    inner = run / "rekindle" if (run / "rekindle").is_dir() else run
    found: dict[str, Any] = {
        "metrics": [_untimed(line) for line in _lines(inner / "metrics.jsonl")],
        "samples": list(_lines(inner / "samples.jsonl")),
        "proposals": list(_lines(inner / "proposals.jsonl")),
        "tasks": list(_lines(inner / "tasks.jsonl")),
        "ledger": _ledger(inner / "ledger.sqlite"),
        "settings": (inner / "config.toml").read_text(),
        "ending": json.loads((inner / "run.json").read_text()).get("ending"),
        "model": _files(run / "model"),
        "leftovers": sorted(path.name for path in run.rglob(".*") if path.name != ".lock"),
    }
    # Which of its older checkpoints stay inside TRL is up to transformers, which goes by their times.
    newest = sorted(run.glob("checkpoint-*"), key=lambda one: int(one.name.rpartition("-")[2]))[-1:]
    for checkpoint in [*sorted(run.glob("checkpoints/*")), *newest]:
        found[checkpoint.name] = _files(checkpoint)
        if (checkpoint / "state.json").is_file():
            found[f"{checkpoint.name} state"] = _state(checkpoint / "state.json")
    return found


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The parts that differ, with the beginning of the difference."""
    return [
        f"{part}: {_first(wanted.get(part), found.get(part))}"
        for part in sorted(wanted.keys() | found.keys())
        if wanted.get(part) != found.get(part)
    ]


def _first(one: Any, other: Any) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
        return ", ".join(f"{key}: {str(one.get(key))[:60]} != {str(other.get(key))[:60]}" for key in keys[:4])
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(_first(a, b) for a, b in zip(one, other, strict=True) if a != b)
    return f"{str(one)[:80]} != {str(other)[:80]}"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _untimed(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in CLOCKS and "time/" not in key}


def _ledger(path: Path) -> list[Any]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(groups)") if row[1] != "seconds"]
        return connection.execute(f"SELECT {', '.join(columns)} FROM groups ORDER BY request_id").fetchall()
    finally:
        connection.close()


TIMED = {"state.json", "trainer_state.json", "training_args.bin"}
"""Files with times in them, or with the place of the run."""


def _files(directory: Path) -> dict[str, str]:
    timed = TIMED | ({"SHA256SUMS"} if (directory / "trainer_state.json").exists() else set())
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in timed
    }


def _state(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text())
    document.pop("digest", None)
    state = document["state"]
    state["kernels"].pop("gigaflops", None)
    for key in CLOCKS:
        state["totals"].pop(key, None)
    return _without_seconds(document)


def _without_seconds(value: Any) -> Any:
    """The same without the seconds of requests that wait for their step: a number after a request and its rollouts."""
    if isinstance(value, dict):
        return {key: _without_seconds(one) for key, one in value.items()}
    if isinstance(value, list) and len(value) == 3 and isinstance(value[2], float) and isinstance(value[1], list):
        return [_without_seconds(value[0]), _without_seconds(value[1])]
    if isinstance(value, list):
        return [_without_seconds(one) for one in value]
    return value
