"""Construction of ``Credit``, the path from rewards to token advantages, from a configuration."""

from rekindle.config import Config
from rekindle.config.facts import overlong_buffer, solver_estimator
from rekindle.learning.aggregation import named_aggregation
from rekindle.learning.credit import Credit, OffTemperature, Reactivation
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.overlong import Mask, Overlong, Penalty
from rekindle.learning.subsets import Subset, balanced, max_variance

__all__ = ["build_credit", "proposer_credit"]


def build_credit(config: Config) -> Credit:
    """The solver's credit: estimator, subset, reactivation, aggregation and token filter of a configuration."""
    advantage, loss = config.advantage, config.loss
    return Credit(
        estimator=solver_estimator(config),
        aggregation=named_aggregation(loss.aggregation, config.engine.max_new_tokens),
        subset=_subset(config),
        overlong=_overlong(config),
        reactivation=_reactivation(config),
        off_temperature=(
            None
            if loss.off_temperature == "tempered"
            else OffTemperature(loss.off_temperature, config.train.temperature, loss.importance_cap)
        ),
        negative_scale=advantage.negative_scale,
        negative_keep_ratio=advantage.negative_keep_ratio,
        zero_variance_scale=advantage.zero_variance_scale,
        tis_cap=loss.tis_cap,
        tool_tokens=loss.tool_tokens == "trained",
        weight=config.self_play.solver_weight,
    )


def proposer_credit(config: Config) -> Credit:
    """The proposer's credit in self-play."""
    loss, table = config.loss, config.self_play
    return Credit(
        estimator=ESTIMATORS[table.proposer_estimator],
        aggregation=named_aggregation(loss.aggregation, table.max_new_tokens or config.engine.max_new_tokens),
        overlong=_overlong(config),
        tis_cap=loss.tis_cap,
        tool_tokens=loss.tool_tokens == "trained",
        weight=table.proposer_weight,
    )


def _overlong(config: Config) -> Overlong | None:
    """Handling of overlong rollouts; a penalty is refused where there are other roles than the solver."""
    table, limit = config.overlong, config.engine.max_new_tokens
    if table.kind == "masked":
        return Mask()
    if table.kind == "penalty":
        return Penalty(limit, overlong_buffer(config), table.factor)
    return None


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
    base = config.train.temperature
    return Reactivation(
        table.kind,
        base,
        config.heating.maximum if config.heating.delta else base,
        constant=table.constant,
        decay=table.decay,
        raised_only=table.groups == "raised",
    )
