"""Which settings contradict each other, and why. docs/composition.md is made from these rules.

A rule looks at a configuration whose tables are valid by themselves and returns the reason why it is refused, with the
remedy, or None. Whatever no rule refuses is meant to work. Two kinds of rules: combinations that cannot work, and keys
that nothing would read (an option without an effect is an error, not a silence).
"""

from collections.abc import Callable, Iterator

from rekindle.config.tables import (
    Config,
    TinyModel,
    TrainTable,
    WarmStartTable,
    _Table,
)

__all__ = ["BATCH_ESTIMATORS", "RULES", "Rule", "refusals"]

Rule = Callable[[Config], str | None]

BATCH_ESTIMATORS = ("batch_standardize", "c_rf", "spo", "shrunk_baseline")
"""Estimators that need no second rollout of the same prompt."""


def refusals(config: Config) -> list[str]:
    """Why this configuration cannot run, a sentence each; empty when it can."""
    return [reason for rule in RULES if (reason := rule(config))]


# -- groups of one ----------------------------------------------------------------------------------------------------


def group_estimator_needs_a_group(config: Config) -> str | None:
    """Group estimators at group size 1."""
    if _single(config) and config.train.estimator not in BATCH_ESTIMATORS:
        return (
            f'train.estimator = "{config.train.estimator}" compares rollouts of one group, and train.group_size = 1 '
            'leaves nothing to compare; set train.group_size = 4 or train.estimator = "batch_standardize"'
        )
    if _smallest(config) == 1 and not _single(config) and config.train.estimator not in BATCH_ESTIMATORS:
        return (
            f'train.estimator = "{config.train.estimator}" cannot use the groups of one that sizes.minimum = 1 allows; '
            "set sizes.minimum = 2"
        )
    return None


def single_rollouts_never_disagree(config: Config) -> str | None:
    """A gate on signal at group size 1."""
    if _single(config) and config.train.gate != "everything":
        return (
            f'train.gate = "{config.train.gate}" drops groups of one rollout by a reward that cannot disagree; '
            'set train.gate = "everything"'
        )
    return None


def signal_needs_a_group(config: Config) -> str | None:
    """Methods that act on groups with or without signal, at group size 1."""
    if not _single(config):
        return None
    for used, name, instead in (
        (config.pool.kind == "recycling", 'pool.kind = "recycling" puts back groups without signal', "cycling"),
        (config.pool.kind == "selective", 'pool.kind = "selective" skips prompts without signal', "cycling"),
    ):
        if used:
            return f'{name}, and a single rollout never has any; set train.group_size = 4 or pool.kind = "{instead}"'
    if config.pool.kind == "prioritized" and config.priority.score == "signal_chance" and config.priority.sharpness:
        return (
            'priority.score = "signal_chance" is 0 for every group of one; '
            'set priority.score = "uncertainty" or train.group_size = 4'
        )
    if config.subset.kind != "off":
        return 'subset.kind chooses among the rollouts of a group, and there is one; set subset.kind = "off"'
    if config.top_up.kind == "mixed":
        return (
            'top_up.kind = "mixed" goes on with groups that disagree, and one rollout cannot; set train.group_size = 4'
        )
    return None


# -- sizes ------------------------------------------------------------------------------------------------------------


def one_rule_for_sizes(config: Config) -> str | None:
    """Phases prescribe the group size, a knapsack must be able to spend its budget."""
    train, sizes = config.train, config.sizes
    if config.pool.kind == "phased" and sizes.rule != "fixed":
        return (
            f'sizes.rule = "{sizes.rule}" and pool.kind = "phased" both say how large a group is; '
            'set sizes.rule = "fixed" (the phases then size the groups) or another pool.kind'
        )
    if sizes.rule == "knapsack" and not sizes.minimum <= train.group_size <= sizes.maximum:
        return (
            f'sizes.rule = "knapsack" spends train.group_size = {train.group_size} rollouts a prompt on average, which '
            f"is outside sizes.minimum = {sizes.minimum} to sizes.maximum = {sizes.maximum}; change one of them"
        )
    return None


