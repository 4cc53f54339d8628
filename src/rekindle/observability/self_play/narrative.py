"""Sentences about self-play, with advice. The text is plain; the caller escapes it."""

from collections.abc import Iterator

from rekindle.observability.causes import unsolved_cause
from rekindle.observability.formatting import grouped, percent
from rekindle.observability.self_play.numbers import SelfPlayNumbers
from rekindle.observability.self_play.rejections import UNVERIFIED, rejection
from rekindle.observability.shares import Share
from rekindle.observability.summary import STEPS_TO_JUDGE, Summary

__all__ = ["reference_change", "right_words", "self_play_advice", "self_play_story"]

_STEPS_FOR_QUARTERS = 8
_REASONS_TOLD = 2
_FEW_VALID = 0.05
_ONE_REASON = 0.9
_MANY_REJECTED = 0.2
_LOST = 0.02
_MOST = 0.5
_ALREADY_HARD = 0.1
"""Success of the start policy up to which questions count as hard enough."""


def self_play_story(summary: Summary) -> list[str]:
    """Sentences on the course of self-play; empty without self-play."""
    numbers = summary.self_play
    return [] if numbers is None else [*_validity(numbers), *_difficulty(numbers), *_right(numbers)]


def reference_change(numbers: SelfPlayNumbers) -> tuple[Share, Share] | None:
    """Success of the start policy on the questions of the first and the last quarter; None where not known."""
    if len(numbers.rows) < _STEPS_FOR_QUARTERS:
        return None
    early, late = (numbers.quarter(index).of_valid("self_play/reference_success") for index in (0, 3))
    return (early, late) if early and late else None


def right_words(share: Share) -> str:
    """``"93% (95% interval: 90% to 95%)"``."""
    return f"{percent(share.value)} (95% interval: {' to '.join(map(percent, share.interval()))})"


def self_play_advice(summary: Summary) -> str | None:
    """The most useful piece of advice on self-play; None when there is none."""
    numbers = summary.self_play
    if numbers is None or len(numbers.rows) < STEPS_TO_JUDGE:
        return None
    long = len(numbers.rows) >= 4 * STEPS_TO_JUDGE
    late, when = (numbers.quarter(3), "Late in the run") if long else (numbers, "So far")
    found = (
        _failing(numbers) or _unverified(summary, numbers, _LOST) or _few_valid(late, when) or _one_reason(late, when)
        or _wrong(summary, late, when) or _unverified(summary, numbers, 0.0) or _extremes(summary)
        or _not_harder(summary, numbers)
    )  # fmt: skip
    return found or None


# -- the course --------------------------------------------------------------------------------------------------------


def _validity(numbers: SelfPlayNumbers) -> Iterator[str]:
    if numbers.valid_share is None:
        yield "No proposals were requested, as there were enough questions."
        return
    count = grouped(numbers.proposals)
    if not numbers.valid:
        yield f"None of the {count} proposals became a question for the solver."
    else:
        text = f"Of {count} proposals {percent(numbers.valid_share.value)} became questions for the solver"
        early, late = (numbers.quarter(index).valid_share for index in (0, 3))
        if len(numbers.rows) >= _STEPS_FOR_QUARTERS and early and late:
            text += f" ({percent(early.value)} in the first quarter of the steps, {percent(late.value)} in the last)"
        yield text + "."
    if reasons := list(numbers.rejected.items())[:_REASONS_TOLD]:
        named = [f"{rejection(name).name} ({percent(found, numbers.proposals)})" for name, found in reasons]
        yield f"Most frequent {'reasons' if len(named) > 1 else 'reason'} of rejection: {', and '.join(named)}."


def _difficulty(numbers: SelfPlayNumbers) -> Iterator[str]:
    whole, change = numbers.of_valid("self_play/reference_success"), reference_change(numbers)
    if whole is None:
        return
    if change is None:
        yield f"The start policy, which is never trained, solves {percent(whole.value)} of the questions."
        return
    early, late = change
    rates = (
        f"the start policy, which is never trained, solves {percent(early.value)} of the questions of the first "
        f"quarter of the steps and {percent(late.value)} of those of the last"
    )
    if not early.differs(late):
        yield f"It is unclear whether the questions got harder: {rates}, a difference that may be chance."
    else:
        yield f"The questions got {'harder' if late.value < early.value else 'easier'}: {rates}."


def _right(numbers: SelfPlayNumbers) -> Iterator[str]:
    if (share := numbers.of_valid("self_play/right")) is not None:
        yield (
            f"Of the accepted questions {right_words(share)} are right: the seed's answer is the only one in the "
            "searched world."
        )


