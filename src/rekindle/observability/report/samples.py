"""Section of the report with what the policy wrote, with search and filters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from rekindle.observability import page
from rekindle.observability.formatting import compact, excerpt, excerpt_of_both_ends, grouped
from rekindle.observability.report.sample_choice import REASONS, TEXT, Chosen
from rekindle.observability.report.texts import Texts
from rekindle.observability.rows import number
from rekindle.observability.sample_fields import further_fields, judgement
from rekindle.observability.summary import Summary

__all__ = ["samples"]

_NAME = 200
_FIELD = 2000
_BYTES = 1_800_000
"""Most bytes of prompts and completions in the page."""
_SHORTEST = 300
_SUCCESS = 0.5
_KINDS = {"held_out": "Held-out prompts", "train": "Rollouts of training"}

Attributes = Mapping[str, Callable[[Chosen], str]]
"""What samples are filtered by: name -> its value of a sample; "" where it has none. Several are parted by ``|``."""


def samples(summary: Summary, shown: Sequence[Chosen], count: int, texts: Texts) -> str:
    """Held-out completions and rollouts: the first, last, best, worst and truncated ones, and some between.

    Args:
        summary: The run.
        shown: The chosen ones.
        count: How many the run has.
        texts: Texts of their tasks.
    """
    if not shown:
        return ""
    threshold = summary.setting("task", "success_threshold")
    attributes = _attributes(threshold if isinstance(threshold, int | float) else _SUCCESS, texts)
    limit = _limit(shown)
    note = (
        f"From samples.jsonl, which has a few rollouts of every step and evaluation, {grouped(count)} in all. Here are "
        f"{grouped(len(shown))}: those of the first and of the last steps, the best, the worst and the truncated ones "
        "(of equal rewards the latest), and some of the steps between."
    )
    if limit < TEXT:
        note += f" Of long texts the beginning and the end are shown, {grouped(limit)} characters."
    ordered = {kind: [one for one in shown if _kind(one) == kind] for kind in _KINDS}
    groups = [part for kind, found in ordered.items() for part in _groups(_KINDS[kind], found, attributes, limit)]
    bar = page.filters("Filter the samples", _choices(shown, attributes))
    return page.section(
        "What the policy writes",
        page.paragraph(note, "soft"),
        bar,
        page.sample_list("Samples", *groups),
        page.more(),
    )


def _kind(one: Chosen) -> str:
    return "train" if one.line.get("split") == "train" else "held_out"


def _attributes(success_at: float, texts: Texts) -> Attributes:
    def clean(value: object) -> str:
        return excerpt(str(value or ""), _NAME).replace("|", "/")

    return {
        "show": lambda one: "|".join(why for why in REASONS if why in one.why),
        "kind": lambda one: "training" if _kind(one) == "train" else "held-out",
        "role": lambda one: clean(one.line.get("role")),
        "level": lambda one: clean(texts.level(str(one.line.get("task_id")))),
        "outcome": lambda one: clean(one.line.get("outcome") or one.line.get("fate")).replace("_", " "),
        "reward": lambda one: judgement(one.line, success_at),
        "step": lambda one: str(one.line["step"]),
        "truncated": lambda one: "yes" if one.line.get("truncated") else "no",
    }


def _choices(shown: Sequence[Chosen], attributes: Attributes) -> dict[str, dict[str, str]]:
    """Values of the attributes by which the samples differ, in the order of their first sample; steps ascend."""
    found: dict[str, list[str]] = {}
    for name, value in attributes.items():
        values = [part for one in shown for part in value(one).split("|")]
        if len(set(values)) > 1:
            found[name] = list(dict.fromkeys(filter(None, values)))
    if "show" in found:
        found["show"].sort(key=REASONS.index)
    if "step" in found:
        found["step"].sort(key=int)
    if "level" in found:
        found["level"].sort(key=lambda level: (len(level), level))
    return {name: {value: value for value in values} for name, values in found.items()}


def _limit(shown: Sequence[Chosen]) -> int:
    """Most characters of a text, so that all of them take at most ``_BYTES`` in the page."""
    sizes = [
        (len(text), len(escape(text, quote=False).encode(errors="replace")))
        for one in shown
        for text in (str(one.line.get("prompt")), str(one.line.get("completion")))
    ]
    limit = TEXT
    while limit > _SHORTEST and sum(size * min(1.0, limit / max(1, length)) for length, size in sizes) > _BYTES:
        limit = max(_SHORTEST, limit * 3 // 4)
    return limit


def _groups(name: str, found: Sequence[Chosen], attributes: Attributes, limit: int) -> Iterator[str]:
    """A group of samples per step."""
    for step, of_step in groupby(found, key=lambda one: one.line["step"]):
        yield page.samples(f"{name}, step {grouped(step)}", *(_sample(one, attributes, limit) for one in of_step))


def _sample(one: Chosen, attributes: Attributes, limit: int) -> str:
    line = one.line
    reward = number(line, "reward")
    about = [
        f"reward {'unknown' if reward is None else compact(reward)}",
        "greedy" if line.get("temperature") == 0 else f"temperature {compact(number(line, 'temperature') or 0)}",
        f"{grouped(number(line, 'generated_tokens') or 0)} tokens{', truncated' if line.get('truncated') else ''}",
        *(str(line[key]).replace("_", " ") for key in ("outcome", "fate", "failure") if line.get(key)),
    ]
    role = "proposer, " if line.get("role") == "proposer" else ""
    name = excerpt(f"{role}{', '.join(about)}: {str(line.get('completion')).strip()}", _NAME)
    values = {key: value(one) for key, value in attributes.items()}
    return page.record(name.replace("\n", " "), _entries(line, limit), values)


def _entries(line: Mapping[str, Any], limit: int) -> Iterator[tuple[str, str]]:
    yield "task", excerpt(str(line.get("task_id")), _NAME)
    yield "prompt", excerpt_of_both_ends(str(line.get("prompt")), limit)
    yield "completion", excerpt_of_both_ends(str(line.get("completion")), limit)
    yield from ((name, excerpt(text, _FIELD)) for name, text in further_fields(line))
