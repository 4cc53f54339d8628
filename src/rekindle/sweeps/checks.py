"""Checks of all runs of a sweep before the first one begins, and the number of processes that suits the machine."""

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from rekindle.config import Config
from rekindle.given import NOTHING
from rekindle.models.directory import expected_device
from rekindle.notices import Say
from rekindle.preflight import PolicyFiles, start_parameters
from rekindle.records.run_directory import check
from rekindle.session import Session
from rekindle.sweeps.runs import SweepRun, ended_before
from rekindle.training.callbacks import Callbacks

__all__ = ["checked", "sensible_jobs", "threads_of"]

MEMORY_INFO = Path("/proc/meminfo")
OF_A_PROCESS = 2**30
"""Bytes of a process besides the model: the libraries, the tasks, a batch."""
TRAINED_COPIES, ADAPTED_COPIES = 6, 3
"""Weights in memory: those kept and the run's; where all are trained also gradients, two moments, and one saved."""
BYTES = {"float32": 4, "bfloat16": 2}


def checked(runs: Iterable[SweepRun], say: Say) -> int | None:
    """Check the directories and files of all runs that have not ended; return the most parameters of their models.

    Runs that differ in the seed alone have the same files.

    Raises:
        UserError: One of them cannot be made.
    """
    shown: set[str] = set()

    def once(text: str) -> None:
        if text not in shown:
            shown.add(text)
            say(text)

    seen: list[Config] = []
    parameters: list[int | None] = []
    for run in runs:
        check(run.config, run.directory, resume=True)
        config = _without_seed(run.config)
        if ended_before(run) or config in seen:
            continue
        seen.append(config)
        _, policy = Session(run.config, run.directory, NOTHING, Callbacks(), resume=True, say=once).look()
        parameters.append(_parameters(run.config, policy))
    return max((count for count in parameters if count is not None), default=None)


def _without_seed(config: Config) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": 0})})


def _parameters(config: Config, policy: PolicyFiles) -> int | None:
    if config.model.path is None:
        return start_parameters(config)
    return None if policy.source is None else policy.source.parameters


def threads_of(config: Config) -> int:
    """CPU threads of each process: those of the configuration, or one."""
    return config.train.threads or 1


def sensible_jobs(runs: Sequence[SweepRun], parameters: int | None) -> int:
    """Processes that keep the processors busy and fit into memory; one where there may be a GPU.

    Args:
        runs: The runs to be made; one at least.
        parameters: Most parameters of a model; None: not known.
    """
    config = runs[0].config
    if expected_device(config.model.device) != "cpu":
        return 1
    jobs = min(len(runs), _processors() // threads_of(config))
    if parameters and (free := _free_memory()):
        copies = ADAPTED_COPIES if config.model.lora.rank else TRAINED_COPIES
        jobs = min(jobs, free // (OF_A_PROCESS + copies * parameters * BYTES[config.model.dtype]))
    return max(1, jobs)


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_memory() -> int | None:
    """Bytes that are available; None where the system does not say."""
    if platform.system() != "Linux" or not MEMORY_INFO.is_file():
        return None
    fields = dict(line.split(":", 1) for line in MEMORY_INFO.read_text(encoding="ascii").splitlines() if ":" in line)
    available = fields.get("MemAvailable", "").split()
    return int(available[0]) * 1024 if available else None
