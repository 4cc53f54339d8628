"""Credit assignment: the stages that turn the rewards of groups into token advantages and training temperatures.

    rewards -> subset -> overlong -> estimator -> reactivation -> scale of negative ones -> token filter
      -> advantages of tokens

Every stage but the estimator is off by default. A stage that is off changes nothing.
"""

from dataclasses import dataclass
from typing import Literal

from rekindle.learning.aggregation import Aggregation
from rekindle.learning.estimators import Estimator
from rekindle.learning.overlong import Overlong
from rekindle.learning.subsets import Subset
from rekindle.types import Group, Outcome

__all__ = ["Credit", "OffTemperature", "Reactivation"]


@dataclass(frozen=True, slots=True)
class Reactivation:
    """ERPO's RA (arXiv 2511.04800): a signal for all-correct groups.

    With ``virtual_failure`` one failure is appended when the advantage is computed; it has no tokens and no loss. Every
    rollout then gets 1 / sqrt(K) with GRPO's division, and 1 / (K + 1) with mean-centring alone. With ``constant`` the
    advantage is a constant.

    Attributes:
        kind: Source of the advantage.
        base: Base temperature.
        maximum: Highest temperature.
        constant: Advantage of kind "constant".
        decay: Divide by 1 + streak at the highest temperature, because RA alone overfits prompts that stay solved.
        raised_only: Leave groups at the base temperature without signal. False: RA alone, without raised temperatures.
    """

    kind: Literal["virtual_failure", "constant"]
    base: float
    maximum: float
    constant: float = 0.25
    decay: bool = False
    raised_only: bool = True

    def applies(self, group: Group) -> bool:
        """Whether the group is all correct, and at a raised temperature where that is required."""
        raised = group.request.temperature > self.base
        return group.outcome is Outcome.ALL_CORRECT and (raised or not self.raised_only)

    def factor(self, group: Group) -> float:
        """The decay."""
        return 1.0 / (1 + group.streak) if self.decay and group.request.temperature >= self.maximum else 1.0


@dataclass(frozen=True, slots=True)
class OffTemperature:
    """Training on rollouts sampled above the base temperature (ERPO).

    Attributes:
        mode: "importance": log-probabilities at the base temperature, each token's loss times
            min(pi_base / pi_sampled, cap). "ignore": log-probabilities at the base temperature (biased). Without an
            ``OffTemperature``: at the sampling temperature, so that the ratio is 1 before the first update.
        base: The base temperature.
        cap: Largest importance weight.
    """

    mode: Literal["importance", "ignore"]
    base: float
    cap: float = 2.0


@dataclass(frozen=True, slots=True)
class Credit:
    """The stages from rewards to token advantages.

    Attributes:
        estimator: Advantage estimator.
        aggregation: Loss aggregation: the weight of each rollout's tokens.
        subset: Rollouts of a group that are trained on; None: all.
        overlong: Handling of rollouts that were truncated, or nearly; None: they are as all others.
        reactivation: ERPO's signal for all-correct groups; None: off.
        off_temperature: Correction for rollouts sampled above the base temperature; None: off.
        negative_scale: Factor of all negative advantages (beta of arXiv 2606.17250); 1 changes nothing, 0 trains on
            positive ones only.
        negative_keep_ratio: Share of the tokens that keep a negative advantage, the least likely ones of each rollout
            (arXiv 2606.17250); 1 keeps all.
        zero_variance_scale: RL-ZVP's factor (arXiv 2509.21880) for groups without signal; 0 is off.
        tis_cap: Largest importance weight of the trainer's policy over the engine's, for rollouts that have no weight
            of ``off_temperature``; 0: no weights.
        tool_tokens: Train on tool outputs too, as if the policy had sampled them. Wrong by design: for control runs
            only.
        weight: Loss weight of all tokens, where several roles share an update.
    """

    estimator: Estimator
    aggregation: Aggregation
    subset: Subset | None = None
    overlong: Overlong | None = None
    reactivation: Reactivation | None = None
    off_temperature: OffTemperature | None = None
    negative_scale: float = 1.0
    negative_keep_ratio: float = 1.0
    zero_variance_scale: float = 0.0
    tis_cap: float = 0.0
    tool_tokens: bool = False
    weight: float = 1.0
