"""The report's section on self-play: the proposer's part of the run, and some of its proposals to read.

Questions, queries, replies and documents are the texts of strangers: cut, stripped of what is invisible, and escaped.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rekindle.observability import page
from rekindle.observability.charts import metric_figure
from rekindle.observability.formatting import compact, excerpt, percent
from rekindle.observability.rows import number
from rekindle.observability.sections import search_table
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
from rekindle.observability.self_play.numbers import Game
from rekindle.observability.self_play.rejections import rejection
from rekindle.observability.summary import Summary

__all__ = ["self_play"]

_STEPS_FOR_QUARTERS = 8
_NAME, _TEXT, _PART = 120, 1200, 400
"""Most characters of a heading, of a text, and of one of several texts."""
_LISTED = 12
"""At most so many queries or documents of a proposal."""


def self_play(summary: Summary) -> str:
    """How proposals were made and judged, what they were worth, and some of them; empty where there are none."""
    game = summary.game
    if game is None:
        return ""
    figures = [
        valid_figure(game),
        difficulty_figure(game),
        right_figure(game),
        hops_figure(game),
        wished_figure(game),
        novelty_figure(game),
        replay_figure(summary),
        metric_figure(summary, "self_play/proposer_reward", "Mean reward of the proposals"),
    ]
    note = (
        "The policy proposes questions to itself. A proposal is valid, and becomes a question for the solver, when no "
        "rule and no check speaks against it; the first reason that does is counted."
    )
    return page.section(
        "Self-play",
        page.paragraph(note, "soft"),
        page.grid(*figures) if any(figures) else "",
        page.grid(verdicts_figure(game), _verdicts_table(game)) if game.proposals else "",
        page.grid(proposal_fates_figure(summary), _search(game)),
        *_samples(summary),
    )


def _verdicts_table(game: Game) -> str:
    """The shares of the verdicts, at the start and at the end of the run."""
    parts = {"whole run": game}
    if len(game.rows) >= _STEPS_FOR_QUARTERS:
        parts = {"first quarter": game.quarter(0), "last quarter": game.quarter(3)} | parts
    rows = [("valid", *(percent(part.valid, part.proposals) for part in parts.values()))]
    for reason in game.rejected:
        shares = (percent(part.rejected.get(reason, 0), part.proposals) for part in parts.values())
        rows.append((rejection(reason).name, *shares))
    if game.failed:
        rows.append(("failed", *(percent(part.failed, part.proposals) for part in parts.values())))
    return page.table("Share of the proposals", ("", *parts), rows)


def _search(game: Game) -> str:
    if not any(number(row, "proposer/turns") for row in game.rows):
        return ""
    return search_table("Per proposal", game.rows, "proposer", lambda row: number(row, "self_play/proposals") or 0.0)


# -- some of the proposals ---------------------------------------------------------------------------------------------


def _samples(summary: Summary) -> Iterator[str]:
    lines = summary.proposals.lines
    if lines:
        yield page.subheading("Some of the proposals")
        yield page.paragraph(
            "Drawn by chance from the whole run, valid ones and others; proposals.jsonl has all.", "soft"
        )
        yield from map(_sample, lines)


def _sample(line: Mapping[str, Any]) -> str:
    verdict = _verdict(line)
    name = f"Step {line['step']}, {verdict}: {_text(line.get('question'), 'no question', _NAME)}"
    entries = [
        ("question", _text(line.get("question"), "none")),
        ("verdict", verdict),
        ("made for the answer", _texts(line.get("answers"), "not recorded")),
        *([("answers in the world", _texts(line["true_answers"], "none"))] if "true_answers" in line else []),
        ("hops wished for", _text(line.get("hops"), "not recorded")),
        ("queries", _texts(line.get("queries"), "none")),
        ("documents", _texts(map(_document, line.get("documents") or ()), "none, or not recorded")),
        ("reply of the check", _reply(line.get("reply"))),
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
        return "not asked, or none came"
    return _text(reply or None, "no answer between its tags")


def _share(value: float | None, unknown: str, what: str = "") -> str:
    return unknown if value is None else f"{percent(value)}{what}"


def _amount(value: float | None) -> str:
    return "not known" if value is None else compact(value)


def _text(value: object, none: str, limit: int = _TEXT) -> str:
    return none if value is None else excerpt(str(value), limit)


def _texts(values: Iterable[object] | None, none: str) -> str:
    """One to a line, the first few of them; numbered where there are several."""
    texts = [excerpt(str(value), _PART).replace("\n", " ") for value in values or ()]
    if len(texts) < 2:
        return "".join(texts) or none
    numbered = [f"{place}. {text}" for place, text in enumerate(texts[:_LISTED], start=1)]
    return "\n".join(numbered + ([f"and {len(texts) - _LISTED} more"] if len(texts) > _LISTED else []))
