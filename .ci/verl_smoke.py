"""A step of a recipe with verl's own command on the CPU, Ray included, where nothing but "rekindle[verl]" is installed.

It is also the test that a user's command works: no cluster of the tests, no modules loaded before.
"""

import sys
import tempfile
from pathlib import Path

import rekindle

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path += [str(TESTS / "verl"), str(TESTS)]

from runs import started  # noqa: E402
from tiny_run import Run, made_assets  # noqa: E402


def main() -> None:
    """Train, and look at what is there."""
    with tempfile.TemporaryDirectory() as folder:
        assets = made_assets(Path(folder))
        run = Run(
            str(Path(folder, "run")),
            mode="rekindle",
            steps=1,
            prompts=2,
            group=2,
            ranks=1,
            changes=["+rekindle.recipe=recycle"],
        )
        made = started(run, assets).checked()
        (metrics,) = made.metrics
        (line,) = rekindle.load_run(made.out / "checkpoints" / "rekindle").metrics
        assert line["rollouts"] == line["total_rollouts"] >= 4, line
        gap = metrics["training/rollout_probs_diff_max"]
        assert gap < 1e-5, f"the trainer's probabilities are others than the rollout's: {gap}"
        print(
            f"rekindle {rekindle.__version__} from {rekindle.__file__}: a step in {made.seconds:.0f} s, gap {gap:.1e}"
        )


if __name__ == "__main__":
    main()
