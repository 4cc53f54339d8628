"""Which lines of ``samples.jsonl`` the report shows: a few of the first, last, best, worst, cut ones, and some between.

The file is read once, line by line, and as many lines are kept however long it is. The choice uses no random numbers:
the same file gives the same samples.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import Any

from rekindle.observability.formatting import excerpt_of_both_ends
from rekindle.observability.rows import number

__all__ = ["REASONS", "TEXT", "Chosen", "chosen"]

REASONS = ("first", "last", "best", "worst", "truncated")

TEXT = 20_000
"""Most characters of a prompt or completion; where the page would get too large, fewer."""
_FIRST, _LAST = 3, 5
"""Steps at the beginning and at the end whose samples are shown, of each kind."""
_OF_A_STEP = 12
"""Most samples of a kind and step."""
_EXTREMES = 12
"""Most best, worst and truncated samples, of each kind."""
_BETWEEN = 20
"""Steps between the first and the last ones whose samples are shown, of each kind."""
_OF_A_STEP_BETWEEN = 3

Line = Mapping[str, Any]


@dataclass(slots=True)
class Chosen:
    """A line with the ``REASONS`` for which it was chosen; none of a step between."""

    place: int
    line: Line
    why: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Kind:
    """What is kept of one kind of samples while the file is read."""

    first: dict[int, list[Chosen]] = field(default_factory=dict)
    last: deque[tuple[int, list[Chosen]]] = field(default_factory=lambda: deque(maxlen=_LAST))
    between: dict[int, tuple[int, list[Chosen]]] = field(default_factory=dict)
    best: list[tuple[float, int, Chosen]] = field(default_factory=list)
    worst: list[tuple[float, int, Chosen]] = field(default_factory=list)
    truncated: deque[Chosen] = field(default_factory=lambda: deque(maxlen=_EXTREMES))

    def add(self, one: Chosen, last_step: int) -> None:
        step = int(one.line["step"])
        if step in self.first or len(self.first) < _FIRST:
            _append(self.first.setdefault(step, []), one, _OF_A_STEP)
        if not self.last or self.last[-1][0] != step:
            self.last.append((step, []))
        _append(self.last[-1][1], one, _OF_A_STEP)
        part = step * _BETWEEN // (last_step + 1)
        if self.between.setdefault(part, (step, []))[0] == step:
            _append(self.between[part][1], one, _OF_A_STEP_BETWEEN)
        if (reward := number(one.line, "reward")) is not None:
            # Where rewards are equal, the later ones are shown: they are of the better policy.
            for kept, rank in ((self.best, reward), (self.worst, -reward)):
                push = heappush if len(kept) < _EXTREMES else heappushpop
                push(kept, (rank, one.place, one))
        if one.line.get("truncated"):
            self.truncated.append(one)

    def marked(self) -> Iterator[Chosen]:
        """All that is kept, with its reasons; a line may come several times."""
        kept = (
            [one for lines in self.first.values() for one in lines],
            [one for _, lines in self.last for one in lines],
            [one for *_, one in self.best],
            [one for *_, one in self.worst],
            list(self.truncated),
        )
        for why, found in zip(REASONS, kept, strict=True):
            for one in found:
                one.why.add(why)
                yield one
        for _, found in self.between.values():
            yield from found


def chosen(lines: Iterable[Line], last_step: int) -> tuple[list[Chosen], int]:
    """The samples to show, in the order of the file, and the number of all samples.

    Args:
        lines: Lines of ``samples.jsonl``.
        last_step: Later lines are left out.
    """
    kinds: dict[str, _Kind] = {}
    count = 0
    for place, line in enumerate(lines):
        if line["step"] > last_step:
            continue
        count += 1
        kind = "train" if line.get("split") == "train" else "held_out"
        kinds.setdefault(kind, _Kind()).add(Chosen(place, _short(line)), last_step)
    found = {one.place: one for kind in kinds.values() for one in kind.marked()}
    return [found[place] for place in sorted(found)], count


def _append(kept: list[Chosen], one: Chosen, most: int) -> None:
    if len(kept) < most:
        kept.append(one)


def _short(line: Line) -> Line:
    """A line whose texts are no longer than is ever shown."""
    long = {
        key: text for key in ("prompt", "completion") if isinstance(text := line.get(key), str) and len(text) > TEXT
    }
    return {**line, **{key: excerpt_of_both_ends(text, TEXT) for key, text in long.items()}} if long else line
