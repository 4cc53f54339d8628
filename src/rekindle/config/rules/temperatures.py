"""Rules about heated prompts."""

from collections.abc import Iterator

from rekindle.config.facts import optimizer_steps
from rekindle.config.tables import Config
from rekindle.learning.estimators import ESTIMATORS
from rekindle.scheduling.gates import GATES
from rekindle.scheduling.pools import POOLS
from rekindle.types import Outcome

__all__ = [
    "heated_prompts_must_stay",
    "heating_rises",
    "off_temperature_has_an_old_policy",
    "reactivation_has_groups_to_revive",
]


def heating_rises(config: Config) -> Iterator[str]:
    """A highest temperature that is not above the base."""
    heating, base = config.heating, config.train.temperature
    if heating.delta and heating.maximum < base:
        yield (
            f"heating.maximum = {heating.maximum} is below train.temperature = {base}, so heating would cool; "
            f"set heating.maximum above {base}"
        )
    if heating.delta and heating.maximum == base:
        yield f"heating.maximum = train.temperature = {base} leaves no room to heat; raise it or set heating.delta = 0"


def heated_prompts_must_stay(config: Config) -> Iterator[str]:
    """ERPO's heating beside sGPO's filter of trivial prompts, which deletes exactly those that are heated."""
    if POOLS[config.pool.kind].needs_profile and config.heating.delta and config.profile.trivial_above < 1:
        yield (
            f"profile.trivial_above = {config.profile.trivial_above} removes the prompts that are nearly always "
            "solved, and heating.delta heats exactly these; set profile.trivial_above = 1 to keep and heat them, or "
            "heating.delta = 0"
        )


def reactivation_has_groups_to_revive(config: Config) -> Iterator[str]:
    """ERPO's RA where the gate drops all-correct groups, or where these have an advantage already."""
    kind, estimator = config.reactivation.kind, config.advantage.estimator
    if kind == "off":
        return
    if Outcome.ALL_CORRECT in GATES[config.train.gate].drops:
        yield (
            f'train.gate = "{config.train.gate}" drops the all-correct groups that reactivation.kind = "{kind}" '
            'revives; set train.gate = "not_all_wrong"'
        )
    if not ESTIMATORS[estimator].needs_group:
        yield (
            f'advantage.estimator = "{estimator}" already gives all-correct groups an advantage, which '
            f'reactivation.kind = "{kind}" would replace; set reactivation.kind = "off" or advantage.estimator = "grpo"'
        )
    if kind == "virtual_failure" and ESTIMATORS[estimator].scales_by_batch:
        yield (
            f'reactivation.kind = "virtual_failure" adds a failure to one group, and advantage.estimator = '
            f'"{estimator}" scales by the whole batch; set reactivation.kind = "constant" or '
            'advantage.estimator = "grpo"'
        )


def off_temperature_has_an_old_policy(config: Config) -> Iterator[str]:
    """Corrections for rollouts at another temperature whose old policy is not known there."""
    loss, mode = config.loss, config.loss.off_temperature
    if mode == "tempered":
        return
    if optimizer_steps(config) > 1 and loss.old_logprobs != "recompute":
        yield (
            f'loss.off_temperature = "{mode}" with several optimizer steps a batch needs the old policy\'s '
            "log-probabilities at train.temperature, which the engine did not sample at; "
            'set loss.old_logprobs = "recompute"'
        )
    elif loss.old_logprobs == "engine":
        yield (
            f'loss.off_temperature = "{mode}" cannot use the engine\'s log-probabilities, which are at the heated '
            'temperature; set loss.old_logprobs = "auto"'
        )
