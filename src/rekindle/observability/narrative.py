"""Sentences about a run. The text is plain; the caller escapes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from rekindle.observability.causes import services
from rekindle.observability.formatting import compact, counted, duration, excerpt, grouped, isolated, percent, rate
from rekindle.observability.rows import number
from rekindle.observability.shares import Share
from rekindle.observability.summary import LOST, TRAINED, EvaluationPoint, Summary
from rekindle.types import Fate

__all__ = [
    "AccuracyChange",
    "accuracy_change",
    "conservation",
    "economy",
    "headline",
    "last_accuracy",
    "made_of",
    "title",
]

_AVERAGED = 3
_LATE = 0.75
_DEFAULT_PROMPTS = 256
_NAME = 120
"""Most characters of a name."""
_REASON = 1000


def title(summary: Summary) -> str:
    """``"recycle on spell_backward"``."""
    return f"{_named(summary.run.config.get('recipe', 'unnamed recipe'))} on {_task(summary)}"


def headline(summary: Summary) -> list[str]:
    """Sentences on how it went: accuracy, or reward where none was measured, and an end before the target."""
    reward = _reward(summary) if accuracy_change(summary, _kind(summary)) is None else ""
    return [words for words in (reward, _accuracy(summary), _ending(summary)) if words]


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


def made_of(summary: Summary) -> str:
    """Sentences on what was trained, for how long, and at what cost."""
    recipe = _named(summary.run.config.get("recipe", "without a name"))
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


def _reward(summary: Summary) -> str:
    values = [value for row in summary.run.metrics if (value := number(row, "reward/mean")) is not None]
    if not values:
        return ""
    if len(values) == 1:
        return f"The mean reward of the first step was {rate(values[0])}."
    quarter = max(1, len(values) // 4)
    early, late = (sum(part) / quarter for part in (values[:quarter], values[-quarter:]))
    parts = "quarter of the steps" if quarter > 1 else "step"
    return f"The mean reward of the rollouts was {rate(early)} in the first {parts} and {rate(late)} in the last."


def _ending(summary: Summary) -> str:
    """Words on a run that has not reached its target; empty for one that has."""
    run = summary.run
    if run.ending == "bound":
        return f"It stopped before its target: {excerpt(run.bound, _REASON).rstrip('.')}."
    if run.ending == "interrupted":
        return f"It was interrupted after step {grouped(summary.step)}."
    if run.ending or summary.is_finished or not summary.step:
        return ""
    return "It has not ended: it is still going on, or it was killed."


def _kind(summary: Summary) -> str:
    """``"accuracy"``, or ``"greedy"`` where no evaluation sampled, as those of verl."""
    sampled = any(one.accuracy is not None for one in summary.evaluations)
    return "accuracy" if sampled or not summary.evaluations else "greedy"


def _accuracy(summary: Summary) -> str:
    kind = _kind(summary)
    change = accuracy_change(summary, kind)
    if change is None:
        return "No evaluation on held-out prompts has been made."
    start, end = change.start, change.end
    greedy = accuracy_change(summary, "greedy") if kind == "accuracy" else None
    when = f"at step {grouped(change.first)}" if change.first else "at the start"
    if end is None:
        return (
            f"{when.capitalize()} it solved {percent(start)} of the held-out prompts; there is no later evaluation yet."
        )
    several = f"the mean of the last {change.averaged} evaluations"
    mean = several if change.averaged > 1 else "at the last evaluation"
    verb = "rose" if end > start else "fell" if end < start else "stayed the same,"
    name = "Sampled" if kind == "accuracy" else "Greedy"
    text = f"{name} accuracy on held-out prompts {verb} from {rate(start)} {when} to {rate(end)}, {mean}"
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
    failed, used = summary.role_fates("solver")[Fate.FAILED], services(summary)
    if not used:
        return
    groups = (
        f"{grouped(failed.groups)} group{'s' if failed.groups > 1 else ''} with {grouped(failed.rollouts)} rollouts"
    )
    yield (
        f"{groups} failed: without an answer of {' or '.join(used)} the whole group is dropped. "
        f"To lose fewer, {', and '.join(used.values())}."
    )


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


def _value(evaluation: EvaluationPoint, kind: str) -> float | None:
    return evaluation.greedy if kind == "greedy" else evaluation.accuracy


def _task(summary: Summary) -> str:
    name, source, path = (summary.setting("task", key) for key in ("name", "source", "path"))
    if source == "self_play" and not path:
        return "the embedded search world"
    if source == "given":
        return _named(name or "given prompts")
    return _named(name or (PurePath(str(path)).name if path else source) or "an unnamed task")


def _model(summary: Summary) -> str:
    path = summary.setting("model", "path")
    if path:
        return _named(PurePath(str(path)).name)
    tiny = summary.setting("model", "tiny") or {}
    shape = [f"{tiny[key]} {words}" for key, words in (("layers", "layers"), ("hidden_size", "wide")) if key in tiny]
    return "a tiny model made from scratch" + (f" ({', '.join(shape)})" if shape else "")


def _named(name: object) -> str:
    """A name of the user's for a sentence: without invisible characters, and isolated where it runs right to left."""
    return isolated(excerpt(str(name).replace("\n", " "), _NAME))


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
