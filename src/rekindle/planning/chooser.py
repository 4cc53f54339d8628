"""The chooser: which recipe was ahead in the measured regimes that are like a user's, and by how much.

A regime is told by the numbers of ``AXES``. Two regimes are as far apart as they are on the axis on which they differ
most, in units of the axis's reach; axes that one of them does not know are left out. They are alike where no axis
differs by more than its reach.

Of the regimes like the user's, the nearest in which a recipe was compared with GRPO speaks for it. A recipe is ahead
where the interval of its difference leaves out 0, the p-value corrected by Holm's rule over the recipes that are looked
at is at most .05, and no other regime like the user's shows the opposite. Recipes that are ahead and whose intervals
overlap with the best one's are ties, and the one with fewest FLOPs is taken. Where none is ahead, it is GRPO.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from rekindle.observability.formatting import compact, grouped
from rekindle.planning.measured import BASE, Comparison, Difference, MeasuredRegime
from rekindle.statistics.comparisons import holm
from rekindle.statistics.intervals import LEVEL

__all__ = ["AXES", "Axis", "Choice", "Near", "Standing", "choose", "distance", "size_of", "standings"]


@dataclass(frozen=True, slots=True)
class Axis:
    """A number that tells regimes apart.

    Attributes:
        words: What it is.
        reach: Difference up to which two regimes are alike.
        shown: Shows a value.
        as_ratio: The difference is a factor, and values are above 0; else values are shares.
    """

    words: str
    reach: float
    shown: Callable[[float], str]
    as_ratio: bool = False

    def known(self, value: float | None) -> bool:
        """Whether a value can be compared."""
        if value is None or not math.isfinite(value):
            return False
        return value > 0 if self.as_ratio else 0 <= value <= 1

    def apart(self, one: float, other: float) -> float:
        """How far two known values are apart, in units of the reach."""
        if self.as_ratio:
            return abs(math.log(one) - math.log(other)) / math.log(self.reach)
        return abs(one - other) / self.reach


AXES: Mapping[str, Axis] = MappingProxyType(
    {
        "never": Axis("groups all wrong at the start", 0.2, "{:.2f}".format),
        "always": Axis("groups all correct at the start", 0.2, "{:.2f}".format),
        "visits": Axis("visits of a prompt", 4.0, "{:.3g}".format, as_ratio=True),
        "completion_tokens": Axis("tokens of a completion", 16.0, grouped, as_ratio=True),
        "prompt_tokens": Axis("tokens of a prompt", 16.0, grouped, as_ratio=True),
        "generation_share": Axis("generation's share of GRPO's FLOPs", 0.3, "{:.2f}".format),
        "group_size": Axis("group size", 4.0, grouped, as_ratio=True),
        "parameters": Axis("parameters of the model", 100.0, compact, as_ratio=True),
    }
)
"""What tells regimes apart, and how far two of them may differ and be alike."""
NEEDED = ("never", "always")
"""Without these a regime is compared with none."""

Axes = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Near:
    """A measured regime beside the user's.

    Attributes:
        regime: The measured one.
        own: The user's numbers, at its group size.
        apart: Distance by axis, in units of the reach, of the axes that both know.
    """

    regime: MeasuredRegime
    own: Axes
    apart: Mapping[str, float]

    @property
    def distance(self) -> float:
        """The largest of them; infinite where the regimes cannot be compared."""
        if any(name not in self.apart for name in NEEDED):
            return math.inf
        return max(self.apart.values())

    @property
    def furthest(self) -> str:
        """The axis on which they differ most; the first of several."""
        return max(self.apart, key=lambda name: (self.apart[name], -list(AXES).index(name)))

    @property
    def is_like(self) -> bool:
        """Whether no axis differs by more than its reach."""
        return self.distance <= 1

    @property
    def order(self) -> tuple[float, int, float, str]:
        """The nearest first; then those that are known on more axes, then the nearest on all of them together."""
        return self.distance, -len(self.apart), sum(self.apart.values()), self.regime.name


@dataclass(frozen=True, slots=True)
class Standing:
    """What the nearest regime that has a recipe says of it.

    Attributes:
        comparison: The recipe there.
        regime: The regime.
        difference: Of the accuracy, or the ratio of the FLOPs to the accuracy that the baseline ends with.
        adjusted: p-value corrected for all recipes that are looked at; nan where it is not known.
        side: 1 where it is clearly above the baseline, -1 where it is clearly below, 0 where no difference is seen.
        against: Names of other regimes like the user's that show the opposite.
    """

    comparison: Comparison
    regime: MeasuredRegime
    difference: Difference
    adjusted: float
    side: int
    against: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """What the measurements say to a user.

    Attributes:
        near: All regimes that can be compared, the nearest first.
        accuracy: Recipes compared in regimes like the user's, by accuracy at equal rollouts, the best first.
        cost: The same by FLOPs to the accuracy that GRPO ends with, the cheapest first.
        ahead: The recipe that ends above GRPO; None: none does, so it is GRPO.
        cheaper: The recipe that is there with fewest FLOPs; None: none needs clearly fewer than GRPO.
    """

    near: tuple[Near, ...]
    accuracy: tuple[Standing, ...] = ()
    cost: tuple[Standing, ...] = ()
    ahead: Standing | None = None
    cheaper: Standing | None = None

    @property
    def like(self) -> tuple[Near, ...]:
        """The regimes like the user's."""
        return tuple(one for one in self.near if one.is_like)


