"""Runs of verl's in processes of their own: many in one cluster of Ray's, or one as a user starts it.

cluster = Cluster(assets)                       a fixture of conftest.py: ``make_run``
made = cluster.make(Run(out, mode="sync"))      seconds
made = started(Run(out), assets)                python -m verl.trainer.main_ppo: half a minute and more
"""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from tiny_run import ENVIRONMENT, cluster_overrides, overrides, read_metrics

import rekindle

HERE = Path(__file__).parent
LIMIT_SECONDS = 400
"""Most seconds of a run, and of the start of a cluster."""
LOST = "Connection reset by peer"
"""What the other rank says where one of two ranks is gone."""
ENDS = re.compile("SIG[A-Z]{3}|died|killed|out of memory|fatal", re.IGNORECASE)
"""Words of a line about the end of a process."""


@dataclass(frozen=True)
class Made:
    """What is left of a run.

    Attributes:
        code: 0, or 1 where an error ended it or its driver was killed.
        output: What all its processes wrote.
        metrics: Of each step.
        seconds: From the first to the last of its processes.
        out: Its folder.
    """

    code: int
    output: str
    metrics: list[dict]
    seconds: float
    out: Path

    def checked(self):
        """The same, of a run without an error."""
        assert self.code == 0, self.complaint()
        return self

    def complaint(self):
        """The lines about processes that ended, and the end of the output."""
        ends = [line for line in self.output.splitlines() if ENDS.search(line)]
        return "\n".join([*ends[:20], self.output[-4000:]])


def environment():
    """Variables of the processes of a run: those of `ENVIRONMENT`, and where rekindle is, unless it is installed."""
    made = os.environ | ENVIRONMENT
    if "rekindle" not in entry_points(group="verl.plugins").names:
        made["VERL_USE_EXTERNAL_MODULES"] += ",rekindle.integrations.verl.plugin"
    source = Path(rekindle.__file__).parents[1]
    made["PYTHONPATH"] = "" if source.name == "site-packages" else str(source)
    return made


class Cluster:
    """A process that makes runs one after another; see ``cluster.py``. It begins with the first run."""

    def __init__(self, assets, gpus=3):
        self._command = [sys.executable, str(HERE / "cluster.py"), str(assets), str(gpus)]
        self._process: Any = None

    def make(self, run):
        """Make a run. One that lost a rank, seen once, is made once more, with a warning."""
        is_new = not Path(run.out).exists()
        made = self._made(run)
        if made.code == 0 or LOST not in made.output or run.moment or not is_new:
            return made
        warnings.warn(f"a rank of a run was lost; the run is made again: {made.complaint()}", stacklevel=2)
        shutil.rmtree(run.out)
        return self._made(run)

    def _made(self, run):
        if self._process is None:
            self._begin()
        begun = time.monotonic()
        self._process.stdin.write(json.dumps(asdict(run)).encode() + b"\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], LIMIT_SECONDS)
        line = self._process.stdout.readline() if ready else b""
        log = Path(run.out, "log.txt")
        output = log.read_text(errors="replace") if log.exists() else ""
        if not line:
            said = (self._folder / "cluster.txt").read_text(errors="replace")[-3000:]
            self.close()
            raise AssertionError(f"no answer in {time.monotonic() - begun:.0f} seconds: {output[-6000:]}{said}")
        code, seconds = json.loads(line)
        return Made(code, output, read_metrics(run.out), seconds, Path(run.out))

    def _begin(self):
        self._folder = Path(tempfile.mkdtemp(prefix="rekindle-verl-"))
        with (self._folder / "cluster.txt").open("w") as said:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd=self._folder,
                env=environment(),
                start_new_session=True,
            )

    def close(self):
        """End the process, and what it began."""
        if self._process is None:
            return
        self._process.stdin.close()
        ended(self._process)
        self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)


def ended(process, seconds=20):
    """Wait for a process, and then end its group, whatever is left of it."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def started(run, assets, *changes):
    """Make a run as a user does, with ``python -m verl.trainer.main_ppo``, which starts Ray and ends it."""
    out = Path(run.out)
    out.mkdir(parents=True, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix="rk")  # paths of sockets are short
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *overrides(run, assets), *cluster_overrides(run.ranks)]
    command += [f"+ray_kwargs.ray_init._temp_dir={scratch}", f"hydra.run.dir={out}/hydra", *changes]
    begun = time.monotonic()
    with (out / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=out, env=environment(), start_new_session=True)
        try:
            code = process.wait(LIMIT_SECONDS)
        finally:
            ended(process, 0)
            shutil.rmtree(scratch, ignore_errors=True)
    output = (out / "log.txt").read_text(errors="replace")
    return Made(code, output, read_metrics(out), time.monotonic() - begun, out)
