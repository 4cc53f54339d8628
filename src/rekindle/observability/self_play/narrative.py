"""A game of self-play told in sentences, with advice. Plain text; whoever prints it escapes it."""

from collections.abc import Iterator

from rekindle.observability.formatting import grouped, percent
from rekindle.observability.self_play.numbers import Game, Share
from rekindle.observability.self_play.rejections import UNVERIFIED, rejection
from rekindle.observability.summary import STEPS_TO_JUDGE, Summary

__all__ = ["game_advice", "game_story", "reference_change", "right_words"]

_STEPS_FOR_QUARTERS = 8
_REASONS_TOLD = 2
_FEW_VALID = 0.05
_ONE_REASON = 0.9
_MANY_REJECTED = 0.2
_LOST = 0.02
_MOST = 0.5
_ALREADY_HARD = 0.1
"""Where the start policy solves no more than this share of the questions, they need not get harder."""


def game_story(summary: Summary) -> list[str]:
    """How the game went; empty where there is none."""
    game = summary.game
    return [] if game is None else [*_validity(game), *_difficulty(game), *_right(game)]


def reference_change(game: Game) -> tuple[Share, Share] | None:
    """Success of the start policy on the questions of the first and the last quarter; None where it is not known."""
    if len(game.rows) < _STEPS_FOR_QUARTERS:
        return None
    early, late = (game.quarter(index).of_valid("self_play/reference_success") for index in (0, 3))
    return (early, late) if early and late else None


def right_words(share: Share) -> str:
    """``"93% (95% interval: 90% to 95%)"``."""
    return f"{percent(share.value)} (95% interval: {' to '.join(map(percent, share.interval()))})"


def game_advice(summary: Summary) -> str | None:
    """The one thing about the game most worth doing; None where there is no game or nothing stands out."""
    game = summary.game
    if game is None or len(game.rows) < STEPS_TO_JUDGE:
        return None
    long = len(game.rows) >= 4 * STEPS_TO_JUDGE
    late, when = (game.quarter(3), "Late in the run") if long else (game, "So far")
    found = (
        _failing(game) or _unverified(summary, game, _LOST) or _few_valid(late, when) or _one_reason(late, when)
        or _wrong(summary, late, when) or _unverified(summary, game, 0.0) or _extremes(summary)
        or _not_harder(summary, game)
    )  # fmt: skip
    return found or None


# -- the story ---------------------------------------------------------------------------------------------------------


def _validity(game: Game) -> Iterator[str]:
    if game.valid_share is None:
        yield "The proposer was not asked for anything, as there were questions enough."
        return
    count = grouped(game.proposals)
    if not game.valid:
        yield f"None of the {count} proposals became a question for the solver."
    else:
        text = f"Of {count} proposals {percent(game.valid_share.value)} became questions for the solver"
        early, late = (game.quarter(index).valid_share for index in (0, 3))
        if len(game.rows) >= _STEPS_FOR_QUARTERS and early and late:
            text += f" ({percent(early.value)} in the first quarter of the steps, {percent(late.value)} in the last)"
        yield text + "."
    if reasons := list(game.rejected.items())[:_REASONS_TOLD]:
        told = [f"{rejection(name).name} ({percent(found, game.proposals)})" for name, found in reasons]
        yield f"What spoke against {'the others' if game.valid else 'them'} most often: {', and '.join(told)}."


def _difficulty(game: Game) -> Iterator[str]:
    whole, change = game.of_valid("self_play/reference_success"), reference_change(game)
    if whole is None:
        return
    if change is None:
        yield f"The start policy, which never learns, solves {percent(whole.value)} of the questions."
        return
    early, late = change
    numbers = (
        f"the start policy, which never learns, solves {percent(early.value)} of those of the first quarter of the "
        f"steps and {percent(late.value)} of those of the last"
    )
    if not early.differs(late):
        yield f"Whether the questions got harder cannot be told: {numbers}, a difference that may be chance."
    else:
        yield f"The questions got {'harder' if late.value < early.value else 'easier'}: {numbers}."


def _right(game: Game) -> Iterator[str]:
    if (share := game.of_valid("self_play/right")) is not None:
        yield (
            f"Of the accepted questions {right_words(share)} are right: the world that is searched has no other answer "
            "to them than the one that they were made for."
        )


# -- the advice --------------------------------------------------------------------------------------------------------


def _failing(game: Game) -> str:
    if game.failed <= _LOST * game.proposals:
        return ""
    return (
        f"{percent(game.failed, game.proposals)} of the proposals failed, because a search gave no answer or a prompt "
        "left no room: look at the warnings, and mend it first."
    )


def _unverified(summary: Summary, game: Game, above: float) -> str:
    count = game.rejected.get(UNVERIFIED, 0)
    if count <= above * game.proposals:
        return ""
    services = []
    if summary.setting("check", "kind") == "endpoint":
        services.append("that the server at check.url is up and answers in time (check.timeout_seconds)")
    if summary.setting("task", "verifier") == "judge":
        services.append("that the server at judge.url is up")
    remedy = f"see {', and '.join(services)}" if services else rejection(UNVERIFIED).remedy
    return (
        f"The verifier failed on {grouped(count)} of the proposals ({percent(count, game.proposals)}), which were "
        f"rejected without a verdict: {remedy}."
    )


def _few_valid(late: Game, when: str) -> str:
    if late.valid_share is None or late.valid_share.value >= _FEW_VALID or not late.rejected:
        return ""
    reason, count = next(iter(late.rejected.items()))
    share = percent(late.valid, late.proposals) if late.valid else "none"
    return (
        f"{when} {share} of the proposals {'were' if late.valid else 'was'} valid, so hardly anything new is "
        f"learned; {percent(count, sum(late.rejected.values()))} of the rejections have the reason "
        f'"{rejection(reason).name}": {rejection(reason).remedy}.'
    )


def _one_reason(late: Game, when: str) -> str:
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


def _wrong(summary: Summary, late: Game, when: str) -> str:
    """Accepted questions of which most have another answer, so that the solver is rewarded for wrong ones."""
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
    """Questions that teach the solver nothing, because it never or always solves them."""
    late = summary.composition.quarter(3)
    if len(late.steps) < STEPS_TO_JUDGE:
        return ""
    never, always = late.share("never_solved"), late.share("always_solved")
    if never > 0.6:
        return (
            f"Late in the run {percent(never)} of the solver's groups were never solved: reward questions of middling "
            'difficulty (self_play.proposer_reward = "intermediate"), or wish for fewer hops (self_play.hops).'
        )
    if always > 0.5:
        return (
            f"Late in the run {percent(always)} of the solver's groups were always solved: wish for more hops "
            "(self_play.hops), or raise self_play.proposer_weight."
        )
    return ""


def _not_harder(summary: Summary, game: Game) -> str:
    """By the success of the reference policy; only a proposer that learns can be expected to ask for more and more."""
    change = reference_change(game)
    learns = summary.setting("self_play", "fixed") != "proposer"
    if change is None or not learns or len(game.rows) < 4 * STEPS_TO_JUDGE:
        return ""
    early, late = change
    if early.value <= _ALREADY_HARD or (late.value < early.value and early.differs(late)):
        return ""
    return (
        f"By the reference policy the questions did not get harder (the start policy solves {percent(early.value)}, "
        f"then {percent(late.value)} of them): wish for more hops (self_play.hops), raise self_play.proposer_weight, "
        "or train for longer."
    )
