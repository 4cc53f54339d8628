"""The accounts of a step, by hand."""

from dataclasses import replace

from rekindle.records.step_metrics import Totals, step_metrics
from rekindle.records.supply import Supplied
from rekindle.scheduling.group_records import GroupRecord
from rekindle.training.update_sums import UpdateSums
from rekindle.types import Fate, GroupRequest, Outcome, TrainingSample


def record(number, n, fate, outcome, prompt, generated, tools=0):
    request = GroupRequest(id=number, task_id=f"t{number}", row=0, n=n, temperature=1.0, seed=0, version=0, step=1)
    tokens = {"prompt_tokens": n * prompt, "generated_tokens": generated, "tool_tokens": tools}
    return GroupRecord(request=request, fate=fate, outcome=outcome, **tokens)


TRAINED = record(0, 4, Fate.TRAINED, Outcome.MIXED, prompt=10, generated=30, tools=2)
DROPPED = record(1, 2, Fate.RETIRED, Outcome.ALL_WRONG, prompt=5, generated=8)
SUMS = UpdateSums(trained_tokens=30, computed_tokens=75, padded_tokens=5, recomputed_tokens=12, optimizer_steps=1)
UPDATE = SUMS.stats(1e-3, with_kl=False)


def test_two_accounts_of_floating_point_operations_by_hand():
    """P = 3. Ours reads a prompt once per group and pays no update for the dropped group; the paper's counts 12P for
    every token of every rollout."""
    found = step_metrics([TRAINED, DROPPED], [], UPDATE, parameters=3)
    forward = (30 + 8) + 2 + (10 + 5) + 12  # sampled, tools, prompts once, re-scored
    assert found["flops"] == 3 * (2 * forward + 6 * (75 - 5)) == 1662
    rollouts = (4 * 10 + 30 + 2) + (2 * 5 + 8)
    assert found["flops_sgpo"] == 3 * 12 * rollouts == 3240


def test_tokens_beside_training_cost_two_in_both_accounts():
    """A profile, or the policy as a verifier: read and sampled once, never trained on."""
    checked = Supplied(further_tokens=(20, 7))
    plain, found = (
        step_metrics([DROPPED], [], None, parameters=3, supplied=supplied) for supplied in (Supplied(), checked)
    )
    assert found["flops"] - plain["flops"] == found["flops_sgpo"] - plain["flops_sgpo"] == 2 * 3 * 27
    assert plain["flops"] == 2 * 3 * (8 + 5)
    assert plain["flops_sgpo"] == 12 * 3 * (8 + 10)


def test_the_age_of_a_batch_is_counted_in_updates():
    plain = TrainingSample(
        token_ids=[1, 2], loss_mask=[False, True], logprobs=[0, -1], advantages=[0, 1], temperature=1.0, weight=1.0
    )
    samples = [replace(plain, version=version) for version in (5, 3, 4, 4)]
    found = step_metrics([TRAINED], samples, UPDATE, version=5)
    assert (found["staleness/mean"], found["staleness/max"]) == (1.0, 2)
    none = step_metrics([DROPPED], [], None, version=5)
    assert none["staleness/mean"] is none["staleness/max"] is None


def test_both_accounts_add_up_over_the_run():
    totals = Totals()
    for number in range(3):
        step = step_metrics([replace(DROPPED, generated_tokens=number)], [], None, parameters=1)
        last = totals.add(step | {"seconds": 0.0, "cpu_seconds": 0.0})
    assert last["total_flops"] == 2 * (0 + 1 + 2 + 3 * 5)
    assert last["total_flops_sgpo"] == 12 * (0 + 1 + 2 + 3 * 10)
