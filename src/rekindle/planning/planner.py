"""A plan: the recipes at each group size, by closed form or by simulated runs of their schedulers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.planning.belief import RateBelief, believe
from rekindle.planning.closed_form import closed_form_totals
from rekindle.planning.cluster_plan import ClusterArm, ClusterPlan, plan_on_cluster
from rekindle.planning.gains import GAIN, drawn_gains
from rekindle.planning.pass_rates import Floats, PassRates
from rekindle.planning.plan_recipes import Arm, has_closed_form
from rekindle.planning.simulation import simulated_totals
from rekindle.planning.totals import Horizon, Totals
from rekindle.scheduling.history import TaskIds
from rekindle.scheduling.profiling import ProfileError

if TYPE_CHECKING:
    from rekindle.planning.chooser import Choice

__all__ = ["FASTER", "ArmPlan", "Plan", "PlanSettings", "Progress", "make_plan"]

FASTER = 3.0
"""Factor of the gain in the table of what it changes."""
RUNS, FEWEST_RUNS, GROUPS_AT_ONCE, SENSITIVITY_RUNS = 10, 2, 50_000, 2
"""Simulated runs of a recipe; of large pools fewer, so that they have about so many groups together."""

Progress = Callable[[str, float], None]
"""(what is done, part of the whole)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What is planned.

    Attributes:
        prompts: Of the pool.
        horizon: Where the plan of a recipe ends.
        words: The horizon in words, e.g. "one epoch".
        gain: Rise of the ability in an update full of signal; 0: a policy that does not learn.
        gain_known: Whether it was measured or given, so that it has no spread.
        seed: Of all draws.
    """

    prompts: int
    horizon: Horizon
    words: str
    gain: float = GAIN
    gain_known: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ArmPlan:
    """The plan of a recipe at a group size.

    Attributes:
        arm: Recipe and size.
        totals: Of simulated runs, or of the draws of a closed form; run i has the rates of draw i.
        simulated: Whether its scheduler was run.
        frozen: Totals if the policy did not learn.
        faster: Totals if it learned ``FASTER`` times as fast.
    """

    arm: Arm
    totals: Totals
    simulated: bool
    frozen: Totals | None = None
    faster: Totals | None = None


@dataclass(slots=True)
class Plan:
    """What was found.

    Attributes:
        rates: What is known of the pool.
        belief: What it says.
        settings: What was planned.
        arms: In the order asked for.
        left_out: A sentence for each recipe without a plan.
        interrupted: Whether the user ended it; then ``arms`` has what was finished.
        on_cluster: Recipes on a cluster.
        parameters: Of the model; 0 where they are not known.
    """

    rates: PassRates
    belief: RateBelief
    settings: PlanSettings
    arms: list[ArmPlan] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    interrupted: bool = False
    on_cluster: list[ClusterArm] = field(default_factory=list)
    parameters: int = 0

    def arm(self, recipe: str, size: int | None) -> ArmPlan | None:
        """The plan of a recipe at a size."""
        return next((one for one in self.arms if (one.arm.recipe, one.arm.size) == (recipe, size)), None)

    @property
    def choice(self) -> "Choice":
        """What was measured in regimes like this one: which recipe was ahead, and by how much."""
        from rekindle.planning.own_regime import choice_of

        return choice_of(self)

    @property
    def advice(self) -> list[str]:
        """What to do, in a few sentences: by what was measured in such regimes, then by the plan's numbers."""
        from rekindle.planning.advice import advice
        from rekindle.planning.choice_words import said

        return [*said(self.choice), *advice(self)]

    @property
    def text(self) -> str:
        """The table and the advice, for a terminal."""
        from rekindle.planning.plan_table import plan_lines

        return "\n".join(plan_lines(self, self.parameters, self.advice))

    def write(self, path: str | Path) -> None:
        """Write the page, an HTML file.

        Raises:
            UserError: It cannot be written.
        """
        from rekindle.planning.plan_page import write_page

        write_page(self, self.parameters, self.advice, Path(path))


class _EndedError(Exception):
    """The user has ended the plan."""


