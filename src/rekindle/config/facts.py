"""Properties derived from several keys of a configuration, shared by rules, conditions and callers."""

from typing import TYPE_CHECKING

from rekindle.learning.estimators import ESTIMATORS, Estimator
from rekindle.scheduling.pools import POOLS

if TYPE_CHECKING:
    from rekindle.config.tables import Config
    from rekindle.config.tables.rewards import AuditTable, RewardTable
    from rekindle.config.tables.task import TaskTable

__all__ = [
    "FILE_SOURCES",
    "PROMPT_SOURCES",
    "ROW_SOURCES",
    "audit_name",
    "built_in_verifiers",
    "compares_with_engine",
    "demonstrated_noise",
    "fewest_and_most",
    "fewest_steps",
    "has_rewards",
    "invents_its_world",
    "judges",
    "longest_run",
    "needs_answers",
    "optimizer_steps",
    "overlong_buffer",
    "own_audit",
    "plays_itself",
    "plays_search",
    "reward_name",
    "rollouts_per_step",
    "short_warm_up",
    "solver_estimator",
    "trains_all_weights",
    "updates_per_step",
    "uses_judge",
    "uses_maths",
    "uses_reasoning_gym",
    "uses_scorers",
    "verifier_is_a_reward",
    "verifier_judges",
    "verifier_name",
    "verifies_in_workers",
    "verifies_maths",
]

FILE_SOURCES = ("jsonl", "json", "csv", "parquet", "gsm8k")
"""Sources (``task.source``) that read tasks from files."""
ROW_SOURCES = (*FILE_SOURCES, "hub", "given")
"""Sources with rows of the user's choice, which have columns, a verifier by content, and held-out rows."""
PROMPT_SOURCES = (*ROW_SOURCES, "reasoning_gym", "arithmetic")
"""Sources whose prompts can have any length."""
AUTOMATIC = {
    "gsm8k": "math",
    "arithmetic": "math",
    "reasoning_gym": "reasoning_gym",
    "search_world": "qa_exact_match",
    "self_play": "qa_exact_match",
}
"""Verifier by source, where it is not ``exact_match``."""
WITHOUT_ANSWERS = frozenset({"reasoning_gym"})
"""Verifiers that do not read a task's reference answer."""
STRICTER = {"math": "last_number", "cover_match": "qa_exact_match", "f1": "qa_exact_match"}
"""The stricter sibling of a verifier, which audits it."""


def fewest_and_most(config: "Config") -> tuple[int, int]:
    """Smallest and largest final group size, top-ups included."""
    n, sizes, top_up = config.train.group_size, config.sizes, config.top_up
    sized = sizes.rule != "fixed" or POOLS[config.pool.kind].sizes_groups
    fewest, most = (sizes.minimum, sizes.maximum) if sized else (n, n)
    if top_up.kind == "mixed":
        return fewest, most + top_up.more if most > 1 else 1
    if top_up.kind == "balance":  # ends with one right and one wrong at the earliest, or after two rounds and more
        return max(2, fewest), most + (top_up.max_rounds - 1) * n
    return fewest, most


def optimizer_steps(config: "Config") -> int:
    """Optimizer steps per batch."""
    return config.optimizer.epochs * config.optimizer.minibatches


def compares_with_engine(config: "Config") -> bool:
    """Whether the loss's ratio may be to the engine's log-probabilities instead of the trainer's."""
    beyond = optimizer_steps(config) > 1 or config.train.max_off_policy_steps > 0
    return config.loss.old_logprobs == "engine" or (config.loss.old_logprobs == "auto" and beyond)


def solver_estimator(config: "Config") -> Estimator:
    """The solver's advantage estimator with its settings."""
    settings = config.advantage.model_dump()
    if config.optimizer.minibatches == 1:  # the batch is the optimizer step
        settings["count_over"] = "batch"
    return ESTIMATORS[config.advantage.estimator].tuned(settings)


def rollouts_per_step(config: "Config") -> int | None:
    """Rollouts of every step, where phases of larger groups have fewer groups; None elsewhere."""
    if POOLS[config.pool.kind].sizes_groups and config.phases.constant == "rollouts":
        return config.train.groups_per_step * config.train.group_size
    return None


