"""GPG (arXiv 2504.02546): A = (r - mu) * B / (B - M) for the B groups of a batch, M of them of zero variance.

Groups without signal dilute the mean over the batch; the factor compensates, so that the step size does not depend on
their number. With a gate that passes only mixed groups M is 0, and this is Dr. GRPO. A batch of zero-variance groups
only gives exact zeros.
"""

from collections.abc import Sequence

from rekindle.learning.estimators.compared import Compared
from rekindle.learning.estimators.dr_grpo import dr_grpo
from rekindle.learning.estimators.statistics import all_equal

__all__ = ["gpg"]


def gpg(groups: Sequence[Compared]) -> list[list[float]]:
    """Advantages [B][n] of a batch's groups."""
    with_signal = sum(not all_equal(group.rewards) for group in groups)
    scale = len(groups) / max(with_signal, 1)
    return [[scale * advantage for advantage in dr_grpo(group.rewards)] for group in groups]
