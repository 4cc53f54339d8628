"""A run in a forked process, which has imported the libraries already, and its death at an instant or a file event."""

import gc
import importlib
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos_runs import Run

PRELOADED = (
    "torch",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "transformers.models.qwen3.modeling_qwen3",
    "transformers.models.auto",
    "safetensors.torch",
    "pyarrow.parquet",
    "rekindle.assembly",
    "rekindle.cli",
    "rekindle.observability.progress",
    "rekindle.observability.report",
    "rekindle.planning",
    "rekindle.session",
    "rekindle.warm_starts.stage",
)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LIMIT = 1800.0
"""Seconds after which a run counts as hanging."""
HANGS = "hangs"


def preload(*further: str) -> None:
    """Import what the runs need, and let them all compute with the same kernels, which are otherwise measured.

    The garbage collector leaves what there is alone, which is a third of the time of a short run.
    """
    for name in (*PRELOADED, *further):
        importlib.import_module(name)
    import torch

    from rekindle.models import policy
    from rekindle.models.kernels import Kernels

    torch.set_num_threads(1)
    setattr(policy, "measure_kernels", lambda *_: Kernels())  # noqa: B010  (a name that the module does not export)
    gc.collect()
    gc.freeze()


@dataclass(frozen=True, slots=True)
class Death:
    """When and how a run is ended: after seconds, at a file event of its directory, or not at all.

    Attributes:
        after: Seconds.
        event: Number of the event, from 1.
        signals: Signals that are sent, one after the other.
    """

    after: float | None = None
    event: int | None = None
    signals: tuple[int, ...] = (signal.SIGKILL,)


ALIVE = Death()


def run_in_fork(run: Run, directory: Path, log: Path, *, resume: bool, death: Death = ALIVE) -> int | str:
    """Make a run in a child; its exit code, -N where signal N ended it, or ``HANGS``."""
    child = os.fork()
    if child == 0:
        os._exit(_made(run, directory, log, resume=resume, death=death))
    if death.after is not None:
        _send(child, death)
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HANGS


def _made(run: Run, directory: Path, log: Path, *, resume: bool, death: Death) -> int:
    """The child: make the run, with its output in ``log``; 99 for an exception that the command let through."""
    try:
        os.setpgid(0, 0)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(output, stream)
        if death.event is not None:
            watch_events(directory, at_event(death.event))
        code = run(directory, resume)
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 2
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        return 99
    return code


def _send(child: int, death: Death) -> None:
    time.sleep(death.after or 0.0)
    for number in death.signals:
        try:
            os.kill(child, number)
        except ProcessLookupError:
            return
        time.sleep(0.01)


# -- file events ------------------------------------------------------------------------------------------------------

MADE = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree", "sqlite3.connect", "os.link")
BARE = ("shutil.rmtree", "os.remove", "os.rmdir")
"""Events whose paths may be names alone."""


def at_event(number: int) -> Callable[[str], None]:
    """Kills this process at an event."""
    seen = 0

    def count(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return count


def watch_events(directory: Path, tell: Callable[[str], object]) -> None:
    """Tell of every file event of this process that concerns a directory: before it is made, and after a sync.

    Writes of texts and arrays are events twice: with half of the content, as after a torn write, and with all of it.
    """
    place, own = str(directory), os.getpid()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if os.getpid() != own or event not in (*MADE, "open"):
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if event == "open" and not _writes(arguments):
            return
        if place in path or event in BARE:
            tell(f"{event} {path}")

    sys.addaudithook(hook)
    for name in ("fsync", "ftruncate", "replace"):
        setattr(os, name, _around(getattr(os, name), name, tell))
    text = Path.write_text

    def write_text(self, data, *arguments, **named):
        if place in str(self):
            text(self, data[: len(data) // 2], *arguments, **named)
            tell(f"half of {self}")
        return text(self, data, *arguments, **named)

    setattr(Path, "write_text", write_text)  # noqa: B010  (a method)
    checkpoint = importlib.import_module("rekindle.training.checkpoint")
    for name in ("save_tensors", "save_arrays"):
        setattr(checkpoint, name, _in_halves(getattr(checkpoint, name), tell))


def _writes(arguments: tuple[object, ...]) -> bool:
    _, mode, flags = (*arguments, None, None)[:3]
    by_mode = isinstance(mode, str) and any(one in mode for one in "wax+")
    return by_mode or (isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR)))


def _around(inner, name, tell):
    def around(*arguments, **named):
        tell(f"before {name}")
        result = inner(*arguments, **named)
        tell(f"after {name}")
        return result

    return around


def _in_halves(inner, tell):
    def in_halves(content, path):
        inner(content, path)
        data = Path(path).read_bytes()
        Path(path).write_bytes(data[: len(data) // 2])
        tell(f"half of {path}")
        Path(path).write_bytes(data)

    return in_halves


def counting(run: Run, counts: Path) -> Run:
    """The same run, which writes a byte to a file at each of its file events."""

    def counted(place: Path, resume: bool) -> int:
        output = os.open(counts, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        watch_events(place, lambda _: os.write(output, b"."))
        return run(place, resume)

    return counted


def chance(*seed: object) -> random.Random:
    """A generator of its own for each place where chance decides."""
    return random.Random(repr(seed))
