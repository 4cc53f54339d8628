"""The parts of a comparison's page: sentences and tables, the same for every format."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from rekindle.comparison.axes import AXES
from rekindle.comparison.comparing import Comparison
from rekindle.comparison.document import Part, Table
from rekindle.comparison.measures import Measure, Row
from rekindle.comparison.notes import run_name
from rekindle.comparison.settings import differing, identity, shown_value
from rekindle.comparison.story import evaluation_noise
from rekindle.comparison.words import (
    finding,
    limits,
    listed,
    measured,
    metric_name,
    p_value,
    plus_minus,
    times,
    with_interval,
)
from rekindle.observability.formatting import compact, counted, duration, flops, grouped
from rekindle.statistics.words import NO_DIFFERENCE

__all__ = ["equal_table", "explanation", "parts"]

_KEYS_SHOWN = 60
_ENDINGS = {"done": "finished", "bound": "stopped at a bound", "interrupted": "interrupted", "": "not finished"}


def parts(comparison: Comparison) -> list[Part]:
    """All parts with content, in the order of the page."""
    made = (_main, _other_costs, _target, _course, _further, _settings, _runs)
    return [part for make in made for part in make(comparison)]


# -- tables of a measure ----------------------------------------------------------------------------------------------


def _full_table(
    name: str,
    measure: Measure,
    value: str,
    form: Callable[[float], str],
    change: tuple[str, Callable[[float], str]],
    sides: tuple[str, str] = ("higher", "lower"),
) -> Table:
    """Every arm with its mean, both intervals, and the finding.

    Args:
        name: Heading.
        measure: What was measured.
        value: Head of the column of means.
        form: Writes a value.
        change: Head of the comparisons, and what writes one.
        sides: What a difference above and below 0 is called.
    """
    head, write = change

    rows = [
        (
            row.arm,
            str(len(row.known)),
            measured(row, form),
            with_interval(row.paired, write),
            limits(row.paired.bootstrap, write) if row.paired else "–",
            p_value(row.adjusted),
            finding(row, measure, *sides),
        )
        for row in measure.rows
    ]
    columns = ("arm", "seeds", value, f"{head}, 95 % t-interval", "bootstrap", "p (Holm)", "finding")
    return Table(name, columns, rows)


def equal_table(comparison: Comparison, axis: str) -> Table:
    """Accuracy at an equal cost."""
    kind, measure = AXES[axis], comparison.equal[axis]
    return _full_table(
        f"At {kind.amount(measure.at)}",
        measure,
        metric_name(comparison.metric),
        lambda value: f"{value:.3f}",
        (f"difference to {comparison.baseline.name}", plus_minus),
    )


def _matrix(
    name: str,
    comparison: Comparison,
    measures: Mapping[str, Measure],
    heads: Sequence[str],
    cell: Callable[[Row, Measure], str],
) -> Table:
    """A row per measure, a column per arm but the baseline."""
    rows = [
        (head, *(cell(row, measure) for row in measure.rows[1:]))
        for head, measure in zip(heads, measures.values(), strict=True)
    ]
    return Table(name, ("", *(arm.name for arm in comparison.arms[1:])), rows)


def _difference_cell(row: Row, measure: Measure) -> str:
    return _with_finding(row, finding(row, measure), plus_minus)


def _ratio_cell(row: Row, measure: Measure) -> str:
    return _with_finding(row, finding(row, measure, "more", "less"), times)


def _with_finding(row: Row, found: str, form: Callable[[float], str]) -> str:
    if row.paired is None or not row.paired.count:
        return found
    if not row.paired.t.known or not row.paired.varies:
        return f"{form(row.paired.mean)} ({found})"
    text = with_interval(row.paired, form)
    return f"{NO_DIFFERENCE}: {text}" if found.startswith(NO_DIFFERENCE) else text


# -- parts ------------------------------------------------------------------------------------------------------------


def _main(comparison: Comparison) -> Iterator[Part]:
    if comparison.axis in comparison.equal:
        name, axis = metric_name(comparison.metric), AXES[comparison.axis]
        sentences = [text for text in (evaluation_noise(comparison),) if text]
        heading = f"{name[0].upper()}{name[1:]} at equal {axis.name}"
        yield Part("main", heading, sentences, [equal_table(comparison, comparison.axis)])


def _other_costs(comparison: Comparison) -> Iterator[Part]:
    others = [axis for axis in comparison.axes if axis in comparison.equal and axis != comparison.axis]
    if not others:
        return
    shown = [comparison.axis, *others]
    table = _matrix(
        f"Difference to {comparison.baseline.name}",
        comparison,
        {axis: comparison.equal[axis] for axis in shown},
        [f"at {AXES[axis].amount(comparison.equal[axis].at)}" for axis in shown],
        _difference_cell,
    )
    matrix = [table] if len(comparison.arms) > 1 else []
    full = [equal_table(comparison, axis) for axis in others]
    yield Part("costs", "The same at other equal costs", ["95 % t-intervals, paired by seed."], [*matrix, *full])


def _target(comparison: Comparison) -> Iterator[Part]:
    name, target = metric_name(comparison.metric), comparison.target
    if target is None or comparison.axis not in comparison.equal:
        return
    heading = f"Cost of {name} {target:.3g}"
    if not comparison.costs:
        text = f"{name} {target:.3g} is not above what the runs begin with, so its cost is 0; choose a --target."
        yield Part("target", heading, [text])
        return
    reached = listed(
        [f"{row.arm} in {len(row.known)} of {len(row.values)}" for row in comparison.costs[comparison.axis].rows]
    )
    sentences = [
        "What was spent when the mean of three evaluations in a row was first at least the target.",
        f"Seeds that reached it: {reached}. Costs are compared only where every common seed reached it on both sides, "
        "because the mean of those that did is too low.",
    ]
    axis = AXES[comparison.axis]
    full = _full_table(
        f"In {axis.name}",
        comparison.costs[comparison.axis],
        axis.name,
        axis.form,
        (f"ratio to {comparison.baseline.name}", times),
        ("more", "less"),
    )
    shown = [one for one in comparison.axes if one in comparison.costs]
    matrix = _matrix(
        f"Ratio to {comparison.baseline.name}",
        comparison,
        {one: comparison.costs[one] for one in shown},
        [AXES[one].name for one in shown],
        _ratio_cell,
    )
    yield Part("target", heading, sentences, [full, *([matrix] if len(comparison.arms) > 1 else [])])


def _course(comparison: Comparison) -> Iterator[Part]:
    if not comparison.areas or len(comparison.arms) < 2:
        return
    axes = [axis for axis in comparison.axes if axis in comparison.areas]
    table = _matrix(
        f"Difference to {comparison.baseline.name}",
        comparison,
        {axis: comparison.areas[axis] for axis in axes},
        [f"over {AXES[axis].amount(comparison.areas[axis].at)}" for axis in axes],
        _difference_cell,
    )
    text = "The area under the curve, divided by the cost: an arm that rises earlier is ahead here, wherever both end."
    yield Part("course", f"Mean {metric_name(comparison.metric)} over the whole course", [text], [table])


def _further(comparison: Comparison) -> Iterator[Part]:
    if not comparison.further:
        return
    axis = AXES[comparison.axis]
    at = next(iter(comparison.further.values())).at
    values = [
        (metric_name(key), *(measured(row, lambda value: f"{value:.3f}") for row in measure.rows))
        for key, measure in comparison.further.items()
    ]
    names = [arm.name for arm in comparison.arms]
    tables = [Table(f"At {axis.amount(at)}", ("measure", *names), values)]
    if len(comparison.arms) > 1:
        heads = [metric_name(key) for key in comparison.further]
        name = f"Difference to {comparison.baseline.name}"
        tables.append(_matrix(name, comparison, comparison.further, heads, _difference_cell))
    text = "Measured in the same evaluations. Audits are second opinions, which give no reward."
    yield Part("further", "By other measures of the evaluations", [text], tables)


def _settings(comparison: Comparison) -> Iterator[Part]:
    settings = [identity(arm.first.settings) | {"trainer": arm.first.trainer or "rekindle"} for arm in comparison.arms]
    keys = differing(settings)
    names = [arm.name for arm in comparison.arms]
    if len(names) < 2:
        return
    rows = [(key, *(shown_value(one.get(key)) for one in settings)) for key in keys[:_KEYS_SHOWN]]
    left = len(keys) - len(rows)
    note = f"{left} further keys differ; they are in the runs' config.toml." if left > 0 else ""
    text = (
        "Arms are the runs with equal settings but for the seed. The seed, places of files and servers, and what "
        "checkpoints, samples, evaluations and trackers keep are not compared."
    )
    yield Part("settings", "What differs in the settings", [text], [Table("Settings", ("key", *names), rows, note)])


def _runs(comparison: Comparison) -> Iterator[Part]:
    def cost(run_spent: Mapping[str, float], axis: str, form: Callable[[float], str]) -> str:
        return form(run_spent[axis]) if axis in run_spent else "–"

    rows = [
        (
            run_name(run),
            arm.name,
            str(run.seed),
            _ENDINGS.get(run.ending, run.ending),
            grouped(run.step),
            cost(run.spent, "rollouts", grouped),
            cost(run.spent, "tokens", compact),
            cost(run.spent, "flops", flops),
            cost(run.spent, "seconds", duration),
        )
        for arm in comparison.arms
        for run in arm.runs.values()
    ]
    columns = ("run", "arm", "seed", "ending", "steps", "rollouts", "tokens", "FLOPs", "seconds")
    yield Part("runs", "Runs", (), [Table("All runs", columns, rows)])


def explanation(comparison: Comparison) -> list[str]:
    """What the numbers mean, and what they assume."""
    family = len(comparison.arms) - 1
    return [
        "Accuracy at a cost is the mean of a run's curve over the last 15 % of that cost, because single evaluations "
        "vary. The equal cost is where the first of the runs has its last evaluation.",
        "Differences and ratios are paired by seed. The t-interval assumes that they are about normal; the bootstrap "
        "resamples them. It is widened for few seeds, where a percentile interval would exclude 0 in 25 % (3 seeds) or "
        "16 % (5 seeds) of the pairs of equal arms. A difference is claimed only where both intervals exclude 0, which "
        "happens to at most about 5 % of the pairs of equal arms. Where all seeds differ by the same, the intervals "
        "have no width and are no evidence.",
        "p-values are those of the paired t-test, corrected by Holm's rule for the "
        f'{counted(family, "comparison")} of their table: "{NO_DIFFERENCE} (corrected)" is a difference that only one '
        "comparison alone would have shown. This page compares {counted(comparison.comparisons, 'pair')} "
        f"of numbers in all, of which {0.05 * comparison.comparisons:.1f} would differ by chance alone on average: "
        "choose the table that decides before you look.",
        "The intervals speak about other seeds of these settings on these prompts; not about other tasks or models.",
        *(f"{AXES[axis].name[0].upper()}{AXES[axis].name[1:]}: {AXES[axis].meaning}" for axis in comparison.axes),
    ]
