"""Table of rewards: functions of your own."""

from rekindle.config.conditions import on
from rekindle.config.keys import Table, key

__all__ = ["RewardTable"]

FUNCTION = "FILE.py:NAME (beside this file, or from the working directory) or package.module:NAME"
KILLABLE = on("in_process", False)
SECONDS = "wall-clock limit of a call, seconds; a call has the rollouts of one group, or one (verl's signature)"


class RewardTable(Table):
    """A reward function of your own. The reward is the weighted sum of all `[[rewards]]` that apply.

    `[[rewards]]` replace the verifier, unless `task.verifier` has a name. Then that verifier is one of the rewards,
    with the weight `task.verifier_weight`.
    """

    function: str = key(..., f"the function: {FUNCTION}")
    name: str | None = key(None, "name in metrics and samples; absent: that of the function")
    weight: float = key(1.0, "factor of its values in the reward", gt=0)
    timeout_seconds: float = key(30.0, SECONDS, gt=0, only=KILLABLE)
    in_process: bool = key(False, "call it in the trainer's process, without a time limit, e.g. for a model on the GPU")
