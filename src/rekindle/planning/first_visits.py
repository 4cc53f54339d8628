"""Pass rates of a run: the first visit of each prompt, and how fast its policy learned."""

from pathlib import Path

import numpy as np

from rekindle.observability.formatting import counted
from rekindle.observability.runs import Run, load_run
from rekindle.planning.gains import MOVED, fitted_gain
from rekindle.planning.pass_rates import Counts, Floats, PassRates, grouped_rates
from rekindle.planning.simulated_policy import rise
from rekindle.scheduling.profiling import ProfileError

__all__ = ["opened_run", "rates_of_run"]

_COLUMNS = ("step", "samples", "successes", "tokens", "prompt")
MOST = 2**53
"""Largest number of prompts or parameters that is believed."""

_FIRST = """
select min(step) step, sum(n) samples, sum(successes) successes, sum(generated_tokens) tokens, sum(prompt_tokens) prompt
from groups where role = 'solver' and fate != 'failed' and first_outcome is null and successes is not null
group by task_id
"""
_SIGNAL = """
select step, count(distinct task_id) groups from groups
where role = 'solver' and fate = 'trained' and outcome = 'mixed' group by step
"""


def opened_run(directory: Path) -> Run:
    """A run of rekindle, or the one that TRL or verl wrote below a directory."""
    inside = directory / "rekindle"
    own = (directory / "config.toml").is_file() or not (inside / "config.toml").is_file()
    return load_run(directory if own else inside)


def rates_of_run(directory: Path) -> PassRates:
    """The first visits of a run's prompts.

    Raises:
        ProfileError: The run has no visit, or creates its prompts while it runs.
        RunError: It is no run, or one of its files is broken.
    """
    run = opened_run(directory)
    if run.config.get("task", {}).get("source") == "self_play":
        raise ProfileError(f"{directory} is a run of self-play, which creates its prompts; it cannot be planned from")
    found = list(run.query(_FIRST))
    if not found:
        raise ProfileError(f"{directory} has no finished group yet; plan from a profile, or let the run go on")
    column = {name: np.array([row[name] for row in found], np.int64) for name in _COLUMNS}
    amounts = _amounts(run, column["step"])
    gain = fitted_gain(amounts, column["successes"], column["samples"])
    early = amounts * (gain or 0.0) <= MOVED
    column = {name: values[early] for name, values in column.items()}
    successes, samples, prompts, lengths = grouped_rates(
        column["successes"], column["samples"], tokens=column["tokens"], where=str(directory)
    )
    known = run.info.get("pool") or (run.metrics[0].get("pool/size") if run.metrics else None)
    number = int(prompts.sum())
    return PassRates(
        successes=successes,
        samples=samples,
        prompts=prompts,
        sampled_tokens=lengths,
        prompt_tokens=float(column["prompt"].sum() / column["samples"].sum()),
        parameters=_whole(run.info.get("parameters")),
        pool=max(_whole(known), len(found)),
        source=f"the first visits of {counted(number, 'prompt')} in a run, of the policy's first steps",
        gain=gain,
    )


def _whole(value: object) -> int:
    """A whole number of a file; 0 for anything else."""
    return value if isinstance(value, int) and 0 <= value <= MOST else 0


def _amounts(run: Run, steps: Counts) -> Floats:
    """[N] rises of the ability before each visit, in gains."""
    train = run.config.get("train")
    batch = _whole(train.get("groups_per_step") if isinstance(train, dict) else None) or 1
    signal = {row["step"]: row["groups"] for row in run.query(_SIGNAL)}
    amount = np.cumsum(rise([signal.get(step, 0) / batch for step in range(int(steps.max()) + 1)]))
    return np.asarray(amount[np.maximum(steps - 1, 0)])
