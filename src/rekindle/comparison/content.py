"""The parts of a comparison's page: sentences and tables, the same for every format."""

from collections.abc import Callable, Iterator, Mapping

from rekindle.comparison.axes import AXES
from rekindle.comparison.comparing import Comparison
from rekindle.comparison.document import Part, Table
from rekindle.comparison.measure_tables import cost_table, differences, equal_table, ratios, three_decimals
from rekindle.comparison.notes import run_name
from rekindle.comparison.settings import differing, identity, shown_value
from rekindle.comparison.story import evaluation_noise
from rekindle.comparison.words import capital, listed, measured, metric_name
from rekindle.observability.formatting import compact, counted, duration, flops, grouped
from rekindle.statistics.words import NO_DIFFERENCE

__all__ = ["explanation", "parts"]

_KEYS_SHOWN = 60
_ENDINGS = {"done": "finished", "bound": "stopped at a bound", "interrupted": "interrupted", "": "not finished"}


def parts(comparison: Comparison) -> list[Part]:
    """All parts with content, in the order of the page."""
    made = (_main, _other_costs, _target, _course, _further, _settings, _runs)
    return [part for make in made for part in make(comparison)]


def _main(comparison: Comparison) -> Iterator[Part]:
    if comparison.axis in comparison.equal:
        noise = evaluation_noise(comparison)
        heading = f"{capital(metric_name(comparison.metric))} at equal {AXES[comparison.axis].name}"
        yield Part("main", heading, [noise] if noise else [], [equal_table(comparison, comparison.axis)])


def _other_costs(comparison: Comparison) -> Iterator[Part]:
    shown = [axis for axis in comparison.axes if axis in comparison.equal]
    if len(shown) < 2:
        return
    heads = [f"at {AXES[axis].amount(comparison.equal[axis].at)}" for axis in shown]
    table = differences(comparison, {axis: comparison.equal[axis] for axis in shown}, heads)
    full = [equal_table(comparison, axis) for axis in shown[1:]]
    tables = [table, *full] if len(comparison.arms) > 1 else full
    yield Part("costs", "The same at other equal costs", ["95 % t-intervals, paired by seed."], tables)


def _target(comparison: Comparison) -> Iterator[Part]:
    name, target = metric_name(comparison.metric), comparison.target
    if target is None or comparison.axis not in comparison.equal:
        return
    heading = f"Cost of {name} {target:.3g}"
    if not comparison.costs:
        text = f"{name} {target:.3g} is not above what the runs begin with, so its cost is 0; choose a --target."
        yield Part("target", heading, [capital(text)])
        return
    rows = comparison.costs[comparison.axis].rows
    reached = listed([f"{row.arm} in {len(row.known)} of {len(row.values)}" for row in rows])
    sentences = [
        "What was spent when the mean of three evaluations in a row was first at least the target.",
        f"Seeds that reached it: {reached}. Costs are compared only where every common seed reached it on both sides, "
        "because the mean of those that did is too low.",
    ]
    shown = {axis: comparison.costs[axis] for axis in comparison.axes if axis in comparison.costs}
    tables = [cost_table(comparison, comparison.axis)]
    if len(comparison.arms) > 1:
        tables.append(ratios(comparison, shown, [AXES[axis].name for axis in shown]))
    yield Part("target", heading, sentences, tables)


def _course(comparison: Comparison) -> Iterator[Part]:
    if not comparison.areas or len(comparison.arms) < 2:
        return
    measures = {axis: comparison.areas[axis] for axis in comparison.axes if axis in comparison.areas}
    heads = [f"over {AXES[axis].amount(measure.at)}" for axis, measure in measures.items()]
    text = "The area under the curve, divided by the cost: an arm that rises earlier is ahead here, wherever both end."
    heading = f"Mean {metric_name(comparison.metric)} over the whole course"
    yield Part("course", heading, [text], [differences(comparison, measures, heads)])


def _further(comparison: Comparison) -> Iterator[Part]:
    if not comparison.further:
        return
    at = AXES[comparison.axis].amount(next(iter(comparison.further.values())).at)
    values = [
        (metric_name(key), *(measured(row, three_decimals) for row in measure.rows))
        for key, measure in comparison.further.items()
    ]
    tables = [Table(f"At {at}", ("measure", *(arm.name for arm in comparison.arms)), values)]
    if len(comparison.arms) > 1:
        tables.append(differences(comparison, comparison.further, [metric_name(key) for key in comparison.further]))
    text = "Measured in the same evaluations. Audits are second opinions, which give no reward."
    yield Part("further", "By other measures of the evaluations", [text], tables)


def _settings(comparison: Comparison) -> Iterator[Part]:
    settings = [identity(arm.first.settings) | {"trainer": arm.first.trainer or "rekindle"} for arm in comparison.arms]
    keys = differing(settings)
    names = [arm.name for arm in comparison.arms]
    if len(names) < 2:
        return
    rows = [(shown_value(key), *(shown_value(one.get(key)) for one in settings)) for key in keys[:_KEYS_SHOWN]]
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
            _ENDINGS.get(run.ending, _ENDINGS[""]),
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
        f"comparison alone would have shown. This page compares {counted(comparison.comparisons, 'pair')} "
        f"of numbers in all, of which {0.05 * comparison.comparisons:.1f} would differ by chance alone on average: "
        "choose the table that decides before you look.",
        "The intervals speak about other seeds of these settings on these prompts; not about other tasks or models.",
        *(f"{capital(AXES[axis].name)}: {AXES[axis].meaning}" for axis in comparison.axes),
    ]
