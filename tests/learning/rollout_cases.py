"""Rollouts and groups for the tests of credit: two prompt tokens, then what the policy sampled."""

from rekindle.learning.aggregation import token_mean
from rekindle.learning.credit import Credit
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.samples import build_samples
from rekindle.types import Group, GroupRequest, Rollout, outcome_of


def rollout(reward, length, *, hole=False, temperature=1.2, logprobs=None):
    """Two prompt tokens and ``length`` sampled ones; with a hole, a tool's token stands before the last of them."""
    mask = [False, False] + [True] * length
    if hole:
        mask.insert(-1, False)
    sampled = iter([-0.5] * length if logprobs is None else logprobs)
    behaviour = [next(sampled) if trainable else 0.0 for trainable in mask]
    return Rollout(
        token_ids=list(range(len(mask))),
        loss_mask=mask,
        logprobs=behaviour,
        reward=float(reward),
        temperature=temperature,
        version=3,
    )


def group(key, *rollouts, streak=0, beta=(0.0, 0.0)):
    request = GroupRequest(
        id=key,
        task_id=f"task/{key}",
        row=key,
        n=len(rollouts),
        temperature=rollouts[0].temperature,
        seed=0,
        version=3,
        step=0,
    )
    return Group(
        request=request,
        rollouts=rollouts,
        outcome=outcome_of([each.reward for each in rollouts]),
        streak=streak,
        beta=beta,
    )


def rewarded(key, *rewards, length=1, temperature=1.2, streak=0, beta=(0.0, 0.0)):
    """A group whose rollouts differ in their rewards alone."""
    rollouts = (rollout(reward, length, temperature=temperature) for reward in rewards)
    return group(key, *rollouts, streak=streak, beta=beta)


def samples_of(groups, estimator="grpo", aggregation=token_mean, **stages):
    """``build_samples`` with an estimator's name, and all stages off that are not given."""
    chosen = ESTIMATORS[estimator] if isinstance(estimator, str) else estimator
    return build_samples(groups, Credit(chosen, aggregation, **stages))


def advantages_of(groups, estimator="grpo", aggregation=token_mean, **stages):
    """[rollouts] the advantage on each rollout's last token."""
    return [sample.advantages[-1] for sample in samples_of(groups, estimator, aggregation, **stages)]
