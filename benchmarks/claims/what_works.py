"""The page "What works when": a sentence for every recipe that differs from GRPO, and the headlines of the claims.

It fits on a screen: where there is more to say, details are left to the pages that it links to.
"""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

import arms
from claims.claim import Claim, Finding
from claims.command import CLAIMS, read
from claims.values import HOLDS, NO_DIFFERENCE, REVERSED, UNKNOWN, Verdict, verdict
from rekindle.planning.chooser import Standing, standings
from rekindle.planning.measured import BASE, MeasuredRegime

__all__ = ["PAGE", "SCREEN", "WIDTH", "page", "screen_lines"]

PAGE = arms.ROOT / "docs" / "what_works_when.md"
SCREEN, WIDTH = 45, 128
"""Lines of a screen, and letters of a line, without the addresses of links."""
SIZES, PLACES, LINKS = 2, 1, 0
"""Details: where, and how large a difference is; where; a link to each place, and of claims its first word."""
MOST_NAMED = 8
"""Recipes without a difference that are named."""
COLUMNS = {
    HOLDS: "holds",
    NO_DIFFERENCE: "no difference seen",
    REVERSED: "the opposite holds",
    UNKNOWN: "not decided",
}
"""Verdict -> heading of its column."""
KINDS = (
    (False, 1, "ended above `grpo`"),
    (True, -1, "reached the accuracy of `grpo` with fewer FLOPs"),
    (False, -1, "ended below `grpo`"),
    (True, 1, "needed more FLOPs for the accuracy of `grpo`"),
)
"""Of the cost, side, and words of a difference."""
INTRODUCTION = """\
# What works when

Written by `python docs/make_choosing.py` from what was measured. A finding is decided by the 95 % interval of a
difference that is paired by seed, by a rule that was stated before the runs ([evidence](evidence/README.md)). A recipe
is above or below `grpo` where the interval leaves out 0 and the p-value, corrected by Holm's rule over the recipes of
its regime, is at most .05. `rekindle plan` finds the regimes [like yours](choosing.md#what-was-measured).
"""

Found = Mapping[str, list[tuple[Finding, Verdict]]]
"""Verdict -> the findings of a claim."""


def page(regimes: Sequence[MeasuredRegime]) -> str:
    """The page, with as many details as fit on a screen."""
    pages = [_page(regimes, detail=detail) for detail in (SIZES, PLACES, LINKS)]
    return next((text for text in pages if screen_lines(text) <= SCREEN), pages[-1])


def screen_lines(text: str) -> int:
    """Lines of a page on a screen."""
    shown = (line.replace("](", "]\0(") for line in text.splitlines())
    return sum(max(1, len(textwrap.wrap(_without_addresses(line), WIDTH))) for line in shown)


def _without_addresses(line: str) -> str:
    before, *rest = line.split("]\0(")
    return "".join([before, *(part.partition(")")[2] for part in rest)])