# -- the advice --------------------------------------------------------------------------------------------------------


def _failing(numbers: SelfPlayNumbers) -> str:
    if numbers.failed <= _LOST * numbers.proposals:
        return ""
    return (
        f"{percent(numbers.failed, numbers.proposals)} of the proposals failed, because a search gave no answer or a "
        "prompt left no room for the reply: read the warnings, and fix the cause first."
    )


def _unverified(summary: Summary, numbers: SelfPlayNumbers, above: float) -> str:
    count = numbers.rejected.get(UNVERIFIED, 0)
    if count <= above * numbers.proposals:
        return ""
    services = []
    if summary.setting("check", "kind") == "endpoint":
        services.append("the server at check.url is up and answers in time (check.timeout_seconds)")
    if summary.setting("task", "verifier") == "judge":
        services.append("the server at judge.url is up")
    remedy = f"check that {', and that '.join(services)}" if services else rejection(UNVERIFIED).remedy
    return (
        f"The verifier failed on {grouped(count)} of the proposals ({percent(count, numbers.proposals)}); they were "
        f"rejected without a verdict: {remedy}."
    )


def _few_valid(late: SelfPlayNumbers, when: str) -> str:
    if late.valid_share is None or late.valid_share.value >= _FEW_VALID or not late.rejected:
        return ""
    reason, count = next(iter(late.rejected.items()))
    share = percent(late.valid, late.proposals) if late.valid else "none"
    return (
        f"{when} {share} of the proposals {'were' if late.valid else 'was'} valid, so there is hardly anything new to "
        f"train on; {percent(count, sum(late.rejected.values()))} of the rejections have the reason "
        f'"{rejection(reason).name}": {rejection(reason).remedy}.'
    )


def _one_reason(late: SelfPlayNumbers, when: str) -> str:
    rejected = sum(late.rejected.values())
    if rejected < _MANY_REJECTED * max(1, late.proposals):
        return ""
    reason, count = next(iter(late.rejected.items()))
    if count < _ONE_REASON * rejected:
        return ""
    return (
        f"{when} {percent(count, rejected)} of the rejections have one reason, "
        f'"{rejection(reason).name}": {rejection(reason).remedy}.'
    )


def _wrong(summary: Summary, late: SelfPlayNumbers, when: str) -> str:
    """Advice where most accepted questions have another answer, so that the solver is rewarded for wrong ones."""
    share = late.of_valid("self_play/right")
    if share is None or share.interval()[1] >= _MOST:
        return ""
    off = summary.setting("check", "kind") == "off"
    remedy = 'turn the check on (check.kind = "policy")' if off else "start from a policy that verifies better"
    stronger = 'let a stronger model verify (check.kind = "endpoint")'
    return (
        f"{when} only {percent(share.value)} of the accepted questions are right, so the solver is rewarded for wrong "
        f"answers: {remedy}, or {stronger}."
    )


def _extremes(summary: Summary) -> str:
    """Advice where most questions give the solver no signal, because it never or always solves them."""
    late = summary.composition.quarter(3)
    if len(late.steps) < STEPS_TO_JUDGE:
        return ""
    never, always = late.share("never_solved"), late.share("always_solved")
    if never > 0.6:
        return (
            f"Late in the run {percent(never)} of the solver's groups were never solved. {unsolved_cause(summary)} "
            'Otherwise reward questions of medium difficulty (self_play.proposer_reward = "intermediate"), or request '
            "fewer hops (self_play.hops)."
        )
    if always > 0.5:
        return (
            f"Late in the run {percent(always)} of the solver's groups were always solved: request more hops "
            "(self_play.hops), or raise self_play.proposer_weight."
        )
    return ""


def _not_harder(summary: Summary, numbers: SelfPlayNumbers) -> str:
    """Advice where the start policy's success does not fall although the proposer is trained."""
    change = reference_change(numbers)
    learns = summary.setting("self_play", "fixed") != "proposer"
    if change is None or not learns or len(numbers.rows) < 4 * STEPS_TO_JUDGE:
        return ""
    early, late = change
    if early.value <= _ALREADY_HARD or (late.value < early.value and early.differs(late)):
        return ""
    return (
        f"The questions did not get harder (the start policy solves {percent(early.value)}, then "
        f"{percent(late.value)} of them): request more hops (self_play.hops), raise self_play.proposer_weight, "
        "or train for longer."
    )
