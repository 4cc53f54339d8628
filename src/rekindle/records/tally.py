"""Means of reward functions and audits over the rollouts of a step, for its metrics."""

from collections import defaultdict
from collections.abc import Sequence

from rekindle.types import Rollout, usable

__all__ = ["RewardTally"]


class RewardTally:
    """Sums of what functions and audits returned for the rollouts of the step that is being made.

    Args:
        success_at: A reward of at least this much is a success.
    """

    def __init__(self, success_at: float) -> None:
        self._success_at = success_at
        self._clear()

    def _clear(self) -> None:
        self._rollouts = self._cut = 0
        self._values: dict[str, list[float]] = defaultdict(list)

    def note(self, rollouts: Sequence[Rollout]) -> None:
        """Add the rollouts of a request; those of a void group are left out."""
        for one in usable(rollouts) or ():
            self._rollouts += 1
            self._cut += one.truncated and one.reward >= self._success_at
            for kind, values in (("reward", one.rewards), ("audit", one.audits)):
                for name, value in values.items():
                    if value is not None:
                        self._values[f"{kind}/{name}"].append(value)

    def drain(self) -> dict[str, float]:
        """``reward/NAME`` and ``audit/NAME``, means where they apply, and ``completion/rewarded_truncated``.

        The next step begins.
        """
        found = {name: sum(values) / len(values) for name, values in sorted(self._values.items())}
        if self._rollouts:
            found["completion/rewarded_truncated"] = self._cut / self._rollouts
        self._clear()
        return found
