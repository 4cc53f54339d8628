"""Builds training samples from groups: advantages from the rewards, weights from the lengths."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress, islice

from rekindle.learning.credit import Credit
from rekindle.learning.estimators import Compared, reactivate
from rekindle.learning.token_filters import lowest_probability
from rekindle.types import Group, Outcome, Rollout, TrainingSample, UserError

__all__ = ["build_samples"]

_SIGN = {Outcome.ALL_CORRECT: 1.0, Outcome.ALL_WRONG: -1.0, Outcome.MIXED: 0.0}


def build_samples(groups: Sequence[Group], credit: Credit) -> list[TrainingSample]:
    """Build one training sample per rollout, in the order of the groups.

    Every group given counts in the denominators, also one without signal (its advantage is 0). Rollouts left out by the
    subset do not count. Rollouts of one group share ``prompt_key``.

    Raises:
        UserError: A reward is not a finite number.
    """
    _check_rewards(groups)
    if credit.tool_tokens:
        groups = [replace(group, rollouts=tuple(map(_with_tool_tokens, group.rollouts))) for group in groups]
    if credit.overlong is not None:
        groups = [replace(group, rollouts=tuple(map(credit.overlong.trained, group.rollouts))) for group in groups]
    chosen = [_chosen(group, credit) for group in groups]
    rollouts = [group.rollouts[index] for group, picked in zip(groups, chosen, strict=True) for index in picked]
    members = [member for member, picked in enumerate(chosen) for _ in picked]
    weights = credit.aggregation([rollout.generated_tokens for rollout in rollouts], members)
    advantages = [value for values in _advantages(groups, chosen, credit) for value in values]
    return [
        _sample(rollout, advantage, credit.weight * weight, groups[member], credit)
        for rollout, advantage, weight, member in zip(rollouts, advantages, weights, members, strict=True)
    ]


def _with_tool_tokens(rollout: Rollout) -> Rollout:
    """The rollout with all tokens after its prompt marked trainable."""
    before = rollout.prompt_length
    return replace(rollout, loss_mask=[False] * before + [True] * (len(rollout.token_ids) - before))


def _check_rewards(groups: Sequence[Group]) -> None:
    for group in groups:
        for reward in group.rewards:
            if not math.isfinite(reward):
                raise UserError(
                    f"a rollout of task {group.request.task_id!r} has reward {reward}; "
                    "its verifier must return a finite number"
                )


def _chosen(group: Group, credit: Credit) -> Sequence[int]:
    """Indices of the rollouts that are trained on."""
    return range(len(group.rollouts)) if credit.subset is None else credit.subset.choose(group.rewards)


def _advantages(groups: Sequence[Group], chosen: Sequence[Sequence[int]], credit: Credit) -> list[list[float]]:
    """Advantages of the chosen rollouts, per group."""
    if credit.subset is not None and credit.subset.baseline == "all":
        every = credit.estimator.function(_compared(groups, [range(len(one.rollouts)) for one in groups], credit))
        values = [[row[index] for index in picked] for row, picked in zip(every, chosen, strict=True)]
    else:
        values = credit.estimator.function(_compared(groups, chosen, credit))
    if credit.reactivation is None:
        return values
    return [_reactivated(group, row, credit) for group, row in zip(groups, values, strict=True)]


def _compared(groups: Sequence[Group], picks: Sequence[Sequence[int]], credit: Credit) -> list[Compared]:
    """The estimator's input: the picked rollouts of each group, and how often the loss counts them."""
    picked = [[group.rollouts[index] for index in pick] for group, pick in zip(groups, picks, strict=True)]
    lengths = [rollout.generated_tokens for rollouts in picked for rollout in rollouts]
    members = [member for member, rollouts in enumerate(picked) for _ in rollouts]
    units = iter(credit.aggregation.units(lengths, members))
    return [
        Compared([_reward(rollout, credit) for rollout in rollouts], *group.beta, list(islice(units, len(rollouts))))
        for group, rollouts in zip(groups, picked, strict=True)
    ]


def _reward(rollout: Rollout, credit: Credit) -> float:
    """The reward that advantages are computed from."""
    return rollout.reward if credit.overlong is None else credit.overlong.reward(rollout)


def _reactivated(group: Group, values: list[float], credit: Credit) -> list[float]:
    """ERPO's advantages for a group that the reactivation applies to; other groups keep theirs."""
    reactivation = credit.reactivation
    if reactivation is None or not reactivation.applies(group):
        return values
    factor = reactivation.factor(group)
    if reactivation.kind == "constant":
        return [factor * reactivation.constant] * len(values)

    def compare(rewards: Sequence[float]) -> list[float]:
        return credit.estimator.function([Compared(rewards, *group.beta)])[0]

    return [factor * value for value in reactivate(group.rewards[: len(values)], compare)]


def _sample(rollout: Rollout, advantage: float, weight: float, group: Group, credit: Credit) -> TrainingSample:
    temperature, importance_cap = rollout.temperature, credit.tis_cap
    elsewhere = credit.off_temperature
    if elsewhere is not None and rollout.temperature != elsewhere.base:
        temperature = elsewhere.base
        importance_cap = elsewhere.cap if elsewhere.mode == "importance" else 0.0
    scaled, scale = _scaled(advantage, credit), credit.zero_variance_scale
    return TrainingSample(
        token_ids=rollout.token_ids,
        loss_mask=rollout.loss_mask,
        logprobs=rollout.logprobs,
        advantages=_token_advantages(rollout, scaled, credit.negative_keep_ratio),
        temperature=temperature,
        behaviour_temperature=rollout.temperature,
        weight=weight,
        version=rollout.version,
        prompt_key=group.request.id,
        entropy_scale=_scaled(scale * _SIGN[group.outcome], credit) if scale and rollout.generated_tokens else 0.0,
        importance_cap=importance_cap,
        side=int(advantage) if credit.estimator.balances_each_step else 0,
    )


def _scaled(advantage: float, credit: Credit) -> float:
    """A negative advantage times its scale; other advantages as they are."""
    return advantage * credit.negative_scale if advantage < 0 else advantage


def _token_advantages(rollout: Rollout, advantage: float, keep_ratio: float) -> list[float]:
    """The advantage of every trainable token; a negative one is kept by the least likely tokens only.

    The filter ranks the behaviour log-probabilities of the whole trajectory, all turns together, before the batch is
    split into micro-batches. Tokens filtered out still count in the length.
    """
    if not advantage:
        return [0.0] * len(rollout.loss_mask)
    if advantage > 0 or keep_ratio == 1:
        return [advantage if trainable else 0.0 for trainable in rollout.loss_mask]
    kept = iter(lowest_probability(list(compress(rollout.logprobs, rollout.loss_mask)), keep_ratio))
    return [advantage if trainable and next(kept) else 0.0 for trainable in rollout.loss_mask]
