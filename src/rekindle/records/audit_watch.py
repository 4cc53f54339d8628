"""Watch over audits: says when the reward and a second opinion differ more and more, or from the start.

Of every group the gap is the share of its audited rollouts that the reward calls a success, less the share of which
the audit says so. Rollouts of a prompt are alike, so the error of a mean gap is that over groups:

    gap of a window = mean of g over its G groups,   error^2 = max(variance of g, 1 / G) / G

A gap grew where that of a window is above 0 by three errors, and above the first one by 0.05 and three errors.
It is wide from the start where the first one is above 0.25 by three errors and the audit accepts less than half of what
the reward does. A verifier that is a little more generous than its audit has a constant gap, which is not said.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rekindle.types import GroupRequest, Rollout

__all__ = ["AuditWatch"]

GROUPS = 24
"""Groups of a window."""
ERRORS = 3.0
LEAST_GROWTH = 0.05
WIDE = 0.25
AGREES_AT = 0.5
"""Score of an audit from which it accepts a completion."""
EXAMPLES = 3
EXCERPT = 120
"""Most characters of a completion in a message."""


@dataclass(slots=True)
class _Window:
    """Sums over groups.

    Attributes:
        groups: Number of groups.
        rewarded: Sum over groups of the share of successes by the reward.
        agreed: Sum over groups of the share that the audit accepts.
        squares: Sum over groups of the squared gap.
        examples: Completions that the reward calls a success and the audit does not.
    """

    groups: int = 0
    rewarded: float = 0.0
    agreed: float = 0.0
    squares: float = 0.0
    examples: list[str] = field(default_factory=list)

    @property
    def gap(self) -> float:
        """Mean gap of the groups."""
        return (self.rewarded - self.agreed) / self.groups

    @property
    def error(self) -> float:
        """Standard error of the gap."""
        variance = max(self.squares / self.groups - self.gap**2, 1 / self.groups)
        return math.sqrt(variance / self.groups)

    def says(self) -> str:
        """``reward says 0.97, NAME says 0.00``, with a place for the name."""
        return f"reward says {self.rewarded / self.groups:.2f}, {{}} says {self.agreed / self.groups:.2f}"


class AuditWatch:
    """Watch over all audits of a run; of each one a warning is given once, also across resumes.

    Args:
        success_at: A reward of at least this much is a success.
    """

    def __init__(self, success_at: float) -> None:
        self._success_at = success_at
        self._windows: dict[str, _Window] = {}
        self._first: dict[str, _Window] = {}
        self._said: set[str] = set()

    def note(self, request: GroupRequest, rollouts: Sequence[Rollout]) -> None:
        """Count the rollouts of a request that were audited."""
        for name in dict.fromkeys(name for one in rollouts for name in one.audits):
            self._add(self._windows.setdefault(name, _Window()), name, request, rollouts)

    def _add(self, window: _Window, name: str, request: GroupRequest, rollouts: Sequence[Rollout]) -> None:
        pairs = [(one, score) for one in rollouts if (score := one.audits.get(name)) is not None and not one.void]
        if not pairs:
            return
        successes = [one.reward >= self._success_at for one, _ in pairs]
        accepted = [score >= AGREES_AT for _, score in pairs]
        rewarded, agreed = sum(successes) / len(pairs), sum(accepted) / len(pairs)
        window.groups += 1
        window.rewarded += rewarded
        window.agreed += agreed
        window.squares += (rewarded - agreed) ** 2
        hole = next((one for (one, _), paid, fine in zip(pairs, successes, accepted, strict=True) if paid > fine), None)
        if hole is not None and len(window.examples) < EXAMPLES:
            window.examples.append(f'"{_excerpt(hole.text)}" (task {request.task_id})')

    def step(self) -> Iterator[str]:
        """Warnings at the end of a step."""
        for name, window in sorted(self._windows.items()):
            if window.groups < GROUPS:
                continue
            del self._windows[name]
            first = self._first.get(name)
            if first is None:
                self._first[name] = window
            if name not in self._said and (text := _difference(name, window, first)):
                self._said.add(name)
                yield text

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {
            "windows": {name: asdict(window) for name, window in self._windows.items()},
            "first": {name: asdict(window) for name, window in self._first.items()},
            "said": sorted(self._said),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore."""
        self._windows = {name: _Window(**values) for name, values in state["windows"].items()}
        self._first = {name: _Window(**values) for name, values in state["first"].items()}
        self._said = set(state["said"])


def _difference(name: str, window: _Window, first: _Window | None) -> str | None:
    """What is to be said of a window; ``first`` is None where it is the first."""
    if first is None:
        generous = window.gap - ERRORS * window.error > WIDE and window.agreed < window.rewarded / 2
        since = "from the start" if generous else None
    else:
        growth, error = window.gap - first.gap, math.hypot(window.error, first.error)
        grew = growth > max(LEAST_GROWTH, ERRORS * error) and window.gap > ERRORS * window.error
        since = f"at first {first.says().format(name)}" if grew else None
    if since is None:
        return None
    return (
        f"{window.says().format(name)} ({since}): the policy may have found a hole in the verifier. Rewarded, and not "
        f"accepted by {name}: {', '.join(window.examples)}; look at samples.jsonl before you go on"
    )


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else f"{line[:EXCERPT]}..."