def minibatches_need_groups(config: Config) -> str | None:
    """More minibatches than groups."""
    train = config.train
    if train.minibatches > train.groups_per_step:
        return (
            f"train.minibatches = {train.minibatches} is more than train.groups_per_step = {train.groups_per_step}; "
            "a minibatch needs at least one group"
        )
    return None


def subset_is_smaller(config: Config) -> str | None:
    """A subset that can never leave anything out."""
    subset, fixed = config.subset, config.sizes.rule == "fixed" and config.pool.kind != "phased"
    if subset.kind != "off" and fixed and config.top_up.kind == "off" and subset.size >= config.train.group_size:
        return (
            f"subset.size = {subset.size} leaves nothing out of train.group_size = {config.train.group_size}; "
            "raise the group size or lower the subset"
        )
    if config.top_up.kind == "balance" and subset.kind != "balanced":
        return (
            'top_up.kind = "balance" samples until half of subset.size is right and half wrong; '
            'set subset.kind = "balanced"'
        )
    return None


# -- temperature ------------------------------------------------------------------------------------------------------


def heating_rises(config: Config) -> str | None:
    """The highest temperature below the base."""
    heating, base = config.heating, config.train.temperature
    if heating.delta and heating.maximum < base:
        return (
            f"heating.maximum = {heating.maximum} is below train.temperature = {base}, so heating would cool; "
            f"set heating.maximum above {base}"
        )
    if heating.delta and heating.maximum == base:
        return f"heating.maximum = train.temperature = {base} leaves no room to heat; raise it or set heating.delta = 0"
    return None


def heated_prompts_must_stay(config: Config) -> str | None:
    """SGPO's filter deletes exactly the prompts that ERPO heats."""
    if config.pool.kind == "phased" and config.heating.delta and config.profile.trivial_above < 1:
        return (
            f"profile.trivial_above = {config.profile.trivial_above} removes the prompts that are nearly always "
            "solved, and heating.delta heats exactly these; set profile.trivial_above = 1 to keep and heat them, or "
            "heating.delta = 0"
        )
    return None


def reactivation_needs_heat(config: Config) -> str | None:
    """RA acts on heated all-correct groups that reach the update, one by one."""
    if config.reactivation.kind == "off":
        return None
    if not config.heating.delta:
        return "reactivation.kind acts on heated prompts, and nothing is heated; set heating.delta = 0.05"
    if config.train.gate == "has_signal":
        return (
            'train.gate = "has_signal" drops the all-correct groups that reactivation.kind revives; '
            'set train.gate = "not_all_wrong"'
        )
    if config.train.estimator in (*BATCH_ESTIMATORS, "gpg", "reinforce_pp_baseline"):
        return (
            f'reactivation.kind adds a failure to one group, and train.estimator = "{config.train.estimator}" looks at '
            'the whole batch; set train.estimator = "grpo", "dr_grpo", "rloo" or "maxrl"'
        )
    return None


def off_temperature_needs_heat(config: Config) -> str | None:
    """Modes for rollouts at another temperature, where there are none or where the old policy is not known there."""
    train = config.train
    if train.off_temperature == "tempered":
        return None
    if not config.heating.delta:
        return (
            f'train.off_temperature = "{train.off_temperature}" is about heated prompts, and nothing is heated; '
            "set heating.delta = 0.05"
        )
    if (train.epochs > 1 or train.minibatches > 1) and train.old_logprobs != "recompute":
        return (
            f'train.off_temperature = "{train.off_temperature}" with several optimizer steps a batch needs the old '
            "policy's log-probabilities at train.temperature, which the engine did not sample at; "
            'set train.old_logprobs = "recompute"'
        )
    if train.old_logprobs == "engine":
        return (
            f'train.off_temperature = "{train.off_temperature}" cannot use the engine\'s log-probabilities, which are '
            'at the heated temperature; set train.old_logprobs = "auto"'
        )
    return None


# -- gates and refill -------------------------------------------------------------------------------------------------


def refill_needs_a_gate(config: Config) -> str | None:
    """A gate that lets everything pass never asks for more."""
    if config.refill.max_rounds and config.train.gate == "everything":
        return (
            'train.gate = "everything" accepts every group, so refill.max_rounds would never draw again; '
            'set train.gate = "has_signal" or refill.max_rounds = 0'
        )
    return None


