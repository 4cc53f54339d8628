"""The measured regimes: what recipes came to beside a baseline, and the numbers of the data on which they did.

``measured.json`` is written from the results of the benchmarks by ``docs/make_choosing.py``, and never by hand.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from rekindle.statistics.intervals import Interval

__all__ = ["BASE", "FIRST_STEP", "Comparison", "Difference", "MeasuredRegime", "measured_regimes", "regime_of_json"]

BASE = "grpo"
"""The recipe that others are compared with."""
FIRST_STEP = "the first step"


@dataclass(frozen=True, slots=True)
class Difference:
    """A recipe's value less the baseline's, or over it, paired by seed.

    Attributes:
        mean: Mean difference, or geometric mean of the ratios.
        interval: 95 % interval by Student's t; not known of a single seed.
        p: Two-sided p-value of no difference; nan where it is not known.
        seeds: Number of pairs.
    """

    mean: float
    interval: Interval
    p: float
    seeds: int

    def side(self, same: float = 0.0) -> int:
        """1 where the whole interval is above ``same``, -1 where it is below, else 0: no difference is seen."""
        if not self.interval.known or self.interval.holds(same):
            return 0
        return 1 if self.interval.low > same else -1


@dataclass(frozen=True, slots=True)
class Comparison:
    """A recipe beside the baseline of its regime.

    Attributes:
        arm: Its name on the page.
        recipe: Its name.
        settings: What differs from the recipe, ``key=value`` each.
        accuracy: Difference of the accuracy at an equal cost, by cost: ``rollouts``, ``tokens``, ``flops``.
        spent: Ratio of costs of whole runs, by cost.
        to_target: Ratio of the costs at which the accuracy is reached that the baseline ends with, by cost; without
            those that a run did not reach.
    """

    arm: str
    recipe: str
    settings: tuple[str, ...]
    accuracy: Mapping[str, Difference]
    spent: Mapping[str, Difference]
    to_target: Mapping[str, Difference]

    @property
    def ends(self) -> Difference | None:
        """Difference of the accuracy at equal rollouts; at equal tokens where rollouts were not compared."""
        return self.accuracy.get("rollouts", self.accuracy.get("tokens"))


@dataclass(frozen=True, slots=True)
class MeasuredRegime:
    """A task at a budget, on which recipes were compared.

    Attributes:
        name: Name, told apart from all others.
        words: What it is.
        page: The page with the evidence, in ``docs``.
        made: Dates and revisions of the runs.
        baseline: Recipe that the others are compared with.
        axes: What the regime is told by (``chooser.AXES``); without what is not known.
        start: Groups of which the shares without a difference of rewards are, e.g. "the first step".
        comparisons: The other arms.
    """

    name: str
    words: str
    page: str
    made: str
    baseline: str
    axes: Mapping[str, float]
    start: str
    comparisons: tuple[Comparison, ...]

    def of_recipes(self) -> list[Comparison]:
        """One comparison of each recipe: of several arms the one with fewest settings, the first of those."""
        best = dict[str, Comparison]()
        for one in self.comparisons:
            if one.recipe not in best or len(one.settings) < len(best[one.recipe].settings):
                best[one.recipe] = one
        return list(best.values())


@cache
def measured_regimes() -> tuple[MeasuredRegime, ...]:
    """What this release knows."""
    text = files("rekindle.planning").joinpath("measured.json").read_text(encoding="utf-8")
    return tuple(map(regime_of_json, json.loads(text)["regimes"]))


def regime_of_json(found: Mapping[str, Any]) -> MeasuredRegime:
    """A regime as it stands in the file."""
    return MeasuredRegime(
        **{key: found[key] for key in ("name", "words", "page", "made", "baseline", "axes", "start")},
        comparisons=tuple(
            Comparison(
                arm=one["arm"],
                recipe=one["recipe"],
                settings=tuple(one["settings"]),
                **{part: _differences(one[part]) for part in ("accuracy", "spent", "to_target")},
            )
            for one in found["comparisons"]
        ),
    )


def _differences(found: Mapping[str, Any]) -> dict[str, Difference]:
    return {
        cost: Difference(
            one["mean"], Interval(_number(one["low"]), _number(one["high"])), _number(one["p"]), one["seeds"]
        )
        for cost, one in found.items()
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else value
