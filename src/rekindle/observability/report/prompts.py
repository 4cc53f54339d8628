"""Section of the report with the prompts drawn most often, and those never solved."""

from collections.abc import Mapping
from typing import Any

from rekindle.observability import page
from rekindle.observability.causes import unsolved_cause
from rekindle.observability.formatting import grouped, percent
from rekindle.observability.report.texts import Texts
from rekindle.observability.summary import PROMPTS_LISTED, Summary

__all__ = ["listed_prompts", "prompts"]


def listed_prompts(summary: Summary) -> list[str]:
    """Ids of the prompts that are listed."""
    rows = (*summary.most_drawn(PROMPTS_LISTED), *summary.never_solved(PROMPTS_LISTED))
    return [row["task_id"] for row in rows]


def prompts(summary: Summary, texts: Texts) -> str:
    """The prompts by their text; their ids are below."""
    drawn, unsolved = summary.prompt_counts()
    if not drawn:
        return ""
    often, never = summary.most_drawn(PROMPTS_LISTED), summary.never_solved(PROMPTS_LISTED)

    def cells(row: Mapping[str, Any]) -> tuple[page.Cell, ...]:
        counts = (grouped(row["visits"]), grouped(row["rollouts"]))
        return texts.cell(row["task_id"]), *counts, percent(row["successes"], row["rollouts"]), grouped(row["trained"])

    columns = ("prompt", "visits", "rollouts", "solved", "trained")
    share = f"{grouped(unsolved)} of them ({percent(unsolved, drawn)}) were never solved. {unsolved_cause(summary)}"
    text = f"{grouped(drawn)} different prompts were drawn; {share if unsolved else 'each was solved at least once.'}"
    return page.section(
        "Prompts",
        page.paragraph(text),
        page.table("Drawn most often", columns, map(cells, often)),
        page.table("Never solved, most rollouts first", columns[:3], [cells(row)[:3] for row in never])
        if never
        else "",
    )
