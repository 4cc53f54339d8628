"""``rekindle.compare``: the command `rekindle compare` from a script."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rekindle.comparison.comparing import Comparison
    from rekindle.observability.runs import Run
    from rekindle.sweeps.sweep import Sweep

__all__ = ["compare"]


def compare(
    *runs: "str | Path | Run | Sweep",
    baseline: str | None = None,
    target: float | None = None,
    metric: str | None = None,
    x: str = "rollouts",
) -> "Comparison":
    """Compare runs over their seeds.

        comparison = rekindle.compare("runs/sweep")
        print(comparison.text)
        comparison.write("comparison.html", "comparison.csv")
        recycle = comparison.equal["rollouts"].rows[1].paired    mean, t and bootstrap intervals, p

    Args:
        runs: Run directories, directories of runs, runs, or sweeps; at least one.
        baseline: Name or recipe of the arm to compare with; None: grpo, or the first.
        target: Accuracy whose cost is compared; None: what every seed of the baseline ends with at least.
        metric: Key of the step log; None: ``eval/accuracy``, or ``eval/greedy`` where not every run has that.
        x: Main cost: ``rollouts``, ``tokens``, ``flops``, ``flops_sgpo`` or ``seconds``.

    Returns:
        The arms, the baseline first, and by cost their values by seed with paired differences.

    Raises:
        UserError: There is nothing to compare, the runs have different tasks, or an option is not valid.
    """
    from rekindle.comparison.comparing import compare as compare_directories

    directories = [Path(one) if isinstance(one, str | Path) else one.directory for one in runs]
    return compare_directories(directories, baseline=baseline, target=target, metric=metric, axis=x)
