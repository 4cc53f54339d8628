"""The server process of a reward function from a file: it imports the function, and forks a process per batch.

The code is the user's own and runs with the user's rights: it may import its neighbours, use the network and start
programs. It is not confined, and only its time is limited. Every batch begins with the same random state, so that a
resumed run gets the same rewards.
"""

import json
import math
import random
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rekindle.verifiers.forking import serve
from rekindle.verifiers.framing import send
from rekindle.verifiers.function_calls import Batch, Outcome, Problem, results
from rekindle.verifiers.function_files import Loaded, load_function
from rekindle.verifiers.verifier import VerifierError

__all__ = ["main", "outcomes_of"]

SEED = 0
GRACE = 0.9
"""Share of the time limit after which an asynchronous call is given up, so that the others of its batch count."""


class _Calling:
    """The work of a reward function."""

    result_bytes = 1 << 24
    sweeps = False

    def __init__(self, loaded: Loaded, timeout_seconds: float) -> None:
        self._loaded, self._timeout = loaded, timeout_seconds

    def prepare(self, job: Mapping[str, Any]) -> None:
        pass

    def enter(self) -> None:
        random.seed(SEED)
        if (numpy := sys.modules.get("numpy")) is not None:
            numpy.random.seed(SEED)
        if (torch := sys.modules.get("torch")) is not None:
            torch.manual_seed(SEED)

    def result(self, job: Mapping[str, Any]) -> Mapping[str, object]:
        batch = Batch(job["calls"], job["rows"])
        found = results(self._loaded.function, self._loaded.signature, batch, limit=GRACE * self._timeout)
        return {"outcomes": [[one.kind, one.text] if isinstance(one, Problem) else one for one in found]}

    def read(self, data: bytes) -> dict[str, object]:
        with suppress(ValueError, RecursionError, TypeError):
            return {"outcomes": [_checked(one) for one in json.loads(data)["outcomes"]]}
        return {"failure": "crash"}


def _checked(outcome: Any) -> object:
    """An outcome as JSON.

    Raises:
        ValueError: It is none.
    """
    match outcome:
        case None:
            return None
        case [("error" | "timeout") as kind, str() as text]:
            return [kind, text]
        case int() | float() if math.isfinite(outcome):
            return outcome
    raise ValueError(outcome)


def outcomes_of(reply: Mapping[str, Any], rows: int, timeout_seconds: float) -> list[Outcome]:
    """The outcomes in a reply of the server."""
    failure, found = reply.get("failure"), reply.get("outcomes")
    if failure == "timeout":
        return [Problem("timeout", f"no result within {timeout_seconds:g} s")] * rows
    if failure is not None or not isinstance(found, list) or len(found) != rows:
        return [Problem("crash", "its process died")] * rows
    return [Problem(one[0], one[1]) if isinstance(one, list) else one for one in found]


def main() -> None:
    """Arguments: socket descriptor, directory of its own, ``FILE.py:NAME``, seconds per batch."""
    descriptor, place, spec, timeout_seconds = sys.argv[1:]
    channel = socket.socket(fileno=int(descriptor))
    try:
        loaded = load_function(spec)
    except VerifierError as error:
        send(channel, {"problem": str(error)})
        return
    ready = {"signature": loaded.signature.as_json()}
    serve(channel, _Calling(loaded, float(timeout_seconds)), float(timeout_seconds), Path(place), ready)


if __name__ == "__main__":
    main()
