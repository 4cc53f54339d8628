"""Numbers of self-play from the step log, without words or markup."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rekindle.observability.rows import number, total
from rekindle.observability.shares import Share

__all__ = ["SelfPlayNumbers", "valid_rate", "wished_rates"]

_REJECTED = "self_play/rejected/"

_WISHED = re.compile(r"self_play/wished_(\d+)/valid_rate")


@dataclass(frozen=True, slots=True)
class SelfPlayNumbers:
    """Numbers of the proposer over some steps.

    Attributes:
        rows: The step log's rows of these steps.
    """

    rows: Sequence[Mapping[str, Any]]

    @property
    def proposals(self) -> int:
        """Proposals requested, including failed ones."""
        return int(total(self.rows, "self_play/proposals"))

    @property
    def valid(self) -> int:
        """Proposals that became questions for the solver."""
        return int(total(self.rows, "self_play/valid"))

    @property
    def failed(self) -> int:
        """Proposals without a verdict, because the retriever, the verifier or the engine failed."""
        return int(total(self.rows, "self_play/failed"))

    @property
    def valid_share(self) -> Share | None:
        """Valid proposals among all; None without proposals."""
        return Share(self.valid, self.proposals) if self.proposals else None

    @property
    def rejected(self) -> dict[str, int]:
        """Rejected proposals by reason, the most frequent first."""
        keys = {key for row in self.rows for key in row if key.startswith(_REJECTED)}
        counts = {key.removeprefix(_REJECTED): int(total(self.rows, key)) for key in keys}
        return dict(
            sorted(((name, count) for name, count in counts.items() if count), key=lambda pair: (-pair[1], pair))
        )

    def of_valid(self, key: str) -> Share | None:
        """A rate over the valid questions of all steps that have it: ``of_valid("self_play/right")``."""
        pairs = [counted for row in self.rows if (counted := valid_rate(row, key))[1]]
        return Share(sum(part for part, _ in pairs), sum(whole for _, whole in pairs)) if pairs else None

    def quarter(self, index: int) -> "SelfPlayNumbers":
        """A quarter of the steps: 0 is the first, 3 the last."""
        low, high = (len(self.rows) * place // 4 for place in (index, index + 1))
        return SelfPlayNumbers(self.rows[low:high])


def valid_rate(row: Mapping[str, Any], key: str) -> tuple[float, float]:
    """A step's mean over its valid questions as (sum, questions); (0, 0) where not known."""
    value, count = number(row, key), number(row, "self_play/valid")
    return (value * count, count) if value is not None and count else (0.0, 0.0)


def wished_rates(row: Mapping[str, Any]) -> dict[int, float]:
    """A step's share of valid proposals by requested hops."""
    found = {int(match[1]): number(row, key) for key in row if (match := _WISHED.fullmatch(key))}
    return {hops: rate for hops, rate in sorted(found.items()) if rate is not None}