def zero_variance_groups_must_pass(config: Config) -> str | None:
    """RL-ZVP trains on groups without signal, which must reach the update and have no other advantage."""
    train = config.train
    if not train.zero_variance_scale:
        return None
    if train.gate != "everything":
        return (
            f'train.gate = "{train.gate}" drops groups that train.zero_variance_scale learns from; '
            'set train.gate = "everything"'
        )
    if train.estimator in BATCH_ESTIMATORS:
        return (
            f'train.estimator = "{train.estimator}" already gives groups without signal an advantage; '
            'set train.zero_variance_scale = 0 or train.estimator = "grpo"'
        )
    if config.reactivation.kind != "off":
        return (
            "reactivation.kind and train.zero_variance_scale both give all-correct groups an advantage; switch one off"
        )
    return None


def binary_rewards(config: Config) -> str | None:
    """Methods that count successes, with real-valued rewards."""
    if config.task.binary_rewards:
        return None
    needing = {
        'train.gate = "not_all_wrong"': config.train.gate == "not_all_wrong",
        'train.estimator = "c_rf"': config.train.estimator == "c_rf",
        "heating.delta": config.heating.delta > 0,
        "train.zero_variance_scale": config.train.zero_variance_scale > 0,
        f'pool.kind = "{config.pool.kind}"': config.pool.kind in {"prioritized", "selective", "phased"},
        f'sizes.rule = "{config.sizes.rule}"': config.sizes.rule != "fixed",
        'top_up.kind = "balance"': config.top_up.kind == "balance",
        'subset.kind = "balanced"': config.subset.kind == "balanced",
        "profile.path": config.profile.path is not None,
    }
    for name, used in needing.items():
        if used:
            return f"{name} needs 0/1 rewards; set task.binary_rewards = true"
    return None


# -- keys that nothing would read -------------------------------------------------------------------------------------


def unread_keys(config: Config) -> str | None:
    """Settings of a method that is not switched on."""
    for table, used, remedy in _conditional_tables(config):
        value: _Table = getattr(config, table)
        default = type(value)()
        for key in type(value).model_fields:
            if not used(key) and getattr(value, key) != getattr(default, key):
                return f"{table}.{key} = {getattr(value, key)!r} would not be read; {remedy}, or remove it"
    return None


def _conditional_tables(config: Config) -> Iterator[tuple[str, Callable[[str], bool], str]]:
    """(table, which of its keys are read, what switches it on)."""
    pool, train = config.pool.kind, config.train
    believes = pool == "prioritized" or config.sizes.rule != "fixed" or config.phases.reprofile
    believes = believes or train.estimator in {"spo", "shrunk_baseline"}
    consumed = pool == "recycling" or (pool == "prioritized" and config.priority.consume == "trained")
    kept = {"kind", *(("alpha", "reset_below") if consumed else ()), *(("on_empty",) if pool == "recycling" else ())}
    yield "pool", kept.__contains__, 'set pool.kind = "recycling"'
    chance = config.priority.score == "signal_chance"
    yield (
        "priority",
        lambda key: pool == "prioritized" and (chance or key not in {"estimate", "sharpness"}),
        'set pool.kind = "prioritized" and priority.score = "signal_chance"',
    )
    yield "posterior", lambda _: believes, "it belongs to methods that estimate success rates, e.g. posterior recycling"
    yield "skip", lambda _: pool == "selective", 'set pool.kind = "selective"'
    yield "phases", lambda _: pool == "phased", 'set pool.kind = "phased"'
    profiled = {"path", "force"} if config.profile.path else {"path"}
    in_phases = {"samples", "trivial_above", "unsolved_share"} if pool == "phased" else set[str]()
    yield "profile", (profiled | in_phases).__contains__, 'set profile.path (pool.kind = "phased" reads all of it)'
    sized = config.sizes.rule != "fixed" or pool == "phased"
    rounded = sized and config.sizes.rule != "knapsack"
    yield "sizes", lambda key: key == "rule" or (rounded if key == "rounding" else sized), "set sizes.rule"
    yield "heating", lambda key: key == "delta" or config.heating.delta > 0, "set heating.delta = 0.05"
    ra = config.reactivation.kind
    yield (
        "reactivation",
        lambda key: key == "kind" or (ra == "constant" if key == "constant" else ra != "off"),
        ("set reactivation.kind"),
    )
    top_up = {"kind", *({"mixed": ["more"], "balance": ["max_rounds"]}.get(config.top_up.kind, []))}
    yield "top_up", top_up.__contains__, "set top_up.kind"
    yield "subset", lambda key: key == "kind" or config.subset.kind != "off", "set subset.kind"