def _page(regimes: Sequence[MeasuredRegime], *, detail: int) -> str:
    parts = [
        INTRODUCTION,
        "## Beside GRPO\n",
        *_beside_grpo(regimes, detail=detail),
        "",
        "## What the claims came to\n",
        f"| finding | {' | '.join(COLUMNS.values())} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    missing = []
    for claim in CLAIMS.values():
        parts += _rows(claim, _verdicts(claim), detail=detail)
        if any(setting not in read(claim)["settings"] for setting in claim.settings):
            missing.append(f"[{claim.title.partition(':')[0]}](evidence/{claim.name}.md)")
    if missing:
        parts.append(f"\nNot measured yet, in whole or in part: {', '.join(missing)}.")
    return "\n".join(parts) + "\n"


# -- recipes ----------------------------------------------------------------------------------------------------------


def _beside_grpo(regimes: Sequence[MeasuredRegime], *, detail: int) -> Iterator[str]:
    """Sentences for the recipes that differ from GRPO somewhere, by kind of difference, and one for the others."""
    plain = [one for one in regimes if one.baseline == BASE]
    found = {of_cost: _by_recipe(plain, of_cost=of_cost) for of_cost in (False, True)}
    for of_cost, side, words in KINDS:
        clear = {
            recipe: places
            for recipe, several in found[of_cost].items()
            if (places := [one for one in several if one.side == side])
        }
        if detail == SIZES:
            for recipe, places in clear.items():
                number = len(found[of_cost][recipe])
                yield f"- {_named(recipe)} {words} in {_places(places, number, of_cost=of_cost)}."
        elif clear:
            shown = (_counted(recipe, places, len(found[of_cost][recipe])) for recipe, places in clear.items())
            yield f"- In so many of their regimes these {words}: {'; '.join(shown)}."
    others = [_named(recipe) for recipe, several in found[False].items() if not any(one.side for one in several)]
    if others:
        shown_others = ", ".join(others) if len(others) <= MOST_NAMED else f"{len(others)} further recipes"
        yield f"- No difference in accuracy was seen of {shown_others} ([table](choosing.md#what-was-measured))."


def _counted(recipe: str, found: Sequence[Standing], number: int) -> str:
    return f"{_named(recipe)} in {len(found)} of {number} ({_numbered([one.regime.page for one in found])})"


def _numbered(pages: Sequence[str]) -> str:
    """Links called 1, 2, 3."""
    return ", ".join(f"[{number}]({page})" for number, page in enumerate(pages, 1))


def _by_recipe(regimes: Sequence[MeasuredRegime], *, of_cost: bool) -> dict[str, list[Standing]]:
    found = dict[str, list[Standing]]()
    for regime in regimes:
        for one in standings(regime, of_cost=of_cost):
            found.setdefault(one.comparison.recipe, []).append(one)
    return found


def _named(recipe: str) -> str:
    return f"`{recipe}`" + (" with other settings" if recipe == BASE else "")


def _places(found: Sequence[Standing], number: int, *, of_cost: bool) -> str:
    form = "x {:.2f}" if of_cost else "{:+.3f}"
    places = [f"[{one.regime.words}]({one.regime.page}) ({form.format(one.difference.mean)})" for one in found]
    return f"{len(found)} of {number} regimes: {'; '.join(places)}"


# -- claims -----------------------------------------------------------------------------------------------------------


def _verdicts(claim: Claim) -> Found:
    """The findings whose setting was measured, by verdict."""
    measured, found = read(claim)["settings"], dict[str, list[tuple[Finding, Verdict]]]()
    for finding in claim.findings:
        if finding.setting in measured:
            made = verdict(finding, measured[finding.setting])
            found.setdefault(made.word, []).append((finding, made))
    return found


def _rows(claim: Claim, found: Found, *, detail: int) -> Iterator[str]:
    """A row for each headline of a claim: where it holds, where no difference is seen, where the opposite holds."""
    for words in claim.headlines:
        of_words = {
            word: [(one, made) for one, made in several if one.words == words] for word, several in found.items()
        }
        if any(of_words.values()):
            cells = [_places_of(claim, of_words.get(word, ()), detail=detail) for word in COLUMNS]
            yield f"| {words} | {' | '.join(cells)} |"


def _places_of(claim: Claim, found: Iterable[tuple[Finding, Verdict]], *, detail: int) -> str:
    pages = [(f"evidence/{claim.name}.md#{one.setting.replace('_', '-')}", one, made) for one, made in found]
    if detail == LINKS:
        return ", ".join(f"[{one.setting.partition('_')[0]}]({page})" for page, one, _ in pages)
    return "; ".join(
        f"[{one.setting.replace('_', ' ')}]({page}){_size(one, made) if detail == SIZES else ''}"
        for page, one, made in pages
    )


def _size(finding: Finding, made: Verdict) -> str:
    if made.word == UNKNOWN:
        return ""
    mean = made.paired.mean
    bound = f" {made.bound}" if made.bound else ""
    return f"{bound} x {math.exp(mean):.2f}" if finding.as_ratio else f" {mean:+.3f}"
