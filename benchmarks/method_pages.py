"""Writes the measured blocks of docs/methods from methods.json."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import arms
from rekindle.statistics.words import cell, paired, ratio

Runs = Sequence[Mapping[str, Any]]
Results = Mapping[str, Runs]

BASE = "grpo"
OVERVIEW = "overview"
KINDS = {
    "The baseline": ("grpo",),
    "The advantage estimator": ("dr_grpo", "rloo", "gpg", "maxrl", "reinforce_pp", "reinforce_pp_baseline"),
    "The loss": ("gspo", "cispo"),
    "Which prompts": (
        "bounded_dapo",
        "dapo",
        "recycle",
        "soft_recycle",
        "posterior_recycle",
        "mopps",
        "greso",
        "sgpo",
    ),
    "How many rollouts, and which of them train": ("knapsack", "speed", "reinforce_ada", "pods"),
    "Groups without signal": ("erpo", "rl_zvp"),
    "Single rollouts": ("reinforce_pp_ntf", "c_rf_ntf", "spo", "prompt_baseline"),
    "Combinations": ("rekindle",),
}
"""Recipes by the part they change."""

ALWAYS = (
    ("held-out accuracy, sampled", "accuracy", ".3f", "difference"),
    ("held-out accuracy, greedy", "greedy", ".3f", "difference"),
    ("generated tokens", "tokens", ",.0f", ""),
    ("rollouts", "rollouts", ",.0f", ""),
    ("updates", "updates", ",.0f", ""),
    ("FLOPs", "flops", ".2e", "ratio"),
    ("CPU seconds", "cpu_seconds", ".0f", "ratio"),
    ("rollouts per visit of a prompt", "visit_rollouts", ".1f", ""),
)
WHERE_THERE_ARE_ANY = (
    ("visits trained on with rewards that differ, share", "signal_share", ".2f", ""),
    ("tokens of the profile", "profile_tokens", ",.0f", ""),
    ("tokens clipped, share", "clip_fraction", ".4f", ""),
    ("groups at a raised temperature", "hot_groups", ",.0f", ""),
    ("of these, with signal again", "revived_groups", ",.0f", ""),
    ("phase at the end", "phases", ".0f", ""),
    ("prompts skipped", "skipped", ",.0f", ""),
)
OF_A_MACHINE = ("cpu_seconds",)
"""Keys whose numbers are compared only where all runs were made in the same days, on one machine as busy as then."""
OTHER_DAYS = "not compared: measured in other days"
GREY, EMBER = "#7d8794", "#c2491d"


def blocks(results: Results, docs: Path) -> dict[str, str]:
    """The text of the blocks of every measured recipe and of the overview."""
    pages = {recipe: page_of(docs, recipe).name for recipe in results}
    return {recipe: table(results, recipe) for recipe in results} | {OVERVIEW: overview(results, pages)}


def images(results: Results) -> dict[str, str]:
    """The curve of every measured recipe, as SVG text by name."""
    return {f"{recipe}.svg": curve(results, recipe) for recipe in results}


def write(docs: Path, results: Results) -> None:
    """Write the pages and the curves."""
    folder = docs / "images" / "methods"
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in images(results).items():
        (folder / name).write_text(drawing, encoding="utf-8")
    for name, text in blocks(results, docs).items():
        arms.replace_block(page_of(docs, name), name, text)


def page_of(docs: Path, name: str) -> Path:
    """The page with the markers of this name."""
    for page in sorted((docs / "methods").glob("*.md")):
        if arms.block(page.read_text(encoding="utf-8"), name) is not None:
            return page
    raise SystemExit(f"no page of {docs / 'methods'} has a line <!-- measured: {name} -->")


def table(results: Results, recipe: str) -> str:
    """One recipe compared with GRPO: curve, table and notes."""
    ours, base = results[recipe], results[BASE]
    columns = {BASE: base} if recipe == BASE else {BASE: base, recipe: ours}
    head = [f"`{name}`" for name in columns] + ([] if recipe == BASE else ["against GRPO"])
    lines = [_line("", *head), "|" + "---|" * (1 + len(head))]
    for words, key, form, comparison in (*ALWAYS, *WHERE_THERE_ARE_ANY):
        values = [[run[key] for run in runs] for runs in columns.values()]
        if any(map(any, values)):
            compared = (
                [OTHER_DAYS] if key in OF_A_MACHINE and _on_other_days(columns) else _compared(values, comparison)
            )
            lines.append(_line(words, *(_cell(one, form) for one in values), *compared))
    for level in base[0]["reach"]:
        values = [[run["reach"][level] for run in runs] for runs in columns.values()]
        lines.append(_line(f"FLOPs until accuracy {level}", *map(_reached, values), *_compared(values, "ratio")))
    image = f"![Held-out accuracy of {recipe} against generated tokens](../images/methods/{recipe}.svg)"
    return "\n".join([image, "", *lines, "", *_notes(results, recipe, columns.values())]) + "\n"


def overview(results: Results, pages: Mapping[str, str]) -> str:
    """Table of all recipes by kind.

    Args:
        results: Measured runs by recipe.
        pages: File name of each recipe's page; "" for no link.
    """
    columns = (
        "accuracy, sampled",
        "against GRPO",
        "greedy",
        "updates",
        "visits with signal",
        "FLOPs",
        "FLOPs until 0.75",
        "against GRPO",
    )
    lines = [_line("recipe", *columns), "|" + "---|" * (1 + len(columns))]
    for kind, recipes in KINDS.items():
        there = [recipe for recipe in recipes if recipe in results]
        lines += [_line(f"**{kind}**", *[""] * len(columns))] if there else []
        lines += [_line(_link(recipe, pages[recipe]), *_overview_cells(results, recipe)) for recipe in there]
    return "\n".join([*lines, "", *_notes(results, BASE, results.values()), *_by_chance(results)]) + "\n"


def _overview_cells(results: Results, recipe: str) -> list[str]:
    def values(key: str) -> list[list[float | None]]:
        return [[run[key] for run in results[name]] for name in (BASE, recipe)]

    reach = [[run["reach"]["0.75"] for run in results[name]] for name in (BASE, recipe)]
    alone = recipe == BASE
    return [
        _cell(values("accuracy")[1], ".3f"),
        "" if alone else _compared(values("accuracy"), "difference")[0],
        _cell(values("greedy")[1], ".3f"),
        _cell(values("updates")[1], ".0f"),
        _cell(values("signal_share")[1], ".2f"),
        _cell(values("flops")[1], ".2e"),
        _reached(reach[1]),
        "" if alone else _compared(reach, "ratio")[0],
    ]


def curve(results: Results, recipe: str) -> str:
    """Accuracy against generated tokens: GRPO's and the recipe's."""
    shown = {"GRPO": (GREY, [run["curve"] for run in results[BASE]])}
    if recipe != BASE:
        shown |= {recipe: (EMBER, [run["curve"] for run in results[recipe]])}
    return arms.accuracy_curves(
        shown,
        x_label="generated tokens",
        description=f"Mean and range over the seeds of held-out accuracy, sampled: {' and '.join(shown)}",
    )


def _on_other_days(columns: Results) -> bool:
    """Whether the two recipes have no day in common."""
    days = [{run["date"] for run in runs} for runs in columns.values()]
    return len(days) > 1 and not set.intersection(*days)


# -- cells ------------------------------------------------------------------------------------------------------------


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _link(recipe: str, page: str) -> str:
    return f"[`{recipe}`]({page})" if page else f"`{recipe}`"


def _cell(values: Sequence[float | None], form: str) -> str:
    """Mean and standard deviation of the known values; a dash without any."""
    there = [value for value in values if value is not None]
    return cell(there, form) if there else "–"


def _reached(flops: Sequence[float | None]) -> str:
    """The mean where all seeds reached the level, else their count, as a mean over some seeds would be biased."""
    reached = sum(value is not None for value in flops)
    return _cell(flops, ".2e") if reached == len(flops) else f"reached by {reached} of {len(flops)} seeds"


def _compared(columns: Sequence[Sequence[float | None]], comparison: str) -> list[str]:
    """The last column: none for GRPO itself, empty without values to compare."""
    if len(columns) == 1:
        return []
    base, ours = ([value for value in column if value is not None] for column in columns)
    if not comparison or len(base) < len(columns[0]) or len(ours) < len(columns[1]):
        return [""]
    return [paired(ours, base) if comparison == "difference" else ratio(ours, base)]


def _notes(results: Results, recipe: str, compared: Iterable[Sequence[Mapping[str, Any]]]) -> list[str]:
    runs = results[recipe]
    least = min(run["evaluations"] for run in runs)
    text = (
        f"Seeds: {len(runs)}. Accuracy is the mean of the evaluations in the last 15 % of the tokens generated in "
        f"training (here at least {least}). Means ± standard deviations over the seeds; comparisons are paired by "
        "seed, with 95 % t-intervals. CPU seconds are without evaluation and without a profiling pass; tokens, "
        "rollouts and FLOPs are with the profile. Made by `benchmarks/methods.py`; every run and curve is in "
        f"`benchmarks/methods.json`. {arms.made_words(run for runs in compared for run in runs)}"
    )
    return [text]


def _by_chance(results: Results) -> list[str]:
    number = len(results) - 1
    return [
        "",
        f"Of {number} intervals at 95 %, {0.05 * number:.1f} leave out 0 by chance alone on average; none is corrected "
        "for that.",
    ]
