"""Damage of the files of a run directory: what is done to each file, and to values that no digest protects."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

Damage = Callable[[Path], object]


def flip(path: Path, place: float = 0.5, bit: int = 1) -> None:
    """Change a bit."""
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= bit
    path.write_bytes(data)


def cut(path: Path) -> None:
    """Leave half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


OF_A_FILE: dict[str, Damage] = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "missing": Path.unlink,
    "flipped in the middle": flip,
    "flipped in the header": lambda path: flip(path, 0.01, 4),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "noise": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


def changed(change: Callable[[dict], object]) -> Damage:
    """Damage of a JSON file by a change of its values."""

    def damage(path: Path) -> None:
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    return damage


OF_A_STATE: dict[str, Damage] = {
    "nested": lambda path: path.write_text("[" * 100_000),
    "huge": changed(lambda values: values["state"].update(version=10**400)),
    "infinite": lambda path: path.write_text(path.read_text().replace('"version": ', '"version": 1e999, "was": ', 1)),
    "not a number": lambda path: path.write_text(path.read_text().replace('"version": ', '"version": NaN, "was": ', 1)),
    "a list": lambda path: path.write_text("[]"),
    "null": lambda path: path.write_text("null"),
    "no format": changed(lambda values: values.pop("format")),
    "no digest": changed(lambda values: (values.pop("digest"), values["state"].update(version=-1))),
    "no scheduler": changed(lambda values: values["state"].pop("scheduler")),
    "no totals": changed(lambda values: values["state"].pop("totals")),
    "totals are text": changed(lambda values: values["state"].update(totals="x")),
    "no kernels": changed(lambda values: values["state"].pop("kernels")),
    "kernels unknown": changed(lambda values: values["state"]["kernels"].update(linear="evil")),
    "kernels a list": changed(lambda values: values["state"].update(kernels=[])),
    "negative version": changed(lambda values: values["state"].update(version=-5)),
    "request 0": changed(lambda values: values["state"]["scheduler"].update(next_request=0)),
    "cohorts": changed(lambda values: values["state"]["scheduler"].update(cohorts=[{"a": 1}])),
    "other tasks": changed(lambda values: values["state"]["scheduler"]["history"].update(ids="00")),
    "updates are text": changed(lambda values: values["trainer"].update(updates="x")),
    "no trainer": changed(lambda values: values.update(trainer={})),
    "wrong total": changed(lambda values: values["state"]["totals"].update(rollouts=1)),
}
"""Values of a state that were changed, with the digest that it had before."""


def of_a_ledger(statement: str) -> Damage:
    """Damage of a ledger by a statement."""

    def damage(path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.executescript(statement)
        connection.close()

    return damage


OF_A_LEDGER: dict[str, Damage] = {
    "another version": of_a_ledger("PRAGMA user_version = 77"),
    "another table": of_a_ledger("DROP TABLE groups; CREATE TABLE groups (a)"),
    "rows lost": of_a_ledger("DELETE FROM groups WHERE step = 1"),
    "a view": of_a_ledger("ALTER TABLE groups RENAME TO g2; CREATE VIEW groups AS SELECT * FROM g2"),
    "a trigger": of_a_ledger("CREATE TRIGGER t BEFORE INSERT ON groups BEGIN SELECT RAISE(IGNORE); END"),
    "flipped pages": lambda path: [flip(path, place / 100, 255) for place in range(20, 100, 3)],
}


def damages_of(run: Path, checkpoint: str) -> Iterator[tuple[str, str, Damage]]:
    """(file, damage, what does it) for every file of a run directory that has bytes, its last checkpoint among them.

    Args:
        run: The run directory.
        checkpoint: Name of its last checkpoint.
    """
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        outer = name.startswith("checkpoints/") and not name.startswith(f"checkpoints/{checkpoint}/")
        has_bytes = path.is_file() and path.stat().st_size > 0
        if has_bytes and not outer and not name.startswith((".lock", "model/", "report.html")):
            for damage, act in OF_A_FILE.items():
                yield name, damage, act
    for damage, act in OF_A_STATE.items():
        yield f"checkpoints/{checkpoint}/state.json", damage, act
    for damage, act in OF_A_LEDGER.items():
        yield "ledger.sqlite", damage, act


def copied(run: Path, place: Path) -> Path:
    """A copy of a run directory to be damaged; files that are links to one another are files of their own there."""
    shutil.rmtree(place, ignore_errors=True)
    return shutil.copytree(run, place)
