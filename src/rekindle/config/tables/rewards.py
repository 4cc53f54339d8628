"""Tables of rewards and audits: functions of your own, and second opinions that are not trained on."""

from typing import Literal

from rekindle.config.conditions import absent, given, on
from rekindle.config.keys import Table, key

__all__ = ["AuditTable", "RewardTable"]

FUNCTION = "FILE.py:NAME (beside this file, or from the working directory) or package.module:NAME"
KILLABLE = on("in_process", False)
IS_FUNCTION = given("function", "my_audit.py:score", suggest=False)
SECONDS = "wall-clock limit for a batch of rollouts, seconds; it has whole groups, 16 rollouts or more"
AS_VERIFIER = "as in task.verifier"


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


class AuditTable(Table):
    """A second opinion: a verifier, or a function, whose verdicts on the rollouts are not trained on.

    `[[audits]]` replace the audit that `task.audit` chooses. They change nothing in the training.
    """

    verifier: (
        Literal["exact_match", "math", "last_number", "reasoning_gym", "qa_exact_match", "cover_match", "f1", "judge"]
        | None
    ) = key(
        None,
        "a built-in verifier",
        only=absent("function"),
        values={
            "exact_match": AS_VERIFIER,
            "math": AS_VERIFIER,
            "last_number": "1 if the last number written is the reference, and no operand; the prompt's own sentences "
            "do not count, and neither do tasks whose reference is no number",
            "reasoning_gym": AS_VERIFIER,
            "qa_exact_match": AS_VERIFIER,
            "cover_match": AS_VERIFIER,
            "f1": AS_VERIFIER,
            "judge": AS_VERIFIER,
        },
    )
    function: str | None = key(None, f"a function: {FUNCTION}")
    name: str | None = key(None, "name in metrics and samples; absent: that of the verifier or function")
    share: float = key(
        1.0, "share of the rollouts of training that are judged; evaluations are judged whole", gt=0, le=1
    )
    timeout_seconds: float = key(30.0, SECONDS, gt=0, only=IS_FUNCTION & KILLABLE)
    in_process: bool = key(False, "call it in the trainer's process, without a time limit", only=IS_FUNCTION)
