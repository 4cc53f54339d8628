"""Checks of ``rekindle doctor``: packages, device, cache, database, verifiers, their confinement, and retrieval."""

import os
import platform
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rekindle.caching import cache_directory
from rekindle.config.tables.tracking import TRACKERS
from rekindle.records.run_directory import installed_version

__all__ = ["Check", "confinement_table", "examine"]

OPTIONAL = {
    "reasoning-gym": "tasks",
    "math-verify": "math",
    "pyarrow": "parquet",
    "tantivy": "search",
    "httpx": "search",
    "faiss-cpu": "dense",
    "fastapi": "serve",
    "uvicorn": "serve",
    **{choice.package: name for name, choice in TRACKERS.items()},
}
"""Packages that some runs need, with the extra that installs each."""


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check; ``ok`` is False where a run would fail, and ``finding`` then has the remedy."""

    name: str
    ok: bool
    finding: str


def examine() -> Iterator[Check]:
    """Run all checks in order. A missing optional package is reported but does not fail."""
    yield Check("python", True, f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    for package, extra in (("torch", "train"), ("transformers", "train"), ("safetensors", "train")):
        yield _required(package, extra)
    for package, extra in OPTIONAL.items():
        yield _optional(package, extra)
    for name, look in (
        ("device", _device),
        ("matmul", _matmul),
        ("cache", _cache),
        ("sqlite", _sqlite),
        ("verifiers", _verifiers),
        ("confinement", _confinement),
        ("retrieval", _retrieval),
    ):
        yield _tried(name, look)


def _required(package: str, extra: str) -> Check:
    version = installed_version(package)
    return Check(package, version is not None, version or f'missing; run: pip install "rekindle[{extra}]"')


def _optional(package: str, extra: str) -> Check:
    return Check(
        package, True, installed_version(package) or f'not installed (optional): pip install "rekindle[{extra}]"'
    )


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except Exception as error:  # noqa: BLE001 (the doctor reports every error)
        return Check(name, False, f"{type(error).__name__}: {error}")


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return f"{torch.cuda.get_device_name()}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
    return f"CPU ({torch.backends.cpu.get_cpu_capability()}); train.threads = 1 is fastest for tiny models"


def _matmul() -> str:
    """Measure the speed of matrix products."""
    import time

    import torch

    size, x = 512, torch.randn(512, 512)
    x @ x
    began, rounds = time.process_time(), 20
    for _ in range(rounds):
        x @ x
    return f"{rounds * 2 * size**3 / (time.process_time() - began) / 1e9:.0f} GFLOP/s a CPU second in float32"


def _cache() -> str:
    directory = cache_directory("warm-start")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=directory):
        return f"{directory} is writable ({sum(1 for _ in directory.glob('*/profile.json'))} warm starts)"


def _sqlite() -> str:
    with tempfile.TemporaryDirectory() as directory:
        connection = sqlite3.connect(Path(directory) / "probe.sqlite")
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        connection.close()
    if mode != "wal":
        raise RuntimeError(f"write-ahead logging is not available here (got {mode}); use a local disk")
    return f"{sqlite3.sqlite_version}, write-ahead logging works"


def _verifiers() -> str:
    """Judge one answer in a real worker process."""
    if installed_version("math-verify") is None:
        return "no worker verifier installed"
    from rekindle.config.tables.task import TaskTable, VerifyTable
    from rekindle.types import Task
    from rekindle.verifiers.rewards import build_verifier

    verifier = build_verifier(
        TaskTable(source="jsonl", path="-", verifier="math"), VerifyTable(workers=1, timeout_seconds=60)
    )
    try:
        (verdict,) = verifier.judge([(Task("probe", "", r"\frac{1}{2}"), r"\boxed{0.5}")])
    finally:
        verifier.close()
    if verdict.score != 1.0:
        raise RuntimeError(f"the maths verifier judged 1/2 = 0.5 as {verdict}")
    return "a worker process judged 1/2 = 0.5 correct"


def _confinement() -> str:
    from rekindle.verifiers import confinement

    if lack := confinement.missing():
        return f"{lack}; scorers that evaluate answers as Python code need verify.unconfined = true"
    return f"limits, Landlock {confinement.landlock_version()} and seccomp; try: rekindle doctor --confinement"


def confinement_table() -> str:
    """What scorers cannot do, found by trying it: the column of this system, and those of others (Markdown)."""
    from rekindle.verifiers import confinement
    from rekindle.verifiers.confinement_check import COLUMNS, table

    has = confinement.available()
    here = next((name for name, layers in COLUMNS.items() if layers == has), "none of them")
    return f"{table()}\n\nThis system ({platform.system()} {platform.release()}) has the column: {here}."


def _retrieval() -> str:
    """Build an index and search it, with a query that contains query syntax."""
    from rekindle.retrieval.lexical import LexicalIndex
    from rekindle.types import Document

    index = LexicalIndex.in_memory([Document("1", "Paris", "capital of France"), Document("2", "Oslo", "in Norway")])
    (hits,) = index.search(['France" OR [* AND :capital'], 1)
    index.close()
    if [hit.document.id for hit in hits] != ["1"]:
        raise RuntimeError(f"a search for the capital of France found {hits}")
    backend = "tantivy" if installed_version("tantivy") else "SQLite (slower; tantivy is faster)"
    return f"{backend} found the capital of France"