def unread_train_keys(config: Config) -> str | None:
    """The same for single keys of the train table."""
    train, default = config.train, TrainTable()
    if train.importance_cap != default.importance_cap and train.off_temperature != "importance":
        return 'train.importance_cap is only read with train.off_temperature = "importance"; set it, or remove the cap'
    if train.baseline_strength != default.baseline_strength and train.estimator != "shrunk_baseline":
        return (
            'train.baseline_strength is only read with train.estimator = "shrunk_baseline"; set it, or remove the key'
        )
    if train.schedule != "constant" and train.steps is None:
        return f'train.schedule = "{train.schedule}" needs train.steps to know where it ends'
    return None


def profile_has_someone_to_read_it(config: Config) -> str | None:
    """A profile that nothing asks for."""
    reads = config.pool.kind in {"phased", "prioritized"} or config.sizes.rule != "fixed"
    if config.profile.path and not reads and config.train.estimator not in {"spo", "shrunk_baseline"}:
        return (
            'profile.path is read by pool.kind = "phased" and by methods that estimate success rates, and none of them '
            "is on; switch one on, or remove profile.path"
        )
    return None


# -- models and tasks -------------------------------------------------------------------------------------------------


def model_reads_the_task(config: Config) -> str | None:
    """The tiny model only knows the embedded task, and has no chat template."""
    if config.model.path is not None:
        if (config.model.tiny, config.warm_start) != (TinyModel(), WarmStartTable()):
            return "model.tiny and warm_start make a model, and model.path names one; remove the one or the other"
        return None
    if config.task.source != "spell_backward":
        return (
            f'task.source = "{config.task.source}" needs a model that can read it; set model.path to a model '
            'directory (the tiny model only knows task.source = "spell_backward")'
        )
    longest = config.task.params.get("max_length", 14)
    if isinstance(longest, int) and config.model.tiny.max_length < 2 * longest + 2:
        return (
            f"model.tiny.max_length = {config.model.tiny.max_length} is too short for words of {longest} letters and "
            f"their answers; set it to at least {2 * longest + 2}"
        )
    if config.model.system_prompt is not None:
        return "model.system_prompt needs a chat template, which the tiny model has not; set model.path or remove it"
    return None


def task_is_named(config: Config) -> str | None:
    """A source's file or name, and its own verifier."""
    task = config.task
    if task.source in {"jsonl", "parquet", "gsm8k"} and task.path is None:
        return f'task.source = "{task.source}" needs task.path, the file to read'
    if task.source == "reasoning_gym" and task.name is None:
        return 'task.source = "reasoning_gym" needs task.name, e.g. "spell_backward"'
    if task.verifier == "reasoning_gym" and task.source != "reasoning_gym":
        return 'task.verifier = "reasoning_gym" only judges its own tasks; set task.source = "reasoning_gym"'
    return None


RULES: tuple[Rule, ...] = (
    group_estimator_needs_a_group,
    single_rollouts_never_disagree,
    signal_needs_a_group,
    one_rule_for_sizes,
    minibatches_need_groups,
    subset_is_smaller,
    heating_rises,
    heated_prompts_must_stay,
    reactivation_needs_heat,
    off_temperature_needs_heat,
    refill_needs_a_gate,
    zero_variance_groups_must_pass,
    binary_rewards,
    unread_keys,
    unread_train_keys,
    profile_has_someone_to_read_it,
    model_reads_the_task,
    task_is_named,
)
"""Every rule, in the order of their reasons."""


def _single(config: Config) -> bool:
    """Whether every group has one rollout."""
    return config.train.group_size == 1 and config.sizes.rule == "fixed" and config.pool.kind != "phased"


def _smallest(config: Config) -> int:
    """The smallest group there can be."""
    sized = config.sizes.rule != "fixed" or config.pool.kind == "phased"
    return config.sizes.minimum if sized else config.train.group_size
