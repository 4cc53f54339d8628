"""What accuracy is compared at: rollouts, generated tokens, FLOPs by two accounts, and seconds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from rekindle.observability.formatting import compact, duration, flops
from rekindle.observability.rows import number

__all__ = ["AXES", "Axis"]

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Axis:
    """A cost.

    Attributes:
        name: For people.
        meaning: What is counted, in a sentence.
        spent: Rows of the step log -> cost so far at each of them; None where a row has none.
        form: Writes a cost in words.
        unit: After the number in a sentence; "" where ``form`` writes one.
    """

    name: str
    meaning: str
    spent: Callable[[Rows], list[float | None]]
    form: Callable[[float], str]
    unit: str = ""

    def amount(self, cost: float) -> str:
        """A cost in a sentence: ``"45.1k rollouts"``, ``"398 GFLOP"``."""
        return f"{self.form(cost)} {self.unit}".rstrip()


def _totals(key: str) -> Callable[[Rows], list[float | None]]:
    return lambda rows: [number(row, key) for row in rows]


def _rollouts(rows: Rows) -> list[float | None]:
    """Rollouts so far, with those of a profile that the run made first."""
    profiled = (number(rows[0], "profile/rollouts") or 0.0) if rows else 0.0
    return [None if total is None else total + profiled for total in _totals("total_rollouts")(rows)]


def _seconds(rows: Rows) -> list[float | None]:
    """Seconds of the steps so far, without those of evaluations."""
    steps = ((number(row, "seconds") or 0.0) - (number(row, "time/evaluate") or 0.0) for row in rows)
    return list(accumulate(steps))


AXES: Mapping[str, Axis] = {
    "rollouts": Axis(
        "rollouts", "Completions that were sampled, those of a profile included.", _rollouts, compact, "rollouts"
    ),
    "tokens": Axis(
        "generated tokens",
        "Tokens that the policy sampled.",
        _totals("total_generated_tokens"),
        compact,
        "generated tokens",
    ),
    "flops": Axis(
        "FLOPs",
        "2P for a token that is read or sampled, its prompt once per group, and 6P for a token in an update; P is the "
        "number of parameters. A row without advantage costs no update.",
        _totals("total_flops"),
        flops,
    ),
    "flops_sgpo": Axis(
        "FLOPs, every row",
        "12P for every token of a training rollout and its prompt, whether or not it had an advantage: every row goes "
        "through generation, reference, forward and backward pass (the account of the sGPO paper).",
        _totals("total_flops_sgpo"),
        flops,
        "by every row",
    ),
    "seconds": Axis(
        "seconds",
        "Wall-clock time of the steps without evaluation. It depends on the machine and on what else ran there.",
        _seconds,
        duration,
    ),
}
"""By the name of the option ``--x``."""
