"""Sampling with TRL's vLLM at a temperature per row.

vLLM draws from its own random numbers, not from the seeds of the rows: a resumed run repeats the requests but not the
tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["Gather", "temperatures_in_vllm"]

Gather = Callable[[list[tuple[float, int]]], list[tuple[float, int]]]
"""A list of this process -> the lists of all processes, one after the other (``accelerate.utils.gather_object``)."""


@contextmanager
def temperatures_in_vllm(generation: Any, temperatures: Sequence[float], gather: Gather) -> Iterator[None]:
    """While it is open, ``generation.generate`` samples each row at its own temperature.

    `VLLMGeneration` has one temperature per call, so there is one call per distinct temperature of all processes. In
    server mode and with tensor parallelism a call gathers the prompts of the processes. So every process makes the
    same calls with the same number of rows; rows that it lacks are repetitions, which are dropped. The tokens come from
    vLLM's own random numbers, not from the seeds of the rows.

    Args:
        generation: The trainer's ``vllm_generation``.
        temperatures: One per prompt of the call, of this process.
        gather: Collects over processes; every process enters ``generate`` with at least one prompt.
    """
    before, shadowed, usual = generation.generate, "generate" in vars(generation), generation.temperature

    def generate(
        prompts: list[list[int]], images: list[Any] | None, num_generations: int, profiler: Any = None
    ) -> tuple[Any, ...]:
        if len(prompts) != len(temperatures):
            raise RuntimeError(f"TRL asks vLLM for {len(prompts)} rows, and {len(temperatures)} were planned")
        parts: list[tuple[list[int], tuple[Any, ...]]] = []
        for temperature, count in _calls(temperatures, gather):
            own = [row for row, value in enumerate(temperatures) if value == temperature]
            rows = own + [own[0] if own else 0] * (count - len(own))
            generation.temperature = temperature
            chosen = None if images is None else [images[row] for row in rows]
            result = before([prompts[row] for row in rows], chosen, num_generations=1, profiler=profiler)
            parts.append((own, result))
        return _in_order(parts, len(prompts))

    generation.generate = generate
    try:
        yield
    finally:
        generation.temperature = usual
        if shadowed:
            generation.generate = before
        else:
            del generation.generate


def _calls(temperatures: Sequence[float], gather: Gather) -> list[tuple[float, int]]:
    """Each temperature of any process, ascending, and the most rows that a process has at it."""
    own = [(value, list(temperatures).count(value)) for value in sorted(set(temperatures))]
    most: dict[float, int] = {}
    for temperature, count in gather(own):
        most[temperature] = max(count, most.get(temperature, 0))
    return sorted(most.items())


def _in_order(parts: Sequence[tuple[list[int], tuple[Any, ...]]], count: int) -> tuple[Any, ...]:
    """The columns of the calls' results as one result, whose rows are in the order of the prompts."""
    columns: list[list[Any] | None] = []
    for number, example in enumerate(parts[0][1]):
        column: list[Any] = [None] * count
        for own, result in parts:
            for place, row in enumerate(own):
                column[row] = result[number][place] if example is not None else None
        columns.append(None if example is None else column)
    return tuple(columns)
