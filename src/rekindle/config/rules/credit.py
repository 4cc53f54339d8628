"""Rules about the groups that reach the update, and their advantages."""

from collections.abc import Iterator

from rekindle.config.facts import compares_with_engine, optimizer_steps, overlong_buffer, plays_search, solver_estimator
from rekindle.config.tables import Config
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.losses import LOSSES
from rekindle.scheduling.gates import GATES
from rekindle.scheduling.pools import POOLS
from rekindle.types import Outcome

__all__ = [
    "an_end_of_the_pool_can_be_reached",
    "compensation_has_groups_without_signal",
    "forgetting_is_ordered",
    "further_draws_need_a_gate",
    "penalties_can_be_compared",
    "penalties_have_one_limit",
    "ratio_needs_several_steps",
    "recycling_needs_a_gate",
    "successes_need_binary_rewards",
    "tis_has_an_old_policy",
    "zero_variance_groups_must_pass",
]


def further_draws_need_a_gate(config: Config) -> Iterator[str]:
    """Refill or oversampling with a gate that accepts every group, so that a step is full at once."""
    train = config.train
    if GATES[train.gate].drops:
        return
    if config.refill.max_rounds:
        yield (
            f'train.gate = "{train.gate}" accepts every group, so refill.max_rounds would never draw again; '
            'set train.gate = "has_signal" or refill.max_rounds = 0'
        )
    if train.oversample > 1:
        yield (
            f'train.gate = "{train.gate}" accepts every group, so train.oversample = {train.oversample} would roll out '
            'groups only to leave them out; set train.gate = "has_signal" or train.oversample = 1'
        )


def recycling_needs_a_gate(config: Config) -> Iterator[str]:
    """Query recycling with a gate that does not drop groups without signal."""
    gate, kind = config.train.gate, config.pool.kind
    drops = GATES[gate].drops
    if not POOLS[kind].puts_back:
        return
    if not drops:
        yield (
            f'pool.kind = "{kind}" puts back the prompts of groups that the gate drops, and '
            f'train.gate = "{gate}" drops none; set train.gate = "has_signal" or pool.kind = "cycling"'
        )
    have_advantage = config.reactivation.kind != "off" or not ESTIMATORS[config.advantage.estimator].needs_group
    if drops and Outcome.ALL_CORRECT not in drops and not have_advantage:
        yield (
            f'train.gate = "{gate}" consumes solved prompts without an advantage, which pool.kind = '
            f'"{kind}" would put back; set train.gate = "has_signal" or reactivation.kind = "virtual_failure"'
        )


def an_end_of_the_pool_can_be_reached(config: Config) -> Iterator[str]:
    """A stop at an empty pool where the pool is never empty."""
    pool = config.pool
    if pool.kind != "recycling" or pool.on_empty != "stop":
        return
    if pool.reset_below:
        yield (
            f'pool.reset_below = {pool.reset_below} refills the pool before pool.on_empty = "stop" can end the run; '
            'set pool.reset_below = 0 or pool.on_empty = "reset"'
        )
    if pool.alpha:
        yield (
            f'pool.alpha = {pool.alpha} keeps trained prompts in the pool, so that pool.on_empty = "stop" never ends '
            'the run; set pool.alpha = 0 or pool.on_empty = "reset"'
        )


def zero_variance_groups_must_pass(config: Config) -> Iterator[str]:
    """RL-ZVP where groups without signal do not reach the update, or have another advantage already."""
    gate, advantage = config.train.gate, config.advantage
    if not advantage.zero_variance_scale:
        return
    if GATES[gate].drops:
        yield (
            f'train.gate = "{gate}" drops the groups without signal that advantage.zero_variance_scale needs; '
            'set train.gate = "everything"'
        )
    if not ESTIMATORS[advantage.estimator].needs_group:
        yield (
            f'advantage.estimator = "{advantage.estimator}" already gives groups without signal an advantage; '
            'set advantage.zero_variance_scale = 0 or advantage.estimator = "grpo"'
        )
    if config.reactivation.kind != "off":
        yield (
            "reactivation.kind and advantage.zero_variance_scale both give all-correct groups an advantage; "
            'set reactivation.kind = "off" or advantage.zero_variance_scale = 0'
        )


def compensation_has_groups_without_signal(config: Config) -> Iterator[str]:
    """Compensation for groups without an advantage, where no such group is in the batch."""
    gate, advantage, exponent = config.train.gate, config.advantage, config.optimizer.batch_exponent
    estimator = ESTIMATORS[advantage.estimator]
    if estimator.rescales_for_silence and {Outcome.ALL_CORRECT, Outcome.ALL_WRONG} <= GATES[gate].drops:
        yield (
            f'advantage.estimator = "{advantage.estimator}" compensates for groups without signal in a batch, and '
            f'train.gate = "{gate}" drops them all; set train.gate = "everything" or advantage.estimator = "dr_grpo"'
        )
    if exponent and not GATES[gate].drops and (not estimator.needs_group or advantage.zero_variance_scale > 0):
        what = "RL-ZVP" if estimator.needs_group else f'advantage.estimator = "{advantage.estimator}"'
        yield (
            f"optimizer.batch_exponent = {exponent} scales the step by the groups with an advantage, and with "
            f'{what} and train.gate = "{gate}" all have one; set optimizer.batch_exponent = 0'
        )


