"""Rollouts in TRL: requests of the scheduler become rows of TRL's own generation and reward functions.

All processes hold the same scheduler, so they ask for the same rows. Each generates and judges an equal share of them,
and gets those of the others: afterwards all have the same rollouts, and make the same decisions.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from accelerate.utils import gather_object

from rekindle.types import GroupRequest, Rollout

__all__ = ["Played", "Row", "TrlRollouts"]


@dataclass(frozen=True, slots=True)
class Row:
    """A completion to sample.

    Attributes:
        request: Its request.
        index: Its place in the group.
    """

    request: GroupRequest
    index: int


@dataclass(frozen=True, slots=True)
class Played:
    """A rollout, and what TRL says of it beside.

    Attributes:
        rollout: The rollout.
        prompt: The prompt as TRL has it, text or messages.
        completion: The completion as reward functions see it, text or messages.
        extras: Numbers per token of the completion, by TRL's name, with which its loss corrects for another engine.
    """

    rollout: Rollout
    prompt: Any
    completion: Any
    extras: Mapping[str, Sequence[float]] = field(default_factory=dict)


class TrlRollouts:
    """Environment whose rollouts TRL makes, on all processes together.

    Args:
        sample: Samples and judges the rows of this process; all processes call it with the same number of rows.
        process: Number of this process.
        processes: Number of processes.
        chunk: Most rows of all processes that are sampled at once.

    Attributes:
        seconds: Wall seconds by phase.
        counts: No counts.
        logged: The rollouts since ``forget`` in TRL's order, with the repeated rows that fill shares up.
    """

    def __init__(
        self,
        sample: Callable[[Sequence[Row]], Sequence[Played]],
        *,
        process: int,
        processes: int,
        chunk: int,
    ) -> None:
        self._sample, self._process, self._processes, self._chunk = sample, process, processes, chunk
        self.seconds = {"generate": 0.0, "verify": 0.0}
        self.counts: Mapping[str, int] = {}
        self.logged: list[Played] = []

    def forget(self) -> None:
        """Forget what was played; a new step begins."""
        self.logged = []

    def carried(self) -> dict[int, Mapping[str, Sequence[float]]]:
        """Numbers that TRL's loss needs beside, by ``id`` of the rollout's tokens; empty where it needs none."""
        return {id(one.rollout.token_ids): one.extras for one in self.logged if one.extras}

    def play(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Yield ``(request id, its n rollouts)`` in the order of the requests."""
        rows = [Row(request, index) for request in requests for index in range(request.n)]
        began, before = time.perf_counter(), self.seconds["verify"]
        played = [
            one for start in range(0, len(rows), self._chunk) for one in self._together(rows[start:][: self._chunk])
        ]
        verified = self.seconds["verify"] - before
        self.seconds["generate"] += time.perf_counter() - began - verified
        rollouts = iter(played)
        for request in requests:
            yield request.id, [one.rollout for one in islice(rollouts, request.n)]

    def _together(self, rows: Sequence[Row]) -> list[Played]:
        """Rows played by all processes, in their order; shares are equal, and the last row fills the last ones up."""
        share = -(-len(rows) // self._processes)
        filled = [*rows, *[rows[-1]] * (share * self._processes - len(rows))]
        own = self._sample(filled[self._process * share :][:share])
        everyone: Sequence[Played] = own if self._processes == 1 else gather_object(list(own))
        self.logged += everyone
        return list(everyone[: len(rows)])
