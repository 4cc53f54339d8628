"""Fields of a line of ``samples.jsonl`` as text for people; it is untrusted, and the caller cuts and escapes it."""

from collections.abc import Iterator, Mapping
from typing import Any

from rekindle.observability.rows import number

__all__ = ["further_fields", "judgement"]


def judgement(line: Mapping[str, Any], success_at: float) -> str:
    """``"right"``, ``"wrong"``, or ``"no verdict"`` where the rollout has no reward."""
    reward = number(line, "reward")
    return "no verdict" if reward is None else "right" if reward >= success_at else "wrong"


def further_fields(line: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The reference answer, the rewards by name and the verdicts of audits, where the line has them."""
    if (answer := line.get("answer")) is not None:
        yield "answer", " | ".join(map(str, answer)) if isinstance(answer, list | tuple) else str(answer)
    for kind in ("rewards", "audits"):
        if isinstance(named := line.get(kind), dict) and named:
            yield kind, ", ".join(f"{name} {_value(value)}" for name, value in named.items())


def _value(value: object) -> str:
    """A reward; None: it does not apply."""
    return f"{value:.3g}" if isinstance(value, int | float) else "does not apply"
