"""Notes on a comparison: what was left out, what is not finished, and what else differs than the recipe."""

from collections.abc import Iterator, Mapping, Sequence

from rekindle.choices import few
from rekindle.comparison.axes import AXES
from rekindle.comparison.comparing import ACCURACY, GREEDY, Comparison
from rekindle.comparison.runs import ComparedRun, has_values
from rekindle.comparison.settings import differing, shown_value
from rekindle.comparison.words import listed, metric_name
from rekindle.observability.formatting import counted, excerpt, grouped

__all__ = ["notes", "run_name"]

_NAME = 200
_MOST = 5
"""Most runs that a note names."""
_SHORT = 0.9
"""A run that ends before this part of the others' cost limits the comparison, and is named."""
_MACHINE = ("host", "device", "threads", "processes", "trainer")


def run_name(run: ComparedRun) -> str:
    """Directory of a run, as it was given; it is untrusted text."""
    return excerpt(str(run.directory), _NAME).replace("\n", " ")


def notes(comparison: Comparison) -> list[str]:
    """Sentences, those about missing runs first."""
    runs = comparison.runs
    return [
        *_left_out(comparison),
        *_unfinished(runs),
        *_evaluations(comparison),
        *_limits(comparison),
        *_seeds(comparison),
        *_measuring(runs),
        *_made_with(runs),
    ]


def _names(runs: Sequence[ComparedRun]) -> str:
    return few(map(run_name, runs), _MOST)


def _verb(runs: Sequence[object], one: str, several: str) -> str:
    return one if len(runs) == 1 else several


def _left_out(comparison: Comparison) -> Iterator[str]:
    if comparison.repeated:
        names = few((excerpt(str(path), _NAME) for path in comparison.repeated), _MOST)
        yield f"{names} {_verb(comparison.repeated, 'was', 'were')} given more than once and counts once."
    for kept, left in comparison.doubled:
        yield (
            f"{run_name(left)} is left out: it has the settings and the seed of {run_name(kept)}, so it is no further "
            "seed."
        )
    if comparison.empty:
        verbs = _verb(comparison.empty, "has no step yet and is", "have no step yet and are")
        yield f"{_names(comparison.empty)} {verbs} left out."


def _unfinished(runs: Sequence[ComparedRun]) -> Iterator[str]:
    for run in runs:
        if not run.finished:
            what = "was interrupted" if run.ending == "interrupted" else "goes on, or was killed"
            yield f"{run_name(run)} is not finished ({what}); it is used up to step {grouped(run.step)}."
    stopped = [run for run in runs if run.ending == "bound"]
    if stopped:
        yield f"{_names(stopped)} stopped at a bound before its target (the report of the run says why)."


def _evaluations(comparison: Comparison) -> Iterator[str]:
    name = metric_name(comparison.metric)
    if comparison.replaced:
        runs = [run for run in comparison.runs if not has_values(run, comparison.replaced)]
        yield (
            f"The {name} is compared, because {_names(runs)} {_verb(runs, 'has', 'have')} no "
            f"{metric_name(comparison.replaced)}: every run is compared by the same measure."
        )
    without = [run for run in comparison.runs if not has_values(run, comparison.metric)]
    if len(without) == len(comparison.runs):
        yield (
            f"No run has a value of {comparison.metric} in its metrics, so nothing can be said about {name}: set "
            "eval.every and eval.prompts (in TRL, eval_dataset and eval_strategy), or choose another --metric."
        )
    else:
        yield from _without_the_metric(comparison, without)
    if not comparison.metric.startswith(("eval/", "level_")):
        yield (
            f"{comparison.metric} is measured on the prompts that each recipe chose to train on, not on the same "
            "held-out ones: it does not show which arm is better."
        )
    unlisted = [run for run in comparison.runs if not run.tasks.held_out and run not in without]
    if unlisted:
        yield (
            f"{_names(unlisted)} {_verb(unlisted, 'does not list its', 'do not list their')} held-out prompts; whether "
            "they are those of the other runs could not be checked."
        )


def _without_the_metric(comparison: Comparison, without: Sequence[ComparedRun]) -> Iterator[str]:
    greedy = [run for run in without if comparison.metric == ACCURACY and has_values(run, GREEDY)]
    if greedy:
        has, is_missing = _verb(greedy, "has", "have"), _verb(greedy, "is", "are")
        yield (
            f"{_names(greedy)} {has} a greedy accuracy only and {is_missing} missing from every comparison, because a "
            "sampled one is not compared with it: verl samples its validation with "
            "actor_rollout_ref.rollout.val_kwargs.temperature=1."
        )
    if other := [run for run in without if run not in greedy]:
        has, is_missing = _verb(other, "has", "have"), _verb(other, "is", "are")
        yield (
            f"{_names(other)} {has} no evaluation ({comparison.metric}) and {is_missing} missing from every comparison."
        )


def _limits(comparison: Comparison) -> Iterator[str]:
    missing = [AXES[axis].name for axis in AXES if axis not in comparison.axes]
    if missing:
        yield f"Nothing is compared at equal {listed(missing)}, because not every run records it."
    limit, axis = comparison.limits.get(comparison.axis), AXES[comparison.axis]
    if limit is None:
        return
    longest = max(run.spent[comparison.axis] for run in comparison.runs)
    at = comparison.equal[comparison.axis].at
    if at < _SHORT * longest:
        yield (
            f"The comparison is at {axis.amount(at)}, where {run_name(limit)} has its last evaluation; the "
            f"longest run has {axis.form(longest)}. Leave that run out to compare further on."
        )


def _seeds(comparison: Comparison) -> Iterator[str]:
    base = comparison.baseline
    for arm in comparison.arms[1:]:
        common = arm.runs.keys() & base.runs.keys()
        if arm.runs.keys() != base.runs.keys():
            shared = f"the common seeds {listed(sorted(common))}" if common else "nothing, as no seed is common"
            yield (
                f"{arm.name} has the seeds {listed(list(arm.runs))} and {base.name} {listed(list(base.runs))}; "
                f"they are compared over {shared}."
            )
    single = [arm.name for arm in comparison.arms if len(arm.runs) == 1]
    if single:
        yield f"{listed(single)}: one seed, so there is no interval. Make at least three (--seeds 0-2), better five."
    if len(comparison.arms) == 1:
        yield "There is one arm, so nothing is compared; give runs of other recipes or settings as well."


def _measuring(runs: Sequence[ComparedRun]) -> Iterator[str]:
    for key in dict.fromkeys(key for run in runs for key in run.measuring):
        known = [run.measuring[key] for run in runs if key in run.measuring]
        values = {shown_value(f"{value:g}" if isinstance(value, float) else value): None for value in known}
        if len(values) > 1:
            yield f"Runs were evaluated differently: {key} is {listed(list(values))}."


def _made_with(runs: Sequence[ComparedRun]) -> Iterator[str]:
    versions = sorted({shown_value(run.version) for run in runs})
    if len(versions) > 1:
        yield (
            f"The runs were made by versions {listed(versions)} of rekindle. Defaults may have changed between them; "
            "settings that one of them does not know are not compared."
        )
    infos: list[Mapping[str, object]] = [run.info for run in runs]
    machines = [key for key in differing(infos) if key in _MACHINE]
    if machines:
        yield f"The runs differ in {listed(machines)} ({counted(len(runs), 'run')}); their seconds are not comparable."
