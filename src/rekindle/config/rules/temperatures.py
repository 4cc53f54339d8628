"""Rules about raised temperatures: heating, reactivation and the off-temperature correction."""

from collections.abc import Iterator

from rekindle.config.facts import optimizer_steps
from rekindle.config.tables import Config
from rekindle.learning.estimators import ESTIMATORS
from rekindle.scheduling.gates import GATES
from rekindle.scheduling.pools import POOLS
from rekindle.types import Outcome

__all__ = [
    "heating_keeps_its_prompts",
    "heating_rises",
    "off_temperature_has_an_old_policy",
    "reactivation_has_groups",
]


def heating_rises(config: Config) -> Iterator[str]:
    """A highest temperature that is not above the base."""
    heating, base = config.heating, config.train.temperature
    if heating.delta and heating.maximum < base:
        yield (
            f"heating.maximum = {heating.maximum} is below train.temperature = {base}, so heating would lower the "
            f"temperature; set heating.maximum above {base}"
        )
    if heating.delta and heating.maximum == base:
        yield (
            f"heating.maximum = train.temperature = {base} leaves no room to raise the temperature; "
            "raise heating.maximum or set heating.delta = 0"
        )


def heating_keeps_its_prompts(config: Config) -> Iterator[str]:
    """ERPO's heating with sGPO's filter of trivial prompts, which removes the prompts that heating is for."""
    if POOLS[config.pool.kind].needs_profile and config.heating.delta and config.profile.trivial_above < 1:
        yield (
            f"profile.trivial_above = {config.profile.trivial_above} removes the prompts that are nearly always "
            "solved, and heating.delta raises the temperature of these prompts; set profile.trivial_above = 1 to keep "
            "them, or heating.delta = 0"
        )


def reactivation_has_groups(config: Config) -> Iterator[str]:
    """ERPO's RA where no group is left for it, or where the estimator gives all-correct groups an advantage."""
    kind, estimator = config.reactivation.kind, config.advantage.estimator
    if kind == "off":
        return
    if config.reactivation.groups == "raised" and not config.heating.delta:
        yield (
            'reactivation.groups = "raised" is for groups at a raised temperature, and heating.delta = 0 raises none; '
            'set reactivation.groups = "all_correct" (RA alone) or heating.delta = 0.05'
        )
    if Outcome.ALL_CORRECT in GATES[config.train.gate].drops:
        yield (
            f'train.gate = "{config.train.gate}" drops the all-correct groups that reactivation.kind = "{kind}" '
            'needs; set train.gate = "not_all_wrong"'
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
    """The off-temperature correction without the old policy's log-probabilities at the base temperature."""
    loss, mode = config.loss, config.loss.off_temperature
    if mode == "tempered":
        return
    if optimizer_steps(config) > 1 and loss.old_logprobs != "recompute":
        yield (
            f'loss.off_temperature = "{mode}" with several optimizer steps a batch needs the old policy\'s '
            "log-probabilities at train.temperature, which the engine did not sample at; "
            'set loss.old_logprobs = "recompute"'
        )
    elif config.train.max_off_policy_steps and loss.old_logprobs != "recompute":
        yield (
            f'loss.off_temperature = "{mode}" with train.max_off_policy_steps = {config.train.max_off_policy_steps} '
            "needs the trainer's log-probabilities at train.temperature, which the engine did not sample at; "
            'set loss.old_logprobs = "recompute"'
        )
    elif loss.old_logprobs == "engine":
        yield (
            f'loss.off_temperature = "{mode}" cannot use the engine\'s log-probabilities, which are at the raised '
            'temperature; set loss.old_logprobs = "auto"'
        )
