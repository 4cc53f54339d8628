"""Who gets credit for what: how the rewards of groups become advantages and temperatures of tokens.

    rewards -> subset -> estimator -> reactivation -> token filter -> advantages of tokens

Every stage is off unless it is asked for, and then changes nothing at all.
"""

from dataclasses import dataclass
from typing import Literal

from rekindle.learning.aggregation import Aggregation
from rekindle.learning.estimators import Estimator
from rekindle.learning.subsets import Subset
from rekindle.types import Group, Outcome

__all__ = ["Credit", "OffTemperature", "Reactivation"]


@dataclass(frozen=True, slots=True)
class Reactivation:
    """ERPO's RA (arXiv 2511.04800): a signal for groups that are all correct although they were heated.

    With ``virtual_failure`` one failure is appended when the advantage is computed; it has no tokens and no loss. Under
    GRPO's division every rollout then gets 1 / sqrt(K), under a mean alone 1 / (K + 1). ``constant`` gives a constant.
    Groups that were not heated stay without signal.

    Attributes:
        kind: Where the advantage comes from.
        base: Temperature of prompts that are not heated.
        maximum: Highest temperature.
        constant: Advantage of kind "constant".
        decay: At the highest temperature divide by 1 + streak: RA alone overfits prompts that stay solved.
    """

    kind: Literal["virtual_failure", "constant"]
    base: float
    maximum: float
    constant: float = 0.25
    decay: bool = False

    def applies(self, group: Group) -> bool:
        """Whether the group is hot and still all correct."""
        return group.outcome is Outcome.ALL_CORRECT and group.request.temperature > self.base

    def factor(self, group: Group) -> float:
        """The decay."""
        return 1.0 / (1 + group.streak) if self.decay and group.request.temperature >= self.maximum else 1.0


@dataclass(frozen=True, slots=True)
class OffTemperature:
    """How rollouts that were sampled hotter than the base temperature are trained on (ERPO).

    Attributes:
        mode: "importance": log-probabilities at the base temperature, each token's loss times
            min(pi_base / pi_sampled, cap). "ignore": log-probabilities at the base temperature (biased). Absent
            altogether: at the temperature they were sampled at, so that the ratio is 1 before the first update.
        base: The base temperature.
        cap: Greatest importance weight.
    """

    mode: Literal["importance", "ignore"]
    base: float
    cap: float = 2.0


@dataclass(frozen=True, slots=True)
class Credit:
    """The stages from rewards to tokens.

    Attributes:
        estimator: Who is compared with whom.
        aggregation: How much each token weighs.
        subset: Which rollouts of a group are trained on; absent: all.
        reactivation: See there.
        off_temperature: See there.
        negative_keep_ratio: Part of the tokens of a rollout with a negative advantage that learn, the least likely
            (arXiv 2606.17250); 1 is all of them.
        zero_variance_scale: RL-ZVP's factor (arXiv 2509.21880) for groups without signal; 0 is off.
        tool_tokens: Train on what tools said as well, as if the policy had sampled it: a control, and a mistake.
        weight: Factor of the loss of all tokens, where several roles share an update.
    """

    estimator: Estimator
    aggregation: Aggregation
    subset: Subset | None = None
    reactivation: Reactivation | None = None
    off_temperature: OffTemperature | None = None
    negative_keep_ratio: float = 1.0
    zero_variance_scale: float = 0.0
    tool_tokens: bool = False
    weight: float = 1.0
