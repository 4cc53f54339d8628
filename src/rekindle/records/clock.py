"""The clock of a step: wall and CPU seconds, by phase."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

__all__ = ["StepClock"]

OWN_PHASES = ("train", "evaluate", "schedule")


class StepClock:
    """Clock that measures the seconds since its construction.

    Args:
        played: Returns the running totals of seconds of environment and supply, by phase; the clock reports the
            difference since its construction.
    """

    def __init__(self, played: Callable[[], Mapping[str, float]]) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._played, self._before = played, dict(played())
        self._own = dict.fromkeys(OWN_PHASES, 0.0)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Count the body's time in a phase of the loop: "train", "evaluate" or "schedule"."""
        began = time.perf_counter()
        yield
        self._own[phase] += time.perf_counter() - began

    def add(self, phase: str, seconds: float) -> None:
        """Count seconds that the caller measured in a phase of the loop."""
        self._own[phase] += seconds

    def read(self) -> dict[str, float]:
        """Metrics: ``seconds``, ``cpu_seconds``, ``time/PHASE``; ``time/other`` is the rest, outside all phases."""
        wall, cpu = time.perf_counter(), time.process_time()
        seconds, cpu_seconds = wall - self._wall, cpu - self._cpu
        phases = {phase: total - self._before.get(phase, 0.0) for phase, total in self._played().items()} | self._own
        named = {f"time/{phase}": spent for phase, spent in phases.items()}
        rest = max(0.0, seconds - sum(phases.values()))
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, **named, "time/other": rest}
