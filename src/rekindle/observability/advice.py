"""The most useful advice on a run, in a sentence. The text is plain; the caller escapes it."""

from rekindle.observability.causes import services, unsolved_cause
from rekindle.observability.formatting import grouped, percent, rate
from rekindle.observability.narrative import accuracy_change
from rekindle.observability.self_play.narrative import self_play_advice
from rekindle.observability.summary import LOST, STEPS_TO_JUDGE, TRAINED, Summary
from rekindle.scheduling.starvation import starves

__all__ = ["advice"]

_RESET_BELOW = 0.25


def advice(summary: Summary) -> str | None:
    """The most useful piece of advice; None when there is none."""
    on_tasks = self_play_advice if summary.self_play else _prompts_advice
    return _losses(summary) or on_tasks(summary) or _decline(summary)


def _losses(summary: Summary) -> str | None:
    if len(summary.composition.quarter(3).steps) < STEPS_TO_JUDGE or summary.composition.share(LOST) <= 0.02:
        return None
    lost, found = percent(summary.composition.share(LOST)), services(summary)
    remedy = f"fix {' or '.join(found)}" if found else "check the verifier's time limit and the engine's log"
    return f"{lost} of the groups expired or failed: {remedy} first."


def _prompts_advice(summary: Summary) -> str | None:
    """Advice on given prompts, not those of self-play."""
    late = summary.composition.quarter(3)
    if len(late.steps) < STEPS_TO_JUDGE:
        return None
    if _starved(summary):
        return f"The pool starved: late in the run most of its prompts had no signal. {_remedies(summary)}."
    if late.share("never_solved") > 0.6:
        return (
            f"Late in the run {percent(late.share('never_solved'))} of the groups were never solved. "
            f"{unsolved_cause(summary)} Otherwise use easier prompts, a better start policy, or larger groups for the "
            "hard ones."
        )
    if late.share("always_solved") > 0.5:
        return (
            f"Late in the run {percent(late.share('always_solved'))} of the groups were always solved: use harder "
            f"prompts, or raise {summary.key('train.temperature')}."
        )
    return None


def _starved(summary: Summary) -> bool:
    early, late = (summary.composition.quarter(index) for index in (0, 3))
    if summary.setting("pool", "kind") != "recycling" or not len(early.steps):
        return False
    wanted = summary.setting("train", "groups_per_step") or early.of(*TRAINED).mean()
    trained = late.of(*TRAINED).mean()
    return bool(starves(trained, wanted) and trained < 0.6 * early.of(*TRAINED).mean())


def _remedies(summary: Summary) -> str:
    """Remedies for a starving pool that the configuration does not use yet."""
    remedies = ["use more prompts"]
    if not summary.setting("pool", "alpha"):
        remedies.append("leave trained prompts some weight (pool.alpha = 0.1)")
    if (summary.setting("pool", "reset_below") or 0.0) < _RESET_BELOW:
        remedies.append(f"reset it earlier (pool.reset_below = {_RESET_BELOW})")
    return ", or ".join(remedies).capitalize()


def _decline(summary: Summary) -> str | None:
    values = [evaluation.accuracy for evaluation in summary.evaluations if evaluation.accuracy is not None]
    if len(summary.composition.quarter(3).steps) < STEPS_TO_JUDGE:
        return None
    change = accuracy_change(summary, "accuracy")
    if change is None or change.end is None or max(values) - change.end < 0.1:
        return None
    best = max(summary.evaluations, key=lambda evaluation: evaluation.accuracy or 0.0)
    return (
        f"Accuracy was best at step {grouped(best.step)} ({rate(max(values))}) and has fallen since: "
        f"lower {summary.key('train.learning_rate')}, or stop there."
    )
