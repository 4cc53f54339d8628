"""The choice in words: sentences for terminal and page, and the cells of its tables."""

import math
from collections.abc import Iterator, Mapping

from rekindle.observability.formatting import counted
from rekindle.planning.chooser import AXES, Choice, Near, Standing
from rekindle.planning.measured import BASE, FIRST_STEP, Comparison, Difference
from rekindle.statistics.words import NO_DIFFERENCE

__all__ = [
    "AXES_HEAD",
    "STANDINGS_HEAD",
    "axes_rows",
    "called",
    "difference_words",
    "flops_words",
    "ratio_words",
    "said",
    "standing_rows",
]

DOCS, UNKNOWN = "docs/", "-"
MOST_NAMED = 8
"""Recipes without a difference that are named."""
AXES_HEAD = ("", "yours", "nearest", "difference, of what is still alike")
STANDINGS_HEAD = (
    "recipe",
    "accuracy, less grpo's",
    "verdict",
    "corrected p",
    "FLOPs, over grpo's",
    "FLOPs to grpo's accuracy, over its",
    "measured in",
)
SEEN = {1: "ahead", 0: NO_DIFFERENCE, -1: "behind"}


def said(choice: Choice) -> Iterator[str]:
    """What is recommended and on what grounds, in a few sentences."""
    if not choice.near:
        yield f"No measured regime can be compared with yours, so nothing but {BASE} is recommended."
    elif not choice.like:
        yield f"No regime like yours was measured, so nothing but {BASE} is recommended. {_far(choice.near[0])}"
    else:
        yield _recommended(choice)
        yield _like(choice)
        yield from _cheaper(choice)
        yield from _others(choice)


def _far(near: Near) -> str:
    return (
        f"The nearest is {_cited(near)}, at {near.distance:.1f} times the distance up to which regimes are alike, by "
        f"{_values(near)}."
    )


def _like(choice: Choice) -> str:
    """How many are alike, which is nearest, and how near it is."""
    near = choice.like[0]
    unknown = [axis.words for key, axis in AXES.items() if key not in near.apart]
    left_out = f" Not compared: {', '.join(unknown)}." if unknown else ""
    start = "" if near.regime.start == FIRST_STEP else f" Its shares without signal are of {near.regime.start}."
    return (
        f"{counted(len(choice.like), 'measured regime')} like yours; the nearest is {_cited(near)}, at "
        f"{near.distance:.2f} of the distance up to which regimes are alike, by {_values(near)}.{start}{left_out}"
    )


def _cited(near: Near) -> str:
    return f"{near.regime.words} ({DOCS}{near.regime.page})"


def _values(near: Near) -> str:
    """The number on which they differ most, there and here."""
    name = near.furthest
    axis = AXES[name]
    return f"{axis.words} ({axis.shown(near.regime.axes[name])}, yours {axis.shown(near.own[name])})"


def _recommended(choice: Choice) -> str:
    number = counted(len(choice.accuracy), "recipe")
    if choice.ahead is not None:
        return f"Recommended by measurement: {_gain(choice.ahead)} P-values are corrected for {number} by Holm's rule."
    if choice.accuracy:
        return (
            f"Recommended by measurement: {BASE}. Of {number} compared with it in regimes like yours none ended "
            "clearly above it (p-values corrected by Holm's rule)."
        )
    return f"No recipe was compared with {BASE} in regimes like yours, so nothing but {BASE} is recommended."


def _gain(one: Standing) -> str:
    """By how much the recipe is ahead, and what it costs."""
    words = f"{called(one.comparison)}. It ended above {BASE} by {difference_words(one.difference)} in {_where(one)}"
    spent, at_flops = one.comparison.spent.get("flops"), one.comparison.accuracy.get("flops")
    if spent is not None:
        words += f", with {ratio_words(spent)} its FLOPs"
    if at_flops is not None:
        words += f"; at equal FLOPs by {difference_words(at_flops)}"
    return f"{words}." + (" That pays where generation is what costs." if spent and spent.side(1.0) > 0 else "")


def _cheaper(choice: Choice) -> Iterator[str]:
    if (one := choice.cheaper) is not None:
        yield (
            f"{called(one.comparison)} reaches the accuracy that {BASE} ends with at {ratio_words(one.difference)} its "
            f"FLOPs ({_where(one)})."
        )


def _others(choice: Choice) -> Iterator[str]:
    """Others that are ahead or behind, with their numbers, and those of which no difference was seen."""
    ahead = [one for one in choice.accuracy if one.side > 0 and one is not choice.ahead]
    behind = [one for one in reversed(choice.accuracy) if one.side < 0]
    for words, found in ((f"Above {BASE}, too", ahead), (f"Below {BASE}", behind)):
        if found:
            sizes = (f"{called(one.comparison)} {difference_words(one.difference)}" for one in found)
            yield f"{words}: {'; '.join(sizes)}."
    same = [called(one.comparison) for one in choice.accuracy if not one.side and not one.against]
    if same and (choice.ahead is not None or behind):
        shown = ", ".join(same) if len(same) <= MOST_NAMED else f"{len(same)} other recipes ({DOCS}choosing.md)"
        yield f"No difference to {BASE} seen of {shown}."
    torn = [f"{called(one.comparison)} ({', '.join(one.against)})" for one in choice.accuracy if one.against]
    if torn:
        yield f"Left open, because another regime like yours shows the opposite: {', '.join(torn)}."


def _where(one: Standing) -> str:
    return f"{one.regime.words}, {counted(one.difference.seeds, 'seed')}"


def called(one: Comparison) -> str:
    """The recipe and what is set beside it."""
    return f"{one.recipe} ({', '.join(one.settings)})" if one.settings else one.recipe


def difference_words(one: Difference) -> str:
    """``+0.030 (+0.015 to +0.045)``."""
    if not one.interval.known:
        return f"{one.mean:+.3f} (one seed)"
    return f"{one.mean:+.3f} ({one.interval.low:+.3f} to {one.interval.high:+.3f})"


def ratio_words(one: Difference) -> str:
    """``0.95 times (0.94 to 0.96)``."""
    if not one.interval.known:
        return f"{one.mean:.2f} times (one seed)"
    return f"{one.mean:.2f} times ({one.interval.low:.2f} to {one.interval.high:.2f})"


def flops_words(ratios: Mapping[str, Difference]) -> str:
    """The ratio of FLOPs; "-" where it is not known."""
    return ratio_words(ratios["flops"]) if "flops" in ratios else UNKNOWN


def axes_rows(near: Near) -> Iterator[tuple[str, ...]]:
    """The user's numbers beside those of a measured regime."""
    for name, axis in AXES.items():
        own, theirs = near.own.get(name), near.regime.axes.get(name)
        values = [axis.shown(value) if value is not None and axis.known(value) else UNKNOWN for value in (own, theirs)]
        yield axis.words, *values, f"{near.apart[name]:.2f}" if name in near.apart else UNKNOWN


def standing_rows(choice: Choice) -> Iterator[tuple[str, ...]]:
    """A row per recipe that was compared in a regime like the user's."""
    for one in choice.accuracy:
        yield (
            called(one.comparison),
            difference_words(one.difference),
            SEEN[one.side],
            UNKNOWN if math.isnan(one.adjusted) else f"{one.adjusted:.3f}",
            flops_words(one.comparison.spent),
            flops_words(one.comparison.to_target),
            f"{one.regime.words} ({DOCS}{one.regime.page})",
        )