def make_plan(
    rates: PassRates,
    arms: Sequence[Arm],
    settings: PlanSettings,
    progress: Progress = lambda _, __: None,
    ended: Callable[[], bool] = lambda: False,
    cluster: ClusterPlan | None = None,
) -> Plan:
    """Plan all arms.

    Args:
        rates: What is known of the pool.
        arms: What to plan.
        settings: How far, and with which assumptions.
        progress: Called often.
        ended: Called after every step of a simulated run; True ends the plan with what is finished.
        cluster: A cluster to run the recipes on; recipes without a closed form then have this one run.
    """
    progress("success rates", 0.0)
    belief = believe(rates, settings.seed)
    plan = Plan(rates, belief, settings)
    gains = drawn_gains(settings.gain, len(belief), known=settings.gain_known)
    ids = None if cluster is None else TaskIds(map(str, range(settings.prompts)))
    for number, arm in enumerate(arms):

        def step(part: float, number: int = number, arm: Arm = arm) -> None:
            if ended():
                raise _EndedError
            progress(arm.name, (number + part) / len(arms))

        try:
            if cluster is None or ids is None:
                plan.arms.append(_planned(arm, plan, gains, step))
            else:
                _on_cluster(arm, plan, gains, cluster, ids, step)
        except _EndedError:
            plan.interrupted = True
            break
        except ProfileError as error:
            plan.left_out.append(f"{arm.recipe} cannot be planned: {error}.")
    return plan


def _on_cluster(
    arm: Arm, plan: Plan, gains: Floats, cluster: ClusterPlan, ids: TaskIds, step: Callable[[float], None]
) -> None:
    """Run an arm on the cluster with each number of steps ahead, and add it to the plan."""
    for number, lag in enumerate(cluster.lags):

        def goes_on(updates: int, number: int = number) -> bool:
            try:
                step((number + updates / cluster.steps) / len(cluster.lags))
            except _EndedError:
                return False
            return True

        step(number / len(cluster.lags))
        plan.on_cluster.append(
            plan_on_cluster(arm, lag, plan.belief, plan.settings.prompts, float(gains[0]), cluster, ids, goes_on)
        )
        if not number and not has_closed_form(arm.config, plan.settings.prompts):
            plan.arms.append(ArmPlan(arm, plan.on_cluster[-1].totals, simulated=True))
    if has_closed_form(arm.config, plan.settings.prompts):
        plan.arms.append(ArmPlan(arm, _totals(arm, plan, gains, simulated=False, step=step), simulated=False))


def _planned(arm: Arm, plan: Plan, gains: Floats, step: Callable[[float], None]) -> ArmPlan:
    """The plan of one arm, and what the gain changes."""
    simulated = not has_closed_form(arm.config, plan.settings.prompts)
    runs = min(RUNS, max(FEWEST_RUNS, GROUPS_AT_ONCE // plan.settings.prompts)) if simulated else len(gains)
    few = min(runs, SENSITIVITY_RUNS) if simulated else len(gains)
    parts = [(runs, gains), (few, 0 * gains), (few, FASTER * gains)]
    if not gains.any():
        parts = parts[:1]
    whole, done, found = sum(count for count, _ in parts), 0, list[Totals]()
    for count, one in parts:

        def part(share: float, done: int = done, count: int = count) -> None:
            step((done + share * count) / whole)

        found.append(_totals(arm, plan, one[:count], simulated=simulated, step=part))
        done += count
    return ArmPlan(arm, found[0], simulated, *found[1:])


def _totals(arm: Arm, plan: Plan, gains: Floats, *, simulated: bool, step: Callable[[float], None]) -> Totals:
    settings, belief = plan.settings, plan.belief
    if not simulated:
        step(0.0)
        return closed_form_totals(arm.config, belief, gains, settings.horizon, settings.prompts, settings.seed)
    return Totals.joined(
        [
            simulated_totals(
                arm.config,
                belief,
                draw,
                gain,
                settings.horizon,
                settings.prompts,
                lambda share, draw=draw: step((draw + share) / len(gains)),  # type: ignore[misc]
            )
            for draw, gain in enumerate(gains.tolist())
        ]
    )
