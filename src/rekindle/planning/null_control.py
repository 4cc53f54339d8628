"""The null control of a recycling run, written into its run directory."""

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
    """Write ``null_control.json`` into a run directory: recycled shares of the run and of a frozen policy.

    The frozen policy runs with the same scheduler; its success rates are drawn from the posterior of the run's first
    step.

    Self-play has no null control: its questions are created during the run, so the first step does not represent them.
    Nor has a run whose metrics have a gap: its share is not known.
    """
    if config.pool.kind != "recycling" or plays_itself(config):
        return
    run = load_run(directory)
    first = list(run.groups("step = 1 AND fate != 'failed'"))
    steps = [line["step"] for line in run.metrics]
    if not first or not steps or steps != list(range(len(steps))):
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
    observed = recycled_share(run.metrics[1:])
    shares = {
        "recycled_share": observed.recycled,
        "frozen_share": float(np.mean([simulated.recycled for simulated in frozen])),
        "rescued_easy_share": observed.rescued_easy,
        "frozen_rescued_easy_share": float(np.mean([simulated.rescued_easy for simulated in frozen])),
        "all_correct_share": observed.all_correct,
        "frozen_all_correct_share": float(np.mean([simulated.all_correct for simulated in frozen])),
    }
    finite = {key: value for key, value in shares.items() if np.isfinite(value)}
    (directory / "null_control.json").write_text(json.dumps(finite, indent=2), encoding="utf-8")