def distance(own: Axes, regime: MeasuredRegime) -> Near:
    """A measured regime beside the user's numbers, of which some may be missing or nan."""
    apart = {
        name: axis.apart(own[name], regime.axes[name])
        for name, axis in AXES.items()
        if axis.known(own.get(name)) and axis.known(regime.axes.get(name))
    }
    return Near(regime, own, apart)


def choose(owns: Mapping[int, Axes], regimes: Iterable[MeasuredRegime]) -> Choice:
    """What the measured regimes say.

    Args:
        owns: The user's numbers by group size; a regime whose group size has none is left out.
        regimes: In any order.
    """
    found = [distance(owns[size], one) for one in regimes if (size := size_of(one)) in owns]
    near = tuple(sorted((one for one in found if math.isfinite(one.distance)), key=lambda one: one.order))
    like = [one.regime for one in near if one.is_like and one.regime.baseline == BASE]
    accuracy = _sorted(_spoken_for(like, of_cost=False), best_high=True)
    cost = _sorted(_spoken_for(like, of_cost=True), best_high=False)
    return Choice(near, accuracy, cost, _best(accuracy, side=1), _best(cost, side=-1))


def size_of(regime: MeasuredRegime) -> int:
    """The group size of a regime; 0 where it is not known."""
    size = regime.axes.get("group_size")
    return round(size) if size is not None and AXES["group_size"].known(size) else 0


def standings(regime: MeasuredRegime, *, of_cost: bool = False) -> list[Standing]:
    """The recipes of one regime, corrected among themselves."""
    return _spoken_for([regime], of_cost=of_cost)


def _spoken_for(regimes: Sequence[MeasuredRegime], *, of_cost: bool) -> list[Standing]:
    """Each recipe as the nearest regime that has it says, the p-values corrected together."""
    same = 1.0 if of_cost else 0.0
    found = dict[str, list[tuple[Comparison, MeasuredRegime, Difference]]]()
    for regime in regimes:
        for one in regime.of_recipes():
            difference = one.to_target.get("flops") if of_cost else one.ends
            if difference is not None and math.isfinite(difference.mean):
                found.setdefault(one.recipe, []).append((one, regime, difference))
    firsts = [several[0] for several in found.values()]
    adjusted = holm([difference.p for _, _, difference in firsts])
    standing = []
    for (one, regime, difference), p in zip(firsts, adjusted, strict=True):
        seen = difference.side(same)
        opposite = tuple(there.name for _, there, other in found[one.recipe][1:] if seen and other.side(same) == -seen)
        side = seen if p <= 1 - LEVEL and not opposite else 0  # nan is no evidence
        standing.append(Standing(one, regime, difference, p, side, opposite))
    return standing


def _sorted(found: Iterable[Standing], *, best_high: bool) -> tuple[Standing, ...]:
    sign = -1 if best_high else 1
    return tuple(sorted(found, key=lambda one: (sign * one.difference.mean, one.comparison.recipe)))


def _best(found: Sequence[Standing], side: int) -> Standing | None:
    """Of those on the wished side: the best, or a tie with it that spends fewer FLOPs."""
    clear = [one for one in found if one.side == side]
    if not clear:
        return None
    best = clear[0].difference.interval
    ties = [
        one for one in clear if one.difference.interval.low <= best.high and best.low <= one.difference.interval.high
    ]
    return min(ties, key=_flops)


def _flops(one: Standing) -> float:
    spent = one.comparison.spent.get("flops")
    return math.inf if spent is None else spent.mean
