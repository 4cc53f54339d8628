"""The report's section on self-play: figures of the proposer, and a sample of its proposals.

Questions, queries, replies and documents are untrusted text: they are cut, invisible characters are replaced, and
everything is escaped.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rekindle.observability import page
from rekindle.observability.charts import metric_figure
from rekindle.observability.formatting import compact, excerpt, percent
from rekindle.observability.report.sections import search_table
from rekindle.observability.rows import number
from rekindle.observability.self_play.charts import (
    difficulty_figure,
    hops_figure,
    novelty_figure,
    proposal_fates_figure,
    replay_figure,
    right_figure,
    valid_figure,
    verdicts_figure,
    wished_figure,
)
from rekindle.observability.self_play.numbers import SelfPlayNumbers
from rekindle.observability.self_play.rejections import rejection
from rekindle.observability.summary import Summary

__all__ = ["self_play"]

_STEPS_FOR_QUARTERS = 8
_NAME, _TEXT, _PART = 120, 1200, 400
"""Most characters of a heading, of a single text, and of each of several texts."""
_LISTED = 12
"""Most queries or documents shown of a proposal."""


def self_play(summary: Summary) -> str:
    """Figures on the proposals, their verdicts, and a sample of them; empty without self-play."""
    numbers = summary.self_play
    if numbers is None:
        return ""
    figures = [
        valid_figure(numbers),
        difficulty_figure(numbers),
        right_figure(numbers),
        hops_figure(numbers),
        wished_figure(numbers),
        novelty_figure(numbers),
        replay_figure(summary),
        metric_figure(summary, "self_play/proposer_reward", "Mean reward of the proposals"),
    ]
    note = (
        "The policy proposes questions to itself. A proposal that passes all rules and checks is valid and becomes a "
        "question for the solver. Any other is rejected, and the first reason is counted."
    )
    return page.section(
        "Self-play",
        page.paragraph(note, "soft"),
        page.grid(*figures) if any(figures) else "",
        page.grid(verdicts_figure(numbers), _verdicts_table(numbers)) if numbers.proposals else "",
        page.grid(proposal_fates_figure(summary), _search(numbers)),
        *_samples(summary),
    )


def _verdicts_table(numbers: SelfPlayNumbers) -> str:
    """Shares of the verdicts in the first and the last quarter and in the whole run."""
    parts = {"whole run": numbers}
    if len(numbers.rows) >= _STEPS_FOR_QUARTERS:
        parts = {"first quarter": numbers.quarter(0), "last quarter": numbers.quarter(3)} | parts
    rows = [("valid", *(percent(part.valid, part.proposals) for part in parts.values()))]
    for reason in numbers.rejected:
        shares = (percent(part.rejected.get(reason, 0), part.proposals) for part in parts.values())
        rows.append((rejection(reason).name, *shares))
    if numbers.failed:
        rows.append(("failed", *(percent(part.failed, part.proposals) for part in parts.values())))
    return page.table("Share of the proposals", ("", *parts), rows)


def _search(numbers: SelfPlayNumbers) -> str:
    if not any(number(row, "proposer/turns") for row in numbers.rows):
        return ""
    return search_table("Per proposal", numbers.rows, "proposer", lambda row: number(row, "self_play/proposals") or 0.0)


# -- sample of the proposals -------------------------------------------------------------------------------------------


def _samples(summary: Summary) -> Iterator[str]:
    lines = summary.proposals.lines
    if lines:
        yield page.subheading("Sample of the proposals")
        yield page.paragraph(
            "A random sample of the whole run, valid and rejected; proposals.jsonl has all proposals.", "soft"
        )
        yield from map(_sample, lines)


def _sample(line: Mapping[str, Any]) -> str:
    verdict = _verdict(line)
    name = f"Step {line['step']}, {verdict}: {_text(line.get('question'), 'no question', _NAME)}"
    written = line.get("written")
    entries = [
        ("question", _text(line.get("question"), "none")),
        *([("what the proposer wrote, its end", _text(written, ""))] if written else []),
        ("verdict", verdict),
        ("intended answer", _texts(line.get("answers"), "not recorded")),
        *([("answers in the world", _texts(line["true_answers"], "none"))] if "true_answers" in line else []),
        ("requested hops", _text(line.get("hops"), "not recorded")),
        ("queries", _texts(line.get("queries"), "none")),
        ("documents", _texts(map(_document, line.get("documents") or ()), "none, or not recorded")),
        ("reply of the verifier", _reply(line.get("reply"))),
        ("success of the solver", _share(line.get("success"), "not played")),
        ("success of the start policy", _share(line.get("reference_success"), "not tried")),
        ("nearest accepted question", _share(line.get("similarity"), "not compared", " alike")),
        ("reward of the proposer", _amount(line.get("reward"))),
        ("fate", _text(line.get("fate"), "not known")),
    ]
    return page.record(name.replace("\n", " "), entries)


def _verdict(line: Mapping[str, Any]) -> str:
    verdict = line.get("verdict")
    if verdict == "valid":
        return "valid"
    return rejection(str(verdict)).name if verdict else "failed"


def _document(document: Mapping[str, Any]) -> str:
    title, text = str(document.get("title") or ""), str(document.get("text") or "")
    return f"{title}: {text}" if title else text


def _reply(reply: str | None) -> str:
    if reply is None:
        return "not asked, or no reply"
    return _text(reply or None, "no answer between its tags")


def _share(value: float | None, unknown: str, what: str = "") -> str:
    return unknown if value is None else f"{percent(value)}{what}"


def _amount(value: float | None) -> str:
    return "not known" if value is None else compact(value)


def _text(value: object, none: str, limit: int = _TEXT) -> str:
    return none if value is None else excerpt(str(value), limit)


def _texts(values: Iterable[object] | None, none: str) -> str:
    """The first few texts, one per line; numbered where there are several."""
    texts = [excerpt(str(value), _PART).replace("\n", " ") for value in values or ()]
    if len(texts) < 2:
        return "".join(texts) or none
    numbered = [f"{place}. {text}" for place, text in enumerate(texts[:_LISTED], start=1)]
    return "\n".join(numbered + ([f"and {len(texts) - _LISTED} more"] if len(texts) > _LISTED else []))
