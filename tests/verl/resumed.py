"""A run whose driver was killed and that went on, beside the same run without a kill."""

import math

from test_verl_decisions import ledger

from rekindle import load_run

FATES = ("trained", "recycled", "excess", "retired", "expired", "failed")
MEASURED = ("seconds", "cpu_seconds", "time/", "total_seconds", "total_cpu_seconds")
"""Beginnings of names of metrics that a clock decides."""
UPDATE = "verl.trainer.ppo.v1.trainer_base:PPOTrainer._update_actor"
"""The rollouts of a step are there, and nothing of the step is trained on or written."""


def run_of(made):
    return load_run(made.out / "checkpoints" / "rekindle")


def assert_conserved(run):
    """Every group of the solver has one fate, and every rollout is one of a group, once.

    A step without signal is none of verl's, so that there may be more of ours.
    """
    steps = [line["step"] for line in run.metrics if line["step"]]
    assert steps == list(range(1, len(steps) + 1))
    for line in run.metrics:
        assert line["groups/asked"] == sum(line[f"groups/{fate}"] for fate in FATES)
    assert sum(row["n"] for row in run.ledger) == run.metrics[-1]["total_rollouts"]
    assert len({row["request_id"] for row in run.ledger}) == len(run.ledger)


def differences(again, whole, rel=1e-3):
    """Metrics that differ by step and name, other than times: ``{(step, name): (again, whole)}``."""
    found = {}
    for one, other in zip(again.metrics, whole.metrics, strict=True):
        for name in sorted(one.keys() | other.keys()):
            pair = one.get(name), other.get(name)
            if not name.startswith(MEASURED) and not _same(*pair, rel):
                found[one["step"], name] = pair
    return found


def _same(one, other, rel):
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=rel, abs_tol=1e-6) or (math.isnan(one) and math.isnan(other))
    return one == other


def assert_went_on(again, whole, steps):
    """The resumed run ended, with the decisions of the other, all of them conserved."""
    of_again, of_whole = run_of(again.checked()), run_of(whole)
    assert [one["step"] for one in again.metrics if one["step"]][-1] == steps
    assert_conserved(of_again)
    assert ledger(of_again.directory) == ledger(of_whole.directory)
    return of_again, of_whole