def ratio_needs_several_steps(config: Config) -> Iterator[str]:
    """GSPO and CISPO with one optimizer step per batch: their ratio is then 1, and they equal PPO."""
    loss = config.loss
    if LOSSES[loss.kind].needs_several_steps and optimizer_steps(config) == 1 and not compares_with_engine(config):
        yield (
            f'loss.kind = "{loss.kind}" differs from "ppo_clip" only after a first optimizer step on the batch, and '
            "optimizer.epochs x optimizer.minibatches = 1; set optimizer.minibatches = 4"
        )


def tis_has_an_old_policy(config: Config) -> Iterator[str]:
    """Truncated importance weights without the trainer's log-probabilities of the policy that sampled."""
    loss = config.loss
    if not loss.tis_cap:
        return
    what = f"loss.tis_cap = {loss.tis_cap} compares the trainer's log-probabilities with the engine's"
    if loss.old_logprobs == "engine":
        yield (
            f'{what}, and with loss.old_logprobs = "engine" the ratio is to the engine already; '
            'set loss.old_logprobs = "auto" or loss.tis_cap = 0'
        )
    elif compares_with_engine(config):
        where = "a batch has several optimizer steps" if optimizer_steps(config) > 1 else "a batch lags behind"
        yield f'{what}, which loss.old_logprobs = "auto" takes where {where}; set loss.old_logprobs = "recompute"'
    if loss.off_temperature == "ignore":
        yield (
            f'{what}, and loss.off_temperature = "ignore" takes both at different temperatures; '
            'set loss.off_temperature = "importance" or loss.tis_cap = 0'
        )


def forgetting_is_ordered(config: Config) -> Iterator[str]:
    """A smallest discount above the largest."""
    least, most = config.posterior.least_discount, config.posterior.most_discount
    if least > most:
        yield f"posterior.least_discount = {least} is above posterior.most_discount = {most}; exchange them"


def successes_need_binary_rewards(config: Config) -> Iterator[str]:
    """Methods that count successes, with rewards other than 0 and 1."""
    if config.task.binary_rewards:
        return
    gate, pool, estimator = config.train.gate, config.pool.kind, config.advantage.estimator
    needing = {
        f'train.gate = "{gate}"': GATES[gate].needs_binary_rewards,
        f'advantage.estimator = "{estimator}"': solver_estimator(config).needs_binary_rewards,
        "heating.delta": config.heating.delta > 0,
        "advantage.zero_variance_scale": config.advantage.zero_variance_scale > 0,
        f'pool.kind = "{pool}"': POOLS[pool].needs_binary_rewards,
        f'sizes.rule = "{config.sizes.rule}"': config.sizes.rule != "fixed",
        'top_up.kind = "balance"': config.top_up.kind == "balance",
        'subset.kind = "balanced"': config.subset.kind == "balanced",
        "profile.path": config.profile.path is not None,
    }
    for name, used in needing.items():
        if used:
            yield f"{name} needs 0/1 rewards; set task.binary_rewards = true"


def penalties_can_be_compared(config: Config) -> Iterator[str]:
    """A penalty for overlong rollouts with an estimator of 0/1 or positive rewards, or where groups have no signal."""
    advantage, remedy = config.advantage, 'set overlong.kind = "masked"'
    if config.overlong.kind != "penalty":
        return
    estimator = solver_estimator(config)
    if estimator.needs_binary_rewards or estimator.needs_positive_rewards:
        needs = "0/1 rewards" if estimator.needs_binary_rewards else "rewards of at least 0"
        yield (
            f'overlong.kind = "penalty" lowers rewards, and advantage.estimator = "{advantage.estimator}" needs '
            f'{needs}; {remedy}, or advantage.estimator = "grpo"'
        )
    others = {"reactivation.kind": config.reactivation.kind != "off"}
    others["advantage.zero_variance_scale"] = advantage.zero_variance_scale > 0
    for name, used in others.items():
        if used:
            yield (
                f'overlong.kind = "penalty" gives all-correct groups an advantage by their lengths, and {name} gives '
                f"them another; {remedy}"
            )


def penalties_have_one_limit(config: Config) -> Iterator[str]:
    """A penalty for overlong rollouts in conversations, whose turns have limits of their own, or above the limit."""
    if config.overlong.kind != "penalty":
        return
    if plays_search(config):
        yield (
            'overlong.kind = "penalty" is for single completions, and turns end a search conversation as well as '
            'tokens do; set overlong.kind = "masked"'
        )
    limit = config.engine.max_new_tokens
    if overlong_buffer(config) > limit:
        yield (
            f"overlong.buffer = {config.overlong.buffer} is more than engine.max_new_tokens = {limit}; set "
            f"overlong.buffer = {max(1, limit // 5)}"
        )
