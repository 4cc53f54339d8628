"""The page of a plan: one HTML file in the frame of the report."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from rekindle.evaluation.atomic_write import atomic_write
from rekindle.observability import page
from rekindle.observability.formatting import compact, counted, duration, excerpt, grouped, percent
from rekindle.observability.svg import Bar, Layer, horizontal_bars, stacked_columns
from rekindle.planning.choice_words import AXES_HEAD, STANDINGS_HEAD, axes_rows, standing_rows
from rekindle.planning.chooser import Choice
from rekindle.planning.measures import interval
from rekindle.planning.pass_rates import PassRates
from rekindle.planning.plan_table import CLUSTER_HEAD, COSTS, HEAD, cells, cluster_cells, notes
from rekindle.planning.planner import FASTER, ArmPlan, Plan
from rekindle.planning.simulated_policy import STEPS, UNEVENNESS
from rekindle.planning.totals import interval_of
from rekindle.types import UserError

__all__ = ["assumptions", "render_page", "write_page"]

BINS, MOST_COLUMNS = 10, 32
LONGEST_NAME = 200
INTERVALS = "95 % intervals in parentheses."
ALIKE = "Regimes are alike where no number in the last column is above 1."
CORRECTED = (
    "At equal rollouts or tokens, paired by seed, 95 % intervals in parentheses, each in the nearest regime with it. "
    "A verdict holds for all rows together: p-values are corrected by Holm's rule."
)


def write_page(plan: Plan, parameters: int, said: Sequence[str], out: Path) -> None:
    """Write the page; an existing file is replaced.

    Raises:
        UserError: The file cannot be written.
    """
    with atomic_write(out, UserError, "choose another --out") as partial:
        partial.write_text(render_page(plan, parameters, said), encoding="utf-8", errors="replace")


def render_page(plan: Plan, parameters: int, said: Sequence[str]) -> str:
    """The page as text."""
    parts = [
        _head(plan, said),
        _profile(plan),
        _recipes(plan, parameters),
        _measured(plan.choice),
        _cluster(plan),
        _assumptions(plan),
        page.footer("Written by rekindle plan. Hover over a chart for its numbers."),
    ]
    return page.document("Plan of a run", "\n".join(part for part in parts if part))


def _head(plan: Plan, said: Sequence[str]) -> str:
    source = excerpt(plan.rates.source, LONGEST_NAME)
    return "\n".join(
        [
            "<header>",
            page.paragraph(f"From {source}", "over"),
            page.heading(f"What {plan.settings.words} will cost and how much of it has signal"),
            *(page.paragraph(sentence, "advice" if not number else "") for number, sentence in enumerate(said)),
            page.paragraph("Interrupted: what is missing was not planned.", "alarm") if plan.interrupted else "",
            page.tiles(_tiles(plan)),
            "</header>",
        ]
    )


def _tiles(plan: Plan) -> Iterator[tuple[str, str, str]]:
    rates = plan.rates
    yield "Prompts", compact(plan.settings.prompts), f"{grouped(rates.measured)} measured"
    samples = "not known" if rates.rates_only else f"at most {rates.most_samples} a prompt"
    yield "Mean success rate", f"{rates.mean:.2f}", samples
    yield "Never solved", percent(rates.never, rates.measured), counted(rates.never, "prompt")
    yield "Always solved", percent(rates.always, rates.measured), counted(rates.always, "prompt")


def _profile(plan: Plan) -> str:
    rates, belief = plan.rates, plan.belief
    number = rates.prompts / rates.measured
    kinds = np.asarray(belief.kinds @ number)  # [3, D]
    never, always = interval_of(kinds[0]), interval_of(kinds[1])
    words = (
        f"What the samples say: between {percent(never.low)} and {percent(never.high)} of the prompts are "
        f"almost never solved, once in 100 rollouts or less, and between {percent(always.low)} and "
        f"{percent(always.high)} fail as rarely; the others have rates like a Beta distribution (a "
        f"{np.median(belief.a):.2g}, b {np.median(belief.b):.2g})."
    )
    return page.section("Success rates", _histogram(rates), page.paragraph(words))


def _histogram(rates: PassRates) -> str:
    """Prompts by successes, where all have the same few samples; else by tenths of the rate, 0 and 1 apart."""
    share = rates.successes / rates.samples
    last, name = BINS + 1, "0: never, 1 to 10: tenths, 11: always"
    inner = 1 + np.minimum((share * BINS).astype(int), BINS - 1)
    place = np.where(share == 0, 0, np.where(share == 1, last, inner))
    if len(set(rates.samples.tolist())) == 1 and rates.most_samples <= MOST_COLUMNS:
        last, place = rates.most_samples, rates.successes
        name = f"successes in {counted(last, 'sample')}"
    columns = np.bincount(place, rates.prompts, last + 1)
    at = np.arange(last + 1)
    kinds = {"never_solved": at == 0, "fresh": (at > 0) & (at < last), "always_solved": at == last}
    names = ("never solved", "solved sometimes", "always solved")
    layers = [
        Layer(words, np.where(mine, columns, 0.0).tolist(), color)
        for words, (color, mine) in zip(names, kinds.items(), strict=True)
    ]
    chart = stacked_columns(
        layers,
        [float(edge) for edge in range(last + 2)],
        title="Prompts by success rate",
        description=f"{percent(columns[0], columns.sum())} never, {percent(columns[-1], columns.sum())} always solved",
        x_label=name,
    )
    legend = {layer.name: layer.color for layer in layers}
    return page.figure("Prompts by success rate", chart, "As measured; small numbers of samples spread them.", legend)


def _recipes(plan: Plan, parameters: int) -> str:
    if not plan.arms:
        return page.section("Recipes", *(page.paragraph(note) for note in notes(plan, parameters)))
    found = [(one, value) for one in plan.arms if (value := interval(one, "signal_per_rollout")) is not None]
    most = max((value.mean for _, value in found), default=0.0)
    bars = [
        Bar(one.arm.name, value.mean, f"{1000 * value.mean:.1f}", "ember" if one.simulated else "teal")
        for one, value in sorted(found, key=lambda pair: -pair[1].mean)
    ]
    chart = (
        page.figure(
            "Groups with signal per 1,000 rollouts",
            horizontal_bars(bars, whole=most, title="Groups with signal per 1,000 rollouts", description=bars[0].name),
            "In updates. Larger groups have signal more often and cost more: compare recipes at one size.",
            {"by closed form": "teal", "by running the scheduler": "ember"},
        )
        if most > 0
        else ""
    )
    rows = [cells(one, plan, parameters) for one in plan.arms]
    words, signal, cost = plan.settings.words, slice(2, COSTS), slice(COSTS, None)
    tables = [
        page.table(f"Signal of {words}", _part(HEAD, signal), [_part(row, signal) for row in rows], INTERVALS),
        page.table(f"Cost of {words}", _part(HEAD, cost), [_part(row, cost) for row in rows]),
    ]
    return page.section("Recipes", chart, *tables, *(page.paragraph(note, "note") for note in notes(plan, parameters)))


def _part(row: Sequence[str], columns: slice) -> list[str]:
    """Recipe and size, and some of the other columns."""
    return [*row[:2], *row[columns]]


def _measured(choice: Choice) -> str:
    """What recipes came to in measured regimes, and how near these are."""
    if not choice.near:
        return ""
    nearest = choice.near[0]
    rows = list(standing_rows(choice))
    parts = [page.table(f"Beside the nearest: {nearest.regime.words}", AXES_HEAD, list(axes_rows(nearest)), ALIKE)]
    if rows:
        parts.append(page.table("Recipes in regimes like yours", STANDINGS_HEAD, rows, CORRECTED))
    return page.section("What was measured", *parts)


def _cluster(plan: Plan) -> str:
    if not plan.on_cluster:
        return ""
    rows = [cluster_cells(one) for one in plan.on_cluster]
    steps = len(plan.on_cluster[0].measured.seconds)
    longest = max(sum(one.measured.seconds) for one in plan.on_cluster)
    note = (
        f"{counted(steps, 'update')} each, at most {duration(longest)} in simulated time; one run, without intervals."
    )
    return page.section(
        "On the cluster",
        page.table("Throughput, staleness, waste and memory", CLUSTER_HEAD, rows, note),
        page.paragraph(
            "The real scheduler is asked and told by simulated workers, whose rollouts take as long as their tokens. "
            "Memory is that of this process, which has the scheduler, its history, and no texts or weights."
        ),
    )


def assumptions(plan: Plan) -> list[str]:
    """What the plan takes for granted, in sentences."""
    settings = plan.settings
    spread = (
        "as given or measured" if settings.gain_known else "a guess; the intervals allow for 2.5 times less or more"
    )
    return [
        "Success rates of the pool: a share that is almost never solved, a share that almost always is, the rest "
        "Beta(a, b); the profile's counts update it for every prompt.",
        f"A rollout is right where each of {STEPS:g} steps is, so hard prompts profit more than easy ones. "
        f"The log-odds of a step rise by {settings.gain:.3g} in an update whose groups all have signal ({spread}), "
        "and by the square root of the share where fewer have; where they have risen by 1, prompts differ by "
        f"{UNEVENNESS:g} (standard deviation).",
        "A raised temperature divides the log-odds of a step. Lengths do not change while the policy learns.",
        "Rollouts of a prompt are independent. What the policy forgets, what a learning rate or a clip spoils, and "
        "which prompts it learns from others is not in the model.",
        "By closed form: recipes that roll out every prompt in turn with groups of one size. All others: their real "
        "scheduler, run with a simulated policy.",
    ]


def _assumptions(plan: Plan) -> str:
    rows = [row for one in plan.arms if (row := _sensitivity(one)) is not None]
    columns = ("recipe", "no learning", "as assumed", f"{FASTER:g} times as fast")
    table = page.table("Groups with signal, %, by how fast the policy learns", columns, rows) if rows else ""
    return page.section("Assumptions", *(page.paragraph(one) for one in assumptions(plan)), table)


def _sensitivity(one: ArmPlan) -> tuple[str, ...] | None:
    found = [
        interval(one, "with_signal", totals) for totals in (one.frozen, one.totals, one.faster) if totals is not None
    ]
    if len(found) < 3:
        return None
    known = [value.mean if value is not None else math.nan for value in found]
    if not all(map(math.isfinite, known)):
        return None
    return one.arm.name, *(f"{100 * value:.0f}" for value in known)
