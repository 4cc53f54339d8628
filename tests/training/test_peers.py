"""Advantages, losses and gradients against the numbers of TRL and verl, which `benchmarks/peers.py` took from them."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
import torch
from trainer_fakes import gradients_of_update

from rekindle.config.tables.credit import LossTable
from rekindle.learning.aggregation import named_aggregation, sequence_mean, token_mean
from rekindle.learning.credit import Credit
from rekindle.learning.estimators import ESTIMATORS, over_batch
from rekindle.learning.estimators.statistics import EPSILON
from rekindle.learning.samples import build_samples
from rekindle.models.policy import Policy, TokenLogprobs
from rekindle.types import Group, GroupRequest, Rollout, TrainingSample, outcome_of

ROOT = Path(__file__).parents[2]
TABLE = json.loads((ROOT / "tests" / "learning" / "peers.json").read_text(encoding="utf-8"))
BATCHES = TABLE["batches"]
PRECISION = {"verl": 1e-9, "trl": 1e-6}
"""Relative; TRL computes rewards in float32."""
EPSILONS = {("verl", "grpo"): 1e-6, ("trl", "grpo"): 1e-4}
"""What the peers add to the standard deviation of a group."""


class TablePolicy(Policy):
    """Its parameters are the log-probabilities of the tokens; the first token of a row is its number."""

    def __init__(self, rows, column):
        self.model = torch.nn.Module()
        for number, row in enumerate(rows):
            self.model.register_parameter(
                f"row_{number}", torch.nn.Parameter(torch.tensor(row[column], dtype=torch.float64))
            )

    def token_logprobs(self, samples):
        parts = [getattr(self.model, f"row_{sample.token_ids[0]}") for sample in samples]
        logprobs = torch.cat(parts)
        return TokenLogprobs(logprobs, torch.zeros_like(logprobs.detach()), logprobs.numel(), 0)


def groups_of(batch, behaviour="old"):
    """The batch as groups; the engine's log-probabilities are a column of the rows."""
    size, groups = batch["group_size"], []
    for key in range(len(batch["rows"]) // size):
        numbered = list(enumerate(batch["rows"]))[key * size : (key + 1) * size]
        rollouts = tuple(
            Rollout(
                token_ids=[number] + [0] * len(row["old"]),
                loss_mask=[False] + [True] * len(row["old"]),
                logprobs=[0.0, *row[behaviour]],
                reward=row["reward"],
            )
            for number, row in numbered
        )
        request = GroupRequest(id=key, task_id=f"t{key}", row=key, n=size, temperature=1.0, seed=0, version=0, step=1)
        rewards = [rollout.reward for rollout in rollouts]
        groups.append(Group(request=request, rollouts=rollouts, outcome=outcome_of(rewards)))
    return groups


def spread_of(batch, name, key):
    """The standard deviation that the peer divides by: of the rollout's group, or of the batch's tokens."""
    size = batch["group_size"]
    rewards = torch.tensor([row["reward"] for row in batch["rows"]], dtype=torch.float64).view(-1, size)
    if name == "grpo":
        return rewards[key // size].std().item()
    if name == "reinforce_pp_baseline":
        rewards = rewards - rewards.mean(-1, keepdim=True)
    lengths = torch.tensor([len(row["old"]) for row in batch["rows"]])
    return rewards.flatten().repeat_interleave(lengths).std().item()


ADVANTAGES = [
    (name, peer, estimator)
    for name, batch in BATCHES.items()
    for peer, made in batch["advantages"].items()
    for estimator in made
]


@pytest.mark.parametrize(("name", "peer", "estimator"), ADVANTAGES)
def test_advantages_are_the_peers(name, peer, estimator):
    """With the sample standard deviation, whitened over tokens; their epsilon is taken out and ours put in."""
    batch = BATCHES[name]
    tuned = ESTIMATORS[estimator].tuned({"deviation": "sample"})
    samples = build_samples(groups_of(batch), Credit(tuned, token_mean))
    for key, (sample, theirs) in enumerate(zip(samples, batch["advantages"][peer][estimator], strict=True)):
        expected = theirs
        if estimator in {"grpo", "batch_standardize", "reinforce_pp_baseline"}:
            spread = spread_of(batch, estimator, key)
            divisor = spread + EPSILONS[peer, estimator] if estimator == "grpo" else math.sqrt(spread**2 + 1e-8)
            expected = theirs * divisor / (spread + EPSILON)
        assert sample.advantages[-1] == pytest.approx(expected, rel=PRECISION[peer], abs=PRECISION[peer])


def test_whitened_over_rollouts_the_advantages_are_not_the_peers():
    """What whitening over tokens changes is far above rounding."""
    batch = BATCHES["binary"]
    samples = build_samples(groups_of(batch), Credit(ESTIMATORS["batch_standardize"], sequence_mean))
    theirs = batch["advantages"]["verl"]["batch_standardize"]
    assert max(abs(s.advantages[-1] - value) for s, value in zip(samples, theirs, strict=True)) > 0.02


LOSSES = [
    (name, peer, number)
    for name, batch in BATCHES.items()
    for peer, cases in batch["losses"].items()
    for number in range(len(cases))
]


def given_advantages(values):
    """An estimator that answers what it is told."""
    return over_batch(lambda _: values)


@pytest.mark.parametrize(("name", "peer", "number"), LOSSES)
def test_losses_and_gradients_are_the_peers(name, peer, number):
    """Through credit and trainer: aggregation, clip, KL and importance weights as configured."""
    batch = BATCHES[name]
    case = batch["losses"][peer][number]
    settings = dict(case["settings"])
    on_policy, aggregation = settings.pop("on_policy", False), settings["aggregation"]
    cap = settings.pop("tis_cap", 0.0)
    if "kl" in settings:
        settings["kl_coefficient"] = TABLE["kl_coefficient"]
    credit = Credit(
        given_advantages(batch["loss_advantages"]), named_aggregation(aggregation, TABLE["longest"]), tis_cap=cap
    )
    samples: list[TrainingSample] = build_samples(groups_of(batch, "reference" if cap else "old"), credit)
    policy = TablePolicy(batch["rows"], "old" if on_policy else "new")
    mine, stats = update(policy, samples, TablePolicy(batch["rows"], "reference"), settings, on_policy)
    close = 1e-7 if (peer, aggregation) == ("verl", "sequence_mean") else 1e-9  # verl adds 1e-8 to the lengths
    assert stats.loss == pytest.approx(case["loss"], rel=close, abs=1e-10)
    gradient = torch.cat([mine[f"row_{number}"] for number in range(len(batch["rows"]))])
    torch.testing.assert_close(gradient, torch.tensor(case["gradient"], dtype=torch.float64), rtol=close, atol=1e-10)


def update(policy, samples, reference, settings, on_policy):
    options = {key: value for key, value in settings.items() if key in LossTable.model_fields}
    options["old_logprobs"] = "auto" if on_policy else "engine"
    return gradients_of_update(policy, samples, reference=reference, **options)


def test_the_cases_reach_every_bound():
    """Otherwise a table of equal losses would compare the unclipped branch only."""
    for batch in BATCHES.values():
        rows = list(zip(batch["rows"], batch["loss_advantages"], strict=True))
        ratios = [
            (math.exp(new - old), advantage)
            for row, advantage in rows
            for new, old in zip(row["new"], row["old"], strict=True)
        ]
        assert any(ratio > 1.28 and advantage > 0 for ratio, advantage in ratios)
        assert any(ratio < 0.8 and advantage < 0 for ratio, advantage in ratios)
        assert any(ratio > 3.0 and advantage < 0 for ratio, advantage in ratios)
        cases = [case for cases in batch["losses"].values() for case in cases]
        settings = {json.dumps(case["settings"], sort_keys=True) for case in cases}
        losses = {round(case["loss"], 9) for case in cases}
        assert len(losses) >= len(settings) - 1, "every setting matters, but for one dual clip in one of the batches"


def test_the_script_compares_two_tables_up_to_rounding():
    spec = importlib.util.spec_from_file_location("peers", ROOT / "benchmarks" / "peers.py")
    assert spec is not None
    assert spec.loader is not None
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    again = json.loads(json.dumps(BATCHES["binary"]))
    assert peers.differences(BATCHES["binary"], again) == []
    again["losses"]["trl"][0]["loss"] += 1e-3
    (found,) = peers.differences(BATCHES["binary"], again)
    assert found.startswith(".losses.trl[0].loss: ")
    made = peers.make_batch(2, binary=True)
    assert made["rows"] == BATCHES["binary"]["rows"], "the inputs are made by the script"
