"""The server process of ``WorkerPool``: third-party scorers, each job in a confined process (``forking``)."""

import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any, cast

from rekindle.verifiers import scorers
from rekindle.verifiers.confinement import confine, memory_of_each, prepare
from rekindle.verifiers.forking import serve

__all__ = ["main", "result_of"]


class _Scoring:
    """The work of a scorer."""

    result_bytes = 4096

    sweeps = True

    def __init__(self, scorer: scorers.ScorerName, timeout_seconds: float, memory_bytes: int) -> None:
        self._scorer, self._timeout, self._memory = scorer, timeout_seconds, memory_bytes

    def prepare(self, job: Mapping[str, Any]) -> None:
        scorers.prepare(self._scorer, job)

    def enter(self) -> None:
        confine(ceil(self._timeout) + 1, self._memory)

    def result(self, job: Mapping[str, Any]) -> Mapping[str, object]:
        try:
            return {"score": scorers.score(self._scorer, job)}
        except Exception:  # noqa: BLE001 (third-party code on model output; its exceptions become a verdict)
            return {"failure": "error"}

    def read(self, data: bytes) -> dict[str, object]:
        return result_of(data)


def _try_confinement() -> None:
    """Confine an empty child process. Where that fails, every verdict would fail, so the server must not start."""
    if (pid := os.fork()) == 0:
        try:
            confine(cpu_seconds=1)
        except OSError as error:
            os.write(2, f"confinement failed: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit(1)


def result_of(data: bytes) -> dict[str, object]:
    """The checked result of a child: a numeric score, or that scoring raised; anything else is a crash."""
    with suppress(ValueError, RecursionError):
        result = json.loads(data)
        if result == {"failure": "error"}:
            return {"failure": "error"}
        if isinstance(result, dict) and isinstance(score := result.get("score"), int | float):
            return {"score": score}
    return {"failure": "crash"}


def main() -> None:
    """Arguments: socket descriptor, directory of its own, scorer name, seconds per verdict, processes at a time."""
    descriptor, place, scorer, timeout_seconds, workers = sys.argv[1:]
    channel, directory = socket.socket(fileno=int(descriptor)), Path(place)
    name = cast("scorers.ScorerName", scorer)
    scorers.load(name)
    prepare()
    _try_confinement()
    work = _Scoring(name, float(timeout_seconds), memory_of_each(int(workers)))
    serve(channel, work, float(timeout_seconds), directory, {"ready": True})


if __name__ == "__main__":
    main()
