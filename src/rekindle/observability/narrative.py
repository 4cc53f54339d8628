"""Sentences about a run, with advice. The text is plain; the caller escapes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from rekindle.observability.causes import unsolved_cause
from rekindle.observability.formatting import compact, counted, duration, grouped, percent, rate
from rekindle.observability.rows import number
from rekindle.observability.self_play.narrative import self_play_advice
from rekindle.observability.shares import Share
from rekindle.observability.summary import LOST, STEPS_TO_JUDGE, TRAINED, EvaluationPoint, Summary
from rekindle.scheduling.starvation import starves
from rekindle.types import Fate

__all__ = [
    "AccuracyChange",
    "accuracy_change",
    "advice",
    "conservation",
    "economy",
    "last_accuracy",
    "outcome",
    "title",
]

_AVERAGED = 3
_LATE = 0.75
_DEFAULT_PROMPTS = 256
_RESET_BELOW = 0.25


def title(summary: Summary) -> str:
    """``"recycle on spell_backward"``."""
    return f"{summary.run.config.get('recipe', 'unnamed recipe')} on {_task(summary)}"


def outcome(summary: Summary) -> list[str]:
    """Sentences on the run and its accuracy."""
    return [_opening(summary), _accuracy(summary)]


def economy(summary: Summary) -> list[str]:
    """Sentences on the use of the rollouts; empty before the first step."""
    return [*_groups(summary), *_failures(summary), *_recycling(summary), *_pool(summary)]


def last_accuracy(summary: Summary, kind: str) -> float | None:
    """The value of the last evaluation, where the curve ends; None without any."""
    values = [value for evaluation in summary.evaluations if (value := _value(evaluation, kind)) is not None]
    return values[-1] if values else None


@dataclass(frozen=True, slots=True)
class AccuracyChange:
    """How an accuracy on held-out prompts changed in a run.

    Attributes:
        start: Value of the first evaluation.
        end: Mean of the last evaluations; None where the first is the only one.
        averaged: Number of evaluations in ``end``.
        first: Step of the first evaluation.
    """

    start: float
    end: float | None
    averaged: int
    first: int = 0


def accuracy_change(summary: Summary, kind: str) -> AccuracyChange | None:
    """Return how ``"accuracy"`` or ``"greedy"`` changed; None without an evaluation.

    Single evaluations vary, so the end is a mean of at most three. None of them is from before the last quarter of the
    steps, unless it is the last one: a mean over a rising curve is too low.
    """
    points = [(one.step, value) for one in summary.evaluations if (value := _value(one, kind)) is not None]
    if not points:
        return None
    (first, start), *later = points
    late = [value for step, value in later if step >= _LATE * summary.step] or [value for _, value in later[-1:]]
    late = late[-_AVERAGED:]
    return AccuracyChange(start, sum(late) / len(late) if late else None, len(late), first)


def conservation(summary: Summary) -> tuple[bool, str]:
    """Whether the ledger's fates add up to the rollouts of the step log, and a sentence on it."""
    accounted, generated = summary.accounted_rollouts, int(summary.total("rollouts"))
    if accounted == generated:
        return (
            True,
            f"Every rollout has a fate: ledger and step log both count {grouped(generated)}.",
        )
    difference = abs(accounted - generated)
    what = "are missing from the ledger" if accounted < generated else "are in the ledger but not in the step log"
    return False, (
        f"Ledger and step log disagree: the fates add up to {grouped(accounted)} rollouts, the step log counts "
        f"{grouped(generated)}; {grouped(difference)} {what}. Likely cause: a damaged or edited file; restore it."
    )


def advice(summary: Summary) -> str | None:
    """The most useful piece of advice; None when there is none."""
    on_tasks = self_play_advice if summary.self_play else _prompts_advice
    return _losses(summary) or on_tasks(summary) or _decline(summary)


def _losses(summary: Summary) -> str | None:
    if len(summary.composition.quarter(3).steps) < STEPS_TO_JUDGE or summary.composition.share(LOST) <= 0.02:
        return None
    lost, services = percent(summary.composition.share(LOST)), _services(summary)
    remedy = f"fix {' or '.join(services)}" if services else "check the verifier's time limit and the engine's log"
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


def _opening(summary: Summary) -> str:
    recipe = summary.run.config.get("recipe", "without a name")
    text = f"This run trains {_model(summary)} on {_task(summary)} with the recipe {recipe}."
    if not summary.step:
        return text + " It has not made an update yet."
    rollouts, tokens = grouped(summary.total("rollouts")), compact(summary.total("generated_tokens"))
    steps = counted(summary.step, "step")
    if not summary.is_finished and (planned := summary.setting("train", "steps")):
        steps = f"{grouped(summary.step)} of {grouped(planned)} steps"
    updates = f"{counted(summary.updates, 'update')} in {steps}"
    done = "made" if summary.is_finished else "has so far made"
    spent = f"{rollouts} rollouts and {tokens} generated tokens"
    text = f"{text} It {done} {updates} from {spent} in {duration(summary.total('seconds'))}."
    return text if summary.updates else f"{text} The policy is still the start policy."


