"""What TRL's own logs show of rollouts and steps: its metrics, and its table of completions."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rekindle.integrations.trl.sampling.rollouts import Played
from rekindle.types import TrainingSample

__all__ = ["ShownByTrl"]

METRICS = ("groups/", "temperature/", "pool/", "policy_gap")
"""Beginnings of our metrics that TRL's own logs get, under ``rekindle/``."""
SILENT = "frac_reward_zero_std"


class ShownByTrl:
    """TRL's metrics of training and its table of completions.

    Args:
        trainer: The trainer.
    """

    def __init__(self, trainer: Any) -> None:
        self._metrics, self._table = trainer._metrics["train"], trainer._logs
        self._batch = trainer.args.generation_batch_size

    def clear(self) -> None:
        """Forget rollouts before the first step (a pass for a profile)."""
        self._metrics.clear()

    def begin(self) -> None:
        """Empty the table for the rollouts of a step, of which refill may make more than TRL has room for."""
        for column in self._table.values():
            column.clear()
        self._resize(None)

    def _resize(self, longest: int | None) -> None:
        def column(values: Iterable[Any] = ()) -> deque[Any]:
            return deque(values, longest)

        for name, old in self._table.items():
            named = isinstance(old, Mapping)  # columns by name of a reward
            self._table[name] = defaultdict(column, {key: column(old[key]) for key in old}) if named else column(old)

    @contextmanager
    def without_silent_groups(self) -> Iterator[None]:
        """While it is open, shares of groups without signal are not kept: of groups of one, all are silent."""
        before = list(self._metrics[SILENT])
        yield
        self._metrics[SILENT][:] = before
        if not before:
            del self._metrics[SILENT]

    def groups(self, silent: float, samples: Sequence[TrainingSample], played: Sequence[Played]) -> None:
        """Show what the groups of a step say, which TRL took for groups of one.

        Args:
            silent: Share of groups without signal.
            samples: The batch.
            played: The rollouts of the step, in TRL's order.
        """
        self._metrics[SILENT].append(silent)
        advantages = {id(one.token_ids): max(one.advantages, key=abs, default=0.0) for one in samples}
        found = [advantages.get(id(one.rollout.token_ids), 0.0) for one in played]
        self._table["advantages"] = found
        self._resize(max(len(found), self._batch))

    def step(self, metrics: Mapping[str, Any]) -> None:
        """Show metrics of a finished step."""
        for key, value in metrics.items():
            if key.startswith(METRICS) and isinstance(value, int | float):
                self._metrics[f"rekindle/{key}"].append(float(value))
