"""Rules about group sizes."""

from collections.abc import Iterator

from rekindle.config.facts import fewest_and_most, rollouts_per_step
from rekindle.config.tables import Config
from rekindle.learning.estimators import ESTIMATORS
from rekindle.scheduling.gates import GATES
from rekindle.scheduling.pools import POOLS
from rekindle.types import Outcome

__all__ = [
    "budgets_can_be_spent",
    "group_estimator_needs_a_group",
    "minibatches_need_groups",
    "one_rule_for_sizes",
    "profile_can_find_learnable_prompts",
    "signal_needs_a_group",
    "single_rollouts_pass_every_gate",
    "subset_is_smaller",
]


def group_estimator_needs_a_group(config: Config) -> Iterator[str]:
    """A group-relative estimator where a group may be a single rollout."""
    estimator = config.advantage.estimator
    fewest, most = fewest_and_most(config)
    if fewest > 1 or not ESTIMATORS[estimator].needs_group:
        return
    if most == 1:
        yield (
            f'advantage.estimator = "{estimator}" compares rollouts of one group, and train.group_size = 1 leaves '
            'nothing to compare; set train.group_size = 4 or advantage.estimator = "batch_standardize"'
        )
    else:
        yield (
            f'advantage.estimator = "{estimator}" cannot use the groups of one that sizes.minimum = 1 allows; '
            "set sizes.minimum = 2"
        )


def single_rollouts_pass_every_gate(config: Config) -> Iterator[str]:
    """A gate that drops single rollouts, all of them or the failures."""
    gate = config.train.gate
    drops = GATES[gate].drops
    if fewest_and_most(config)[0] > 1 or not drops:
        return
    dropped = "group of one rollout, because one reward has no signal"
    if Outcome.ALL_CORRECT not in drops:
        dropped = "single rollout that failed, so that successes have nothing to be compared with"
    yield f'train.gate = "{gate}" drops every {dropped}; set train.gate = "everything"'


def signal_needs_a_group(config: Config) -> Iterator[str]:
    """Methods that read the signal of a group, where a group may be a single rollout."""
    fewest, most = fewest_and_most(config)
    one = "train.group_size = 1" if most == 1 else "sizes.minimum = 1"
    kind = config.pool.kind
    if fewest == 1 and POOLS[kind].chooses_by_signal:
        does = "puts back prompts without signal" if POOLS[kind].puts_back else "skips prompts without signal"
        yield (
            f'pool.kind = "{kind}" {does}, and a group of one ({one}) never has signal; raise it, or set '
            'pool.kind = "cycling"'
        )
    if config.train.group_size == 1 and kind == "prioritized" and config.priority.score == "signal_chance":
        yield (
            'priority.score = "signal_chance" is the chance that train.group_size rewards differ, which is 0 for one; '
            'set priority.score = "uncertainty" or train.group_size = 4'
        )
    if most == 1 and config.top_up.kind == "mixed":
        yield (
            'top_up.kind = "mixed" adds rollouts to groups with signal, which a single rollout never has; '
            "set train.group_size = 4"
        )


def one_rule_for_sizes(config: Config) -> Iterator[str]:
    """Two rules for the size of a group: phases, a knapsack, 1/p, top-ups, single rollouts."""
    sizes, kind = config.sizes, config.pool.kind
    phased = POOLS[kind].sizes_groups
    if phased and sizes.rule != "fixed":
        yield (
            f'sizes.rule = "{sizes.rule}" and pool.kind = "{kind}" both set the size of a group; '
            'set sizes.rule = "fixed" (the phases then size the groups) or another pool.kind'
        )
    if config.top_up.kind != "off" and phased:
        yield (
            f'top_up.kind = "{config.top_up.kind}" and pool.kind = "{kind}" both set the size of a group; '
            'set top_up.kind = "off" or another pool.kind'
        )
    elif config.top_up.kind != "off" and sizes.rule == "knapsack":
        yield (
            f'top_up.kind = "{config.top_up.kind}" adds rollouts to a step whose total sizes.rule = "knapsack" holds '
            'constant; set top_up.kind = "off" or another sizes.rule'
        )
    if rollouts_per_step(config) is not None and config.train.group_size == 1 < sizes.minimum:
        yield (
            f'train.group_size = 1 asks for single rollouts, and pool.kind = "{kind}" for groups of {sizes.minimum} '
            "and more; set train.group_size = 4 (it then only sets the rollouts of a step) or another pool.kind"
        )


def budgets_can_be_spent(config: Config) -> Iterator[str]:
    """Group sizes that do not fit the rollouts of a step."""
    train, sizes = config.train, config.sizes
    if sizes.rule == "knapsack" and not sizes.minimum <= train.group_size <= sizes.maximum:
        yield (
            f'sizes.rule = "knapsack" spends train.group_size = {train.group_size} rollouts a prompt on average, which '
            f"is outside sizes.minimum = {sizes.minimum} to sizes.maximum = {sizes.maximum}; change one of them"
        )
    elif sizes.rule == "knapsack" and train.group_size in (sizes.minimum, sizes.maximum) != (sizes.minimum,) * 2:
        which = "sizes.minimum" if train.group_size == sizes.minimum else "sizes.maximum"
        yield (
            f'sizes.rule = "knapsack" has no rollouts to share out: train.group_size = {which} = {train.group_size}; '
            f"{'lower' if which == 'sizes.minimum' else 'raise'} {which} or change train.group_size"
        )
    rollouts = rollouts_per_step(config)
    if rollouts is not None and sizes.maximum > rollouts:
        yield (
            f"sizes.maximum = {sizes.maximum} is more than the {rollouts} rollouts of a step (train.groups_per_step x "
            "train.group_size); lower the one or raise the others"
        )


def profile_can_find_learnable_prompts(config: Config) -> Iterator[str]:
    """A profile with so few samples that one success makes a prompt trivial."""
    table = config.profile
    made = POOLS[config.pool.kind].needs_profile and table.path is None
    if made and table.trivial_above * table.samples < 1:
        yield (
            f"a prompt solved once in profile.samples = {table.samples} is above profile.trivial_above = "
            f"{table.trivial_above}, so none is left to train on; set profile.samples = 8 or raise the other"
        )


def minibatches_need_groups(config: Config) -> Iterator[str]:
    """More minibatches than a step has groups."""
    train, sizes, minibatches = config.train, config.sizes, config.optimizer.minibatches
    groups, which = train.groups_per_step, f"train.groups_per_step = {train.groups_per_step}"
    if (rollouts := rollouts_per_step(config)) is not None:
        groups = max(1, rollouts // sizes.maximum)
        which = f"the {groups} groups of a step in the phase of sizes.maximum = {sizes.maximum}"
    if minibatches > groups:
        yield (
            f"optimizer.minibatches = {minibatches} is more than {which}; a minibatch needs at least one group, "
            f"set optimizer.minibatches = {groups} or less"
        )


def subset_is_smaller(config: Config) -> Iterator[str]:
    """A subset as large as the group, or one that its top-up does not fill."""
    subset, most = config.subset, fewest_and_most(config)[1]
    if subset.kind != "off" and subset.size >= most:
        size = f"train.group_size = {most}" if most == config.train.group_size else f"groups of at most {most}"
        remedy = "raise the group size" + (" or lower subset.size" if most > 2 else "")
        yield f'subset.size = {subset.size} leaves nothing out of {size}; {remedy}, or set subset.kind = "off"'
    if config.top_up.kind == "balance" and subset.kind != "balanced":
        yield (
            'top_up.kind = "balance" samples until half of subset.size is right and half wrong; '
            'set subset.kind = "balanced"'
        )
