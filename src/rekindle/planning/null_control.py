"""Recycling's null control, beside the run that it controls."""

import json
from pathlib import Path

import numpy as np

from rekindle.config import Config
from rekindle.config.facts import plays_itself
from rekindle.methods import build_scheduler
from rekindle.observability.runs import load_run
from rekindle.planning.frozen_policy import frozen_run, posterior_rates, recycled_share

__all__ = ["write_null_control"]


def write_null_control(config: Config, directory: Path, simulations: int = 3) -> None:
    """Put recycling's null control beside the run: the shares of the run, and those of the same sampler over a policy
    that never changes, whose success rates are the posterior of the run's own first step.

    Self-play has none: its questions come in the run, and the first step says nothing of the later ones.
    """
    if config.pool.kind != "recycling" or plays_itself(config):
        return
    run = load_run(directory)
    first = list(run.groups("step = 1 AND fate != 'failed'"))
    if not first:
        return
    rng = np.random.default_rng(config.train.seed)
    size, frozen = int(run.metrics[-1]["pool/size"]), []
    for _ in range(simulations):
        rates = posterior_rates([row["successes"] for row in first], [row["n"] for row in first], size, rng)
        frozen.append(
            recycled_share(
                frozen_run(build_scheduler(config, map(str, range(size))), rates, run.metrics[-1]["step"], rng)
            )
        )
    seen = recycled_share(run.metrics[1:])
    shares = {
        "recycled_share": seen.recycled,
        "frozen_share": float(np.mean([one.recycled for one in frozen])),
        "rescued_easy_share": seen.rescued_easy,
        "frozen_rescued_easy_share": float(np.mean([one.rescued_easy for one in frozen])),
        "all_correct_share": seen.all_correct,
        "frozen_all_correct_share": float(np.mean([one.all_correct for one in frozen])),
    }
    finite = {key: value for key, value in shares.items() if np.isfinite(value)}
    (directory / "null_control.json").write_text(json.dumps(finite, indent=2), encoding="utf-8")