def _accuracy(summary: Summary) -> str:
    change = accuracy_change(summary, "accuracy")
    if change is None:
        return "No evaluation on held-out prompts has been made."
    start, end = change.start, change.end
    greedy = accuracy_change(summary, "greedy")
    when = f"at step {grouped(change.first)}" if change.first else "at the start"
    if end is None:
        return (
            f"{when.capitalize()} it solved {percent(start)} of the held-out prompts; there is no later evaluation yet."
        )
    several = f"the mean of the last {change.averaged} evaluations"
    mean = several if change.averaged > 1 else "at the last evaluation"
    verb = "rose" if end > start else "fell" if end < start else "stayed the same,"
    text = f"Sampled accuracy on held-out prompts {verb} from {rate(start)} {when} to {rate(end)}, {mean}"
    if greedy and greedy.end is not None:
        text += f" (greedy: {rate(greedy.start)} to {rate(greedy.end)})"
    prompts = summary.held_out or _DEFAULT_PROMPTS
    if not Share(start * prompts, prompts).differs(Share(end * prompts, prompts)):
        text += f"; with {grouped(prompts)} prompts a change this small may be noise"
    return text + "."


def _groups(summary: Summary) -> Iterator[str]:
    groups = summary.composition
    if not groups.total():
        return
    whose = " of the solver" if summary.self_play else ""
    text = f"Of {grouped(groups.total())} groups{whose}, {percent(groups.share(*TRAINED))} were trained on"
    reasons = {
        "were never solved": "never_solved",
        "were always solved": "always_solved",
        "carried signal but were not needed": "not_needed",
        "expired or failed": LOST,
    }
    others = [f"{percent(groups.share(name))} {words}" for words, name in reasons.items() if groups.total(name)]
    yield f"{text}; {_listed(others)}." if others else f"{text}."


def _failures(summary: Summary) -> Iterator[str]:
    """Failed groups whose likely cause is a service; they are part of those that "expired or failed"."""
    failed, services = summary.role_fates("solver")[Fate.FAILED], _services(summary)
    if not services:
        return
    groups = (
        f"{grouped(failed.groups)} group{'s' if failed.groups > 1 else ''} with {grouped(failed.rollouts)} rollouts"
    )
    yield (
        f"{groups} failed: without an answer of {' or '.join(services)} the whole group is dropped. "
        f"To lose fewer, {', and '.join(services.values())}."
    )


def _services(summary: Summary) -> dict[str, str]:
    """Services used by a run with failed groups, each with the remedy when it does not answer."""
    if not summary.role_fates("solver")[Fate.FAILED].groups or not summary.verifier_failures:
        return {}
    services = {}
    if summary.setting("retriever", "kind") == "http":
        services["the retriever"] = (
            "check that the server at retriever.url is up, or raise retriever.timeout_seconds or retriever.retries"
        )
    if summary.setting("task", "verifier") == "judge":
        calls = " or judge.max_calls" if summary.setting("judge", "max_calls") else ""
        services["the judge"] = f"check that the server at judge.url is up, or raise judge.timeout_seconds{calls}"
    return services


def _recycling(summary: Summary) -> Iterator[str]:
    groups = summary.composition
    trained = groups.total(*TRAINED)
    if not summary.recycles or not groups.total("rescued_hard", "rescued_easy"):
        return
    hard, easy = (percent(groups.total(name), trained) for name in ("rescued_hard", "rescued_easy"))
    text = (
        f"Of the trained groups, {percent(summary.recycled_share)} were recycled: when their prompt was first seen, "
        f"all its rollouts were wrong ({hard}) or all right ({easy})"
    )
    if summary.null_control:
        own, frozen = (percent(s) for s in (summary.null_control.recycled_share, summary.null_control.frozen_share))
        text += (
            f". In the last quarter of the steps, which the null control is about, they were {own}; the same sampler "
            f"with a frozen policy recycles {frozen}"
        )
    yield text + "."


def _pool(summary: Summary) -> Iterator[str]:
    live, size, resets = (number(summary.last, f"pool/{key}") for key in ("live", "size", "resets"))
    if not summary.step or live is None or not size:
        return
    left = f"{grouped(live)} of the pool's {grouped(size)} prompts"
    text = f"After step {grouped(summary.step)}, {left} could still be drawn"
    if resets:
        text += f"; the pool was reset {'once' if resets == 1 else f'{grouped(resets)} times'}"
    yield text + "."


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


def _value(evaluation: EvaluationPoint, kind: str) -> float | None:
    return evaluation.greedy if kind == "greedy" else evaluation.accuracy


def _task(summary: Summary) -> str:
    name, source, path = (summary.setting("task", key) for key in ("name", "source", "path"))
    if source == "self_play" and not path:
        return "the embedded search world"
    if source == "given":
        return str(name or "given prompts")
    return str(name or (PurePath(path).name if path else source) or "an unnamed task")


def _model(summary: Summary) -> str:
    path = summary.setting("model", "path")
    if path:
        return PurePath(path).name
    tiny = summary.setting("model", "tiny") or {}
    shape = [f"{tiny[key]} {words}" for key, words in (("layers", "layers"), ("hidden_size", "wide")) if key in tiny]
    return "a tiny model made from scratch" + (f" ({', '.join(shape)})" if shape else "")


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
