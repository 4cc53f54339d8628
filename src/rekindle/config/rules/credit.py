"""Rules about which groups reach the update, and what they teach there."""

from collections.abc import Iterator

from rekindle.config.rules.facts import BATCH_ESTIMATORS, optimizer_steps
from rekindle.config.tables import Config

__all__ = [
    "an_end_of_the_pool_can_be_reached",
    "forgetting_is_ordered",
    "further_draws_need_a_gate",
    "ratio_needs_several_steps",
    "recycling_needs_a_gate",
    "silent_groups_can_be_made_up_for",
    "successes_need_binary_rewards",
    "zero_variance_groups_must_pass",
]


def further_draws_need_a_gate(config: Config) -> Iterator[str]:
    """Refill or oversampling beside a gate that lets everything pass, so that a step is full at once."""
    train = config.train
    if train.gate != "everything":
        return
    if config.refill.max_rounds:
        yield (
            'train.gate = "everything" accepts every group, so refill.max_rounds would never draw again; '
            'set train.gate = "has_signal" or refill.max_rounds = 0'
        )
    if train.oversample > 1:
        yield (
            f'train.gate = "everything" accepts every group, so train.oversample = {train.oversample} would roll out '
            'groups only to leave them out; set train.gate = "has_signal" or train.oversample = 1'
        )


def recycling_needs_a_gate(config: Config) -> Iterator[str]:
    """Query recycling where groups that teach nothing count as trained."""
    train = config.train
    if config.pool.kind != "recycling":
        return
    if train.gate == "everything":
        yield (
            'pool.kind = "recycling" puts back the prompts that the gate turns away, and train.gate = "everything" '
            'turns none away; set train.gate = "has_signal" or pool.kind = "cycling"'
        )
    solved_teach = config.reactivation.kind != "off" or train.estimator in BATCH_ESTIMATORS
    if train.gate == "not_all_wrong" and not solved_teach:
        yield (
            'train.gate = "not_all_wrong" uses up solved prompts, which pool.kind = "recycling" is to put back, and '
            'nothing gives them an advantage; set train.gate = "has_signal" or reactivation.kind = "virtual_failure"'
        )


def an_end_of_the_pool_can_be_reached(config: Config) -> Iterator[str]:
    """A stop at an empty pool that is never empty."""
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
    """RL-ZVP where groups without signal do not reach the update, or have another advantage."""
    train = config.train
    if not train.zero_variance_scale:
        return
    if train.gate != "everything":
        yield (
            f'train.gate = "{train.gate}" drops groups that train.zero_variance_scale learns from; '
            'set train.gate = "everything"'
        )
    if train.estimator in BATCH_ESTIMATORS:
        yield (
            f'train.estimator = "{train.estimator}" already gives groups without signal an advantage; '
            'set train.zero_variance_scale = 0 or train.estimator = "grpo"'
        )
    if config.reactivation.kind != "off":
        yield (
            "reactivation.kind and train.zero_variance_scale both give all-correct groups an advantage; "
            'set reactivation.kind = "off" or train.zero_variance_scale = 0'
        )


def silent_groups_can_be_made_up_for(config: Config) -> Iterator[str]:
    """Making up for groups that do not teach, where no such group is in the batch."""
    train = config.train
    if train.estimator == "gpg" and train.gate == "has_signal":
        yield (
            'train.estimator = "gpg" makes up for the groups without signal in a batch, and train.gate = "has_signal" '
            'lets none in; set train.gate = "everything" or train.estimator = "dr_grpo"'
        )
    all_teach = train.estimator in BATCH_ESTIMATORS or train.zero_variance_scale > 0
    if train.batch_exponent and train.gate == "everything" and all_teach:
        what = f'train.estimator = "{train.estimator}"' if train.estimator in BATCH_ESTIMATORS else "RL-ZVP"
        yield (
            f"train.batch_exponent = {train.batch_exponent} scales the step by the groups that taught, and with "
            f'{what} and train.gate = "everything" all do; set train.batch_exponent = 0'
        )


def ratio_needs_several_steps(config: Config) -> Iterator[str]:
    """GSPO and CISPO with one optimizer step per batch: they differ from PPO by their ratio, which is then 1."""
    train = config.train
    if train.loss != "ppo_clip" and optimizer_steps(config) == 1 and train.old_logprobs != "engine":
        yield (
            f'train.loss = "{train.loss}" differs from "ppo_clip" only after a first optimizer step on the batch, and '
            "train.epochs x train.minibatches = 1; set train.minibatches = 4"
        )


def forgetting_is_ordered(config: Config) -> Iterator[str]:
    """A least factor of forgetting above the greatest."""
    least, most = config.posterior.least_discount, config.posterior.most_discount
    if least > most:
        yield f"posterior.least_discount = {least} is above posterior.most_discount = {most}; exchange them"


def successes_need_binary_rewards(config: Config) -> Iterator[str]:
    """Methods that count successes, with real-valued rewards."""
    if config.task.binary_rewards:
        return
    train, pool, estimator = config.train, config.pool.kind, config.train.estimator
    needing = {
        'train.gate = "not_all_wrong"': train.gate == "not_all_wrong",
        f'train.estimator = "{estimator}"': estimator in {"c_rf", "spo", "shrunk_baseline"},
        "heating.delta": config.heating.delta > 0,
        "train.zero_variance_scale": train.zero_variance_scale > 0,
        f'pool.kind = "{pool}"': pool in {"prioritized", "selective", "phased"},
        f'sizes.rule = "{config.sizes.rule}"': config.sizes.rule != "fixed",
        'top_up.kind = "balance"': config.top_up.kind == "balance",
        'subset.kind = "balanced"': config.subset.kind == "balanced",
        "profile.path": config.profile.path is not None,
    }
    for name, used in needing.items():
        if used:
            yield f"{name} needs 0/1 rewards; set task.binary_rewards = true"
