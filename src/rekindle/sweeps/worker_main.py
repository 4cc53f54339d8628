"""Worker process of a sweep: makes the runs that it is told to, one after the other, and loads their model once.

An order is a JSON line on standard input:

    {"config": TOML, "directory": DIR, "log": FILE, "command": ["train", ...]}

What comes of it are JSON lines on standard output, of which the last says how the run ended:

    {"event": "progress", "step": 3, "done": 0.3, "seconds": 9.1, "accuracy": 0.21}
    {"event": "ended", "ending": "done", "why": "", "leaves": false}    or bound, interrupted, failed

After an error that is none of the user's, the process "leaves": the next run is made by another, whose state is sound.
The process ends with its input. When that ends in the middle of a run, because the sweep was killed, the run stops
after its step and writes a checkpoint. Messages, and what functions of the user print, go to the run's log.
"""

import gc
import json
import os
import queue
import signal
import sys
import threading
import time
import tomllib
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rekindle.config import Config, validate
from rekindle.failures import sentence_of
from rekindle.notices import OURS, Notice, collecting
from rekindle.observability.runs import load_run
from rekindle.sweeps.runs import done_part

if TYPE_CHECKING:
    from rekindle.models.reading import KeptModel

__all__ = ["main"]

AGAIN = "repeat the command with --resume"
INTERRUPTED = 130


def main() -> None:
    """Make runs until the input ends."""
    events = _Events(os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    orders = _Orders(sys.stdin)
    try:
        from rekindle.models.reading import KeptModel

        kept, leaves = KeptModel(), False
        while not leaves and (order := orders.next()) is not None:
            ended = _made(order, kept, events)
            events.send(ended)
            leaves = ended["leaves"]
            gc.collect()  # the objects of a run refer to one another
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


class _Events:
    """Lines to the sweep; they are dropped when it is gone."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def send(self, event: Mapping[str, Any]) -> None:
        with suppress(OSError):
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()


class _Orders:
    """Orders from the input, which a thread reads, so that its end is noticed at any time."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._busy = file, False
        self._read_orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any] | None:
        """The next order; None when there are no more. Waits for it."""
        self._busy = False
        order = self._read_orders.get()
        self._busy = order is not None
        return order

    def _read(self) -> None:
        for line in self._file:
            self._read_orders.put(json.loads(line))
        self._read_orders.put(None)
        if self._busy:
            os.kill(os.getpid(), signal.SIGTERM)


class _Reporter:
    """Callback that reports the progress of a run."""

    def __init__(self, config: Config, events: _Events) -> None:
        self._config, self._events, self._began = config, events, time.monotonic()

    def on_step(self, metrics: Mapping[str, Any], _: Sequence[Mapping[str, Any]]) -> None:
        self._report(metrics)

    def on_evaluation(self, metrics: Mapping[str, Any]) -> None:
        if not metrics["step"]:  # a later evaluation belongs to a step, which was reported
            self._report(metrics)

    def _report(self, metrics: Mapping[str, Any]) -> None:
        progress = {
            "step": metrics["step"],
            "done": done_part(self._config, metrics),
            "seconds": time.monotonic() - self._began,
            "accuracy": metrics.get("eval/accuracy"),
        }
        self._events.send({"event": "progress", **progress})


def _made(order: Mapping[str, Any], kept: "KeptModel", events: _Events) -> dict[str, Any]:
    """Make a run; return the event of its end."""
    _log_to(Path(order["log"]))
    sys.argv = ["rekindle", *order["command"]]
    why, leaves = "", False
    try:
        config = validate(tomllib.loads(order["config"]), order["directory"])
        ending, why = _run(config, Path(order["directory"]), kept, _Reporter(config, events))
    except KeyboardInterrupt as interrupt:
        ending, why = "interrupted", str(interrupt)
    except Exception as error:  # noqa: BLE001 (a run that fails does not stop the others)
        why = sentence_of(error, AGAIN) or ""
        if leaves := not why:
            _say(traceback.format_exc())
            why = f"{type(error).__name__}: {error} (the log has the traceback)"
        _say(f"rekindle: {why}")
        ending = "failed"
    return {"event": "ended", "ending": ending, "why": why, "leaves": leaves}


def _run(config: Config, directory: Path, kept: "KeptModel", reporter: _Reporter) -> tuple[str, str]:
    """Make a run; return how it ended, and why it stopped at a bound."""
    from rekindle.given import NOTHING
    from rekindle.session import Session
    from rekindle.training.callbacks import Callbacks

    with collecting(_warn):
        session = Session(config, directory, NOTHING, Callbacks([reporter]), resume=True, say=_say, read_policy=kept)
        session.run()
    run = load_run(directory)
    return run.ending, run.bound


def _log_to(path: Path) -> None:
    """Send standard output and standard error to the end of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _warn(notice: Notice, count: int) -> None:
    by = "" if notice.source == OURS else f" [{notice.source}]"
    _say(f"rekindle: warning: {'' if count == 1 else f'repeated {count:,} times: '}{notice.text}{by}")


if __name__ == "__main__":
    main()
