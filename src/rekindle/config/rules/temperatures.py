"""Rules about heated prompts."""

from collections.abc import Iterator

from rekindle.config.rules.facts import BATCH_ESTIMATORS, optimizer_steps
from rekindle.config.tables import Config

__all__ = ["heated_prompts_must_stay", "heating_rises", "off_temperature_needs_heat", "reactivation_needs_heat"]


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
    if config.pool.kind == "phased" and config.heating.delta and config.profile.trivial_above < 1:
        yield (
            f"profile.trivial_above = {config.profile.trivial_above} removes the prompts that are nearly always "
            "solved, and heating.delta heats exactly these; set profile.trivial_above = 1 to keep and heat them, or "
            "heating.delta = 0"
        )


def reactivation_needs_heat(config: Config) -> Iterator[str]:
    """ERPO's RA without heated all-correct groups in the update, or where these have an advantage already."""
    kind, estimator = config.reactivation.kind, config.train.estimator
    if kind == "off":
        return
    if not config.heating.delta:
        yield f'reactivation.kind = "{kind}" acts on heated prompts, and nothing is heated; set heating.delta = 0.05'
    if config.train.gate == "has_signal":
        yield (
            f'train.gate = "has_signal" drops the all-correct groups that reactivation.kind = "{kind}" revives; '
            'set train.gate = "not_all_wrong"'
        )
    if estimator in BATCH_ESTIMATORS:
        yield (
            f'train.estimator = "{estimator}" already gives all-correct groups an advantage, which reactivation.kind = '
            f'"{kind}" would replace; set reactivation.kind = "off" or train.estimator = "grpo"'
        )
    if kind == "virtual_failure" and estimator in {"gpg", "reinforce_pp_baseline"}:
        yield (
            f'reactivation.kind = "virtual_failure" adds a failure to one group, and train.estimator = "{estimator}" '
            'scales by the whole batch; set reactivation.kind = "constant" or train.estimator = "grpo"'
        )


def off_temperature_needs_heat(config: Config) -> Iterator[str]:
    """Corrections for rollouts at another temperature, where there are none or their old policy is not known."""
    train, mode = config.train, config.train.off_temperature
    if mode == "tempered":
        return
    if not config.heating.delta:
        yield (
            f'train.off_temperature = "{mode}" is about heated prompts, and nothing is heated; set heating.delta = 0.05'
        )
    if optimizer_steps(config) > 1 and train.old_logprobs != "recompute":
        yield (
            f'train.off_temperature = "{mode}" with several optimizer steps a batch needs the old policy\'s '
            "log-probabilities at train.temperature, which the engine did not sample at; "
            'set train.old_logprobs = "recompute"'
        )
    elif train.old_logprobs == "engine":
        yield (
            f'train.off_temperature = "{mode}" cannot use the engine\'s log-probabilities, which are at the heated '
            'temperature; set train.old_logprobs = "auto"'
        )