def overlong_buffer(config: "Config") -> int:
    """Tokens before ``engine.max_new_tokens`` in which the penalty of overlong rollouts grows."""
    limit, buffer = config.engine.max_new_tokens, config.overlong.buffer
    return max(1, limit // 5) if buffer is None else buffer


def plays_search(config: "Config") -> bool:
    """Whether the environment is the search agent."""
    task = config.task
    searches = task.source in {"search_world", "self_play"}
    return task.environment == "search" or (task.environment == "auto" and searches)


def plays_itself(config: "Config") -> bool:
    """Whether the run is self-play: the policy proposes its own tasks."""
    return config.task.source == "self_play"


def demonstrated_noise(config: "Config") -> int:
    """Most other trajectories of which the verifier's demonstrations of the warm start have documents."""
    own = config.warm_start.check_noise
    return config.check.noise if own is None else own


def fewest_steps(config: "Config") -> int | None:
    """Steps that a run has at least, by its length and its budgets; None where it has none."""
    train = config.train
    most = train.groups_per_step * train.oversample * fewest_and_most(config)[1] * (1 + config.refill.max_rounds)
    ends = [
        train.steps,
        train.rollouts and train.rollouts // most,
        train.tokens and train.tokens // (most * config.engine.max_new_tokens),
    ]
    return min((end for end in ends if end is not None), default=None)


def longest_run(config: "Config") -> int | None:
    """Updates that a run has at most, by its steps and its rollouts; None where neither bounds them."""
    train = config.train
    ends = [train.steps, train.rollouts and 1 + train.rollouts // (train.groups_per_step * fewest_and_most(config)[0])]
    return min((end * updates_per_step(config) for end in ends if end is not None), default=None)


def short_warm_up(config: "Config") -> int:
    """A tenth of the run's steps, at most 20."""
    return min(20, (fewest_steps(config) or 0) // 10)


def invents_its_world(config: "Config") -> bool:
    """Whether the corpus is that of the embedded search world."""
    return config.task.source == "search_world" or (plays_itself(config) and config.task.path is None)


def needs_answers(config: "Config") -> bool:
    """Whether rows need a reference answer; reward functions and environments of one's own do without."""
    compares = verifier_judges(config) and verifier_name(config.task) not in WITHOUT_ANSWERS
    return compares and config.task.environment != "given"


def trains_all_weights(config: "Config") -> bool:
    """Whether all weights of a pretrained model are trained."""
    return config.model.path is not None and config.model.lora.rank == 0


def updates_per_step(config: "Config") -> int:
    """Most updates of a step: two where self-play trains its roles one after the other."""
    return 2 if config.self_play.updates == "proposer_first" else 1


def verifier_name(task: "TaskTable") -> str:
    """The verifier of a task table: that of its source where ``task.verifier`` is "auto"."""
    return AUTOMATIC.get(task.source, "exact_match") if task.verifier == "auto" else task.verifier


def has_rewards(config: "Config") -> bool:
    """Whether there are reward functions of the user's own."""
    return bool(config.rewards)


def verifier_is_a_reward(config: "Config") -> bool:
    """Whether the verifier is one of several rewards."""
    return bool(config.rewards) and config.task.verifier != "auto"


def verifier_judges(config: "Config") -> bool:
    """Whether the verifier is read: alone, or as one of the rewards."""
    return not config.rewards or config.task.verifier != "auto"


def reward_name(table: "RewardTable") -> str:
    """Name of a reward in metrics and samples."""
    return table.name or table.function.rpartition(":")[2]


def judges(config: "Config") -> str:
    """What judges the rollouts, for messages: ``task.verifier = "math"``, or ``the reward "score"``."""
    parts = [f'the reward "{reward_name(one)}"' for one in config.rewards]
    if verifier_judges(config):
        parts.append(f'task.verifier = "{verifier_name(config.task)}"')
    return " and ".join(parts)


def audit_name(table: "AuditTable") -> str:
    """Name of an audit in metrics and samples."""
    return table.name or table.verifier or (table.function or "").rpartition(":")[2]


def own_audit(config: "Config") -> str | None:
    """The audit where there are no ``[[audits]]``: the stricter sibling of the verifier; None: there is none."""
    if config.audits or config.task.audit == "off" or not verifier_judges(config):
        return None
    return STRICTER.get(verifier_name(config.task))


def built_in_verifiers(config: "Config") -> set[str]:
    """Names of the built-in verifiers that judge or audit."""
    audits: set[str] = {one.verifier for one in config.audits if one.verifier is not None}
    return audits | ({verifier_name(config.task)} if verifier_judges(config) else set())


def uses_scorers(config: "Config") -> bool:
    """Whether answers are judged by third-party scorers, which run in worker processes."""
    return bool(built_in_verifiers(config) & {"math", "reasoning_gym"})


def uses_reasoning_gym(config: "Config") -> bool:
    """Whether answers are judged or audited by the scorers of reasoning-gym."""
    return "reasoning_gym" in built_in_verifiers(config)


def uses_maths(config: "Config") -> bool:
    """Whether answers are judged or audited as mathematics."""
    return "math" in built_in_verifiers(config)


def uses_judge(config: "Config") -> bool:
    """Whether a model judges or audits answers."""
    return "judge" in built_in_verifiers(config)


def verifies_in_workers(config: "Config") -> bool:
    """Whether answers are judged in worker processes, by third-party scorers or by functions."""
    in_process = [one.in_process for one in config.rewards]
    in_process += [one.in_process for one in config.audits if one.function is not None]
    return uses_scorers(config) or not all(in_process)


def verifies_maths(config: "Config") -> bool:
    """Whether answers are judged as mathematics."""
    return verifier_judges(config) and verifier_name(config.task) == "math"
