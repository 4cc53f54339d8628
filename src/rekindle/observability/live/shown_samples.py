"""The two samples that a live display shows, as texts that no terminal and no page can be harmed by."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, chop_cells

from rekindle.observability.formatting import compact, excerpt, grouped
from rekindle.observability.rows import number
from rekindle.observability.sample_fields import further_fields, judgement

__all__ = ["ShownSample", "cut_in_the_middle", "shown_samples"]

_LONGEST = 400
"""Most characters of a text; displays cut it to their width."""

_MARK = re.compile(r"<\|[^<>|]{1,40}\|>")
"""Control tokens of chat templates, which separate messages and roles."""

_ROLE = re.compile(r"^\s*user\s*\n")

_INVISIBLE = re.compile("[\u200b-\u200d\ufe00-\ufe0f]")
"""Joiners and variation selectors, whose width terminals disagree about."""


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A sample on a few lines; every text is one line without control characters.

    Attributes:
        is_right: Whether its reward is a success.
        lines: (Name, text) of each line, first ``("right, reward 1", the last message)`` and
            ``("9 tokens, truncated", the beginning of the completion)``; then the answer, rewards and audits by name.
    """

    is_right: bool
    lines: tuple[tuple[str, str], ...]


def shown_samples(lines: Sequence[Mapping[str, Any]], success_at: float = 0.5) -> tuple[ShownSample, ...]:
    """At most two samples of a step: a right one and a wrong one where there are both, else the first two.

    Args:
        lines: Lines of ``samples.jsonl`` of one step. The solver's rollouts are preferred to held-out completions.
        success_at: A reward of at least this much is right.
    """
    solved = [line for line in lines if line.get("role") != "proposer"]
    chosen = [line for line in solved if line.get("split") == "train"] or solved
    pair = list(_pair(chosen, success_at))
    rest = [line for line in chosen if not any(line is one for one in pair)]
    return tuple(_shown(line, success_at) for line in (*pair, *rest)[:2])


def _pair(lines: Sequence[Mapping[str, Any]], success_at: float) -> Iterator[Mapping[str, Any]]:
    for wanted in ("right", "wrong"):
        yield from [line for line in lines if judgement(line, success_at) == wanted][:1]


def _shown(line: Mapping[str, Any], success_at: float) -> ShownSample:
    reward, judged = number(line, "reward"), judgement(line, success_at)
    tokens = f"{grouped(number(line, 'generated_tokens') or 0)} tokens"
    return ShownSample(
        judged == "right",
        (
            (
                judged if reward is None else f"{judged}, reward {compact(reward)}",
                _message(str(line.get("prompt") or "")),
            ),
            (
                f"{tokens}, truncated" if line.get("truncated") else tokens,
                _beginning(str(line.get("completion") or "")) or "(nothing)",
            ),
            *((name, _beginning(text)) for name, text in further_fields(line)),
        ),
    )


def _beginning(text: str) -> str:
    return " ".join(excerpt(_INVISIBLE.sub("", text[: 2 * _LONGEST]).strip(), _LONGEST).split())


def _message(prompt: str) -> str:
    """The last message of a prompt: what follows the last mark that more than a role's name follows."""
    parts = [part for part in _MARK.split(prompt) if len(part.split()) > 1] or [prompt]
    words = " ".join(_INVISIBLE.sub("", _ROLE.sub("", parts[-1])).split())
    return " ".join(excerpt(cut_in_the_middle(words, _LONGEST), _LONGEST).split())


def cut_in_the_middle(text: str, cells: int) -> str:
    """The beginning and the end of a text that is wider than ``cells`` columns of a terminal, else the text."""
    if cell_len(text) <= cells:
        return text
    beginning = chop_cells(text, max(1, (cells - 1) // 2))[0]
    end = chop_cells(text[::-1], max(1, cells - 1 - cell_len(beginning)))[0][::-1]
    return f"{beginning}\N{HORIZONTAL ELLIPSIS}{end}"
