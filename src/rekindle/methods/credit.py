"""From a configuration to the credit of its method: how rewards become advantages."""

from rekindle.config import Config
from rekindle.learning.aggregation import named_aggregation
from rekindle.learning.credit import Credit, OffTemperature, Reactivation
from rekindle.learning.estimators import ESTIMATORS, Estimator, shrunk_baseline
from rekindle.learning.subsets import Subset, balanced, max_variance

__all__ = ["build_credit", "proposer_credit"]


def build_credit(config: Config) -> Credit:
    """How rewards become advantages."""
    train = config.train
    return Credit(
        estimator=_estimator(config),
        aggregation=named_aggregation(train.aggregation, config.engine.max_new_tokens),
        subset=_subset(config),
        reactivation=_reactivation(config),
        off_temperature=(
            None
            if train.off_temperature == "tempered"
            else OffTemperature(train.off_temperature, train.temperature, train.importance_cap)
        ),
        negative_keep_ratio=train.negative_keep_ratio,
        zero_variance_scale=train.zero_variance_scale,
        tool_tokens=train.tool_tokens == "trained",
        weight=config.self_play.solver_weight,
    )


def proposer_credit(config: Config) -> Credit:
    """How the proposers' rewards become advantages, in self-play."""
    train, table = config.train, config.self_play
    return Credit(
        estimator=ESTIMATORS[table.proposer_estimator],
        aggregation=named_aggregation(train.aggregation, table.max_new_tokens or config.engine.max_new_tokens),
        tool_tokens=train.tool_tokens == "trained",
        weight=table.proposer_weight,
    )


def _estimator(config: Config) -> Estimator:
    if config.train.estimator == "shrunk_baseline":
        return shrunk_baseline(config.train.baseline_strength)
    return ESTIMATORS[config.train.estimator]


def _subset(config: Config) -> Subset | None:
    table, success_at = config.subset, config.task.success_threshold
    if table.kind == "max_variance":
        return Subset(lambda rewards: max_variance(rewards, table.size), table.baseline)
    if table.kind == "balanced":
        return Subset(lambda rewards: balanced(rewards, table.size, success_at), table.baseline)
    return None


def _reactivation(config: Config) -> Reactivation | None:
    table = config.reactivation
    if table.kind == "off":
        return None
    return Reactivation(
        table.kind, config.train.temperature, config.heating.maximum, constant=table.constant, decay=table.decay
    )
