"""Construction of numbered requests, each with its own seed."""

from dataclasses import replace

from rekindle.scheduling.history import History
from rekindle.scheduling.seeding import mixed_seed
from rekindle.scheduling.temperatures import Temperature
from rekindle.types import GroupRequest

__all__ = ["RequestMaker"]


class RequestMaker:
    """Maker of the requests of a run.

    Args:
        history: History of all prompts.
        temperature: Sampling temperature per prompt.
        seed: Seed of the run; a request's seed depends on it and on the request's id.

    Attributes:
        next_id: Id of the next request.
    """

    def __init__(self, history: History, temperature: Temperature, seed: int) -> None:
        self._history, self._temperature, self._seed = history, temperature, seed
        self.next_id = 0

    def first(self, row: int, *, n: int, version: int, step: int) -> GroupRequest:
        """The first request for a prompt in a step."""
        number = self._number()
        return GroupRequest(
            id=number,
            task_id=self._history.ids[row],
            row=row,
            n=n,
            temperature=self._temperature(self._history, row),
            seed=mixed_seed(self._seed, number),
            version=version,
            step=step,
        )

    def further(self, request: GroupRequest, *, n: int, version: int) -> GroupRequest:
        """A further request for the prompt of ``request`` in the same step, at the same temperature (a top-up)."""
        number = self._number()
        return replace(request, id=number, n=n, seed=mixed_seed(self._seed, number), version=version)

    def _number(self) -> int:
        self.next_id += 1
        return self.next_id - 1
