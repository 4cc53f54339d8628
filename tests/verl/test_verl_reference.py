"""The KL term and LoRA through verl's own trainer: the reference at row temperatures, batches with dummy rows."""

import pytest
from resumed import assert_conserved, run_of
from test_verl_decisions import HEAT, REWARDS
from tiny_run import LORA, REFERENCE

GAP = "training/rollout_probs_diff_max"
STILL = "actor_rollout_ref.actor.optim.lr=1e-12"
"""The policy stays that of the start, which is the reference."""
NOTHING = 1e-9
"""Nats: a divergence of equal policies, in float32."""
BFLOAT16 = 0.05
"""Bound of the difference of probabilities of engine and trainer: verl sends merged weights in bfloat16."""
FEW = "data.train_max_samples=8"
"""Prompts that come back soon, so that temperatures are raised."""


@pytest.mark.slow
@pytest.mark.parametrize("adapters", [(), LORA], ids=["whole model", "LoRA"])
def test_the_reference_has_the_temperature_of_each_row(adapters, make_run):
    changes = ["+rekindle.recipe=erpo", *HEAT, *REFERENCE, *adapters, *REWARDS, FEW]
    made = make_run(mode="rekindle", steps=6, changes=[*changes, STILL]).checked()
    run = run_of(made)
    assert_conserved(run)
    assert any(line["temperature/max"] > 1 for line in run.metrics if line["groups/trained"])
    assert all(0 <= line["kl"] < NOTHING for line in run.metrics if line["groups/trained"])
    most = BFLOAT16 if adapters else 1e-5
    assert [one[GAP] for one in made.metrics if one[GAP] >= most] == []


@pytest.mark.slow
def test_a_padded_batch_is_trained_as_one_without_dummy_rows(make_run):
    fast = "actor_rollout_ref.actor.optim.lr=3e-2"
    changes = ["+rekindle.recipe=c_rf_ntf", "actor_rollout_ref.rollout.n=1", *REFERENCE, fast]
    given = {"mode": "rekindle", "steps": 4, "prompts": 6, "group": 1}
    sizes = {"actor.ppo_micro": 1, "rollout.log_prob_micro": 1, "ref.log_prob_micro": 4}
    four, one_by_one = (
        [f"actor_rollout_ref.{name}_batch_size_per_gpu={size if kept else 1}" for name, size in sizes.items()]
        for kept in (True, False)
    )
    plain = make_run(**given, ranks=1, changes=[*changes, *one_by_one]).checked()
    padded = make_run(**given, ranks=2, changes=[*changes, *four]).checked()
    assert {line["padded_tokens"] for line in run_of(plain).metrics} == {0}
    assert {line["padded_tokens"] for line in run_of(padded).metrics} == {2 * 2}, "8 rows are a round"
    assert plain.metrics[-1]["actor/kl_loss"] > 1e-4
    for one, other in zip(padded.metrics, plain.metrics, strict=True):
        for name in ("actor/kl_loss", "actor/pg_loss", "actor/grad_norm"):
            assert one[name] == pytest.approx(other[name], rel=2e-4, abs=1e-7), name


@pytest.mark.slow
def test_adapters_are_trained_with_a_kl_term(make_run):
    """The policy moves in the first update, where that without adapters is still its reference."""
    changes = ["+rekindle.recipe=rekindle", "actor_rollout_ref.rollout.n=1", *REFERENCE, *LORA]
    fast = "actor_rollout_ref.actor.optim.lr=3e-2"
    made = make_run(mode="rekindle", steps=4, prompts=6, changes=[*changes, fast]).checked()
    run = run_of(made)
    assert_conserved(run)
    trained = [line for line in run.metrics if line["groups/trained"]]
    assert all(line["moved"] > 1e-4 for line in trained)
    assert trained[0]["kl"] < NOTHING < trained[-1]["kl"]
    assert all(line["policy_gap"] < BFLOAT16 for line in trained)
