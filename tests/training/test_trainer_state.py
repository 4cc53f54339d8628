"""Stopping and going on changes nothing; half precision loses nothing."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from trainer_fakes import BigramPolicy, make_samples, settings

from rekindle.training.schedules import Decay
from rekindle.training.trainer import Trainer
from rekindle.types import TrainingSample
from rekindle.warm_starts.tiny_model import build_tiny


def bit_equal(mine, others):
    return mine.keys() == others.keys() and all(torch.equal(mine[name], others[name]) for name in mine)


def save(trainer, policy, folder):
    state = trainer.state_dict()
    save_file({key: tensor.contiguous() for key, tensor in state["tensors"].items()}, folder / "optimizer.safetensors")
    (folder / "values.json").write_text(json.dumps(state["values"]))
    save_file(policy.weights(), folder / "weights.safetensors")


def load(trainer, policy, folder):
    policy.model.load_state_dict(load_file(folder / "weights.safetensors"))
    values = json.loads((folder / "values.json").read_text())
    trainer.load_state_dict({"tensors": load_file(folder / "optimizer.safetensors"), "values": values})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_save_load_and_go_on_equals_the_uninterrupted_run_bit_for_bit(tmp_path, dtype):
    options = settings(minibatches=2, epochs=2, warmup_steps=2, schedule="cosine")
    policy = BigramPolicy(dtype=dtype)
    trainer = Trainer(policy, options, decay=Decay(2, 8))
    for step in range(6):
        if step == 3:
            save(trainer, policy, tmp_path)
        trainer.update(make_samples(seed=step), step)

    resumed_policy = BigramPolicy(seed=99, dtype=dtype)
    resumed = Trainer(resumed_policy, options, decay=Decay(2, 8))
    load(resumed, resumed_policy, tmp_path)
    assert resumed.updates == 3
    for step in range(3, 6):
        resumed.update(make_samples(seed=step), step)
    assert bit_equal(resumed_policy.weights(), policy.weights())
    assert bit_equal(resumed.state_dict()["tensors"], trainer.state_dict()["tensors"])


def test_a_state_saved_before_the_first_update_loads(tmp_path):
    policy = BigramPolicy(dtype=torch.float32)
    trainer = Trainer(policy, settings())
    state = trainer.state_dict()
    assert (state["tensors"], state["values"]["updates"]) == ({}, 0)
    trainer.load_state_dict(trainer.state_dict())
    trainer.update(make_samples(), 0)


def test_the_state_of_another_model_is_refused():
    trainer = Trainer(BigramPolicy(dtype=torch.float32), settings())
    trainer.update(make_samples(), 0)
    state = trainer.state_dict()
    missing = {key: tensor for key, tensor in state["tensors"].items() if key != "exp_avg/bias"}
    reshaped = state["tensors"] | {"exp_avg/bias": torch.zeros(3)}
    renamed = state["tensors"] | {"exp_avg/head": torch.zeros(3)}
    for tensors in (missing, reshaped, renamed):
        with pytest.raises(ValueError, match=r"does not fit the model at 'exp_avg/(bias|head)'; resume with"):
            trainer.load_state_dict({"tensors": tensors, "values": {"updates": 1}})
    with pytest.raises(ValueError, match="does not fit the model at 'master/bias'"):
        Trainer(BigramPolicy(dtype=torch.bfloat16), settings()).load_state_dict(state)


def test_small_updates_of_bfloat16_weights_are_not_lost():
    """A step of 1e-4 is below half a bfloat16 unit in the last place of most weights here; 40 of them are not."""
    samples = make_samples()
    small = settings(learning_rate=1e-4, weight_decay=0.0)
    exact, rounded = BigramPolicy(dtype=torch.float32), BigramPolicy(dtype=torch.bfloat16)
    with torch.no_grad():
        for parameter, other in zip(exact.model.parameters(), rounded.model.parameters(), strict=True):
            parameter.copy_(other)
    start = exact.weights()
    trainers = [Trainer(exact, small), Trainer(rounded, small)]
    trainers[1].update(samples, 0)
    unmoved = sum(int((rounded.weights()[name] == start[name]).sum()) for name in start)
    assert unmoved > 0.5 * sum(weight.numel() for weight in start.values())
    trainers[0].update(samples, 0)
    for step in range(1, 40):
        for trainer in trainers:
            trainer.update(samples, step)
    moved = torch.cat([(exact.weights()[name] - start[name]).flatten() for name in start])
    masters = trainers[1].state_dict()["tensors"]
    tracked = torch.cat([(masters[f"master/{name}"] - start[name]).flatten() for name in start])
    assert moved.norm() > 0
    assert (tracked - moved).norm() < 0.1 * moved.norm()
    for name, weight in rounded.weights().items():
        assert torch.equal(weight, masters[f"master/{name}"].to(torch.bfloat16))


def test_bfloat16_gradients_of_microbatches_are_summed_in_float32():
    samples = make_samples(prompts=40)
    norms = {}
    for dtype in (torch.float32, torch.bfloat16):
        for budget in (1, 100_000):
            policy = BigramPolicy(dtype=dtype)
            with torch.no_grad():
                for parameter in policy.model.parameters():
                    parameter.copy_(parameter.to(torch.bfloat16))
            norms[dtype, budget] = Trainer(policy, settings(microbatch_tokens=budget)).update(samples, 0).grad_norm
    for budget in (1, 100_000):
        assert norms[torch.bfloat16, budget] == pytest.approx(norms[torch.float32, budget], rel=0.02)


def tiny_samples(version: int) -> list[TrainingSample]:
    samples = []
    for row in range(12):
        tokens = [(7 * row // 4 + 3 * t * (1 if t < 5 else row)) % 27 for t in range(6 + row % 5)]
        mask = [False] * 5 + [True] * (len(tokens) - 5)
        advantages = [(1.0 if row % 4 == 0 else -1 / 3) * trainable for trainable in mask]
        samples.append(
            TrainingSample(
                token_ids=tokens,
                loss_mask=mask,
                logprobs=[0.0] * len(tokens),
                advantages=advantages,
                temperature=1.0,
                weight=1 / 40,
                version=version,
                prompt_key=row // 4,
            )
        )
    return samples


def test_a_real_policy_trains_resumes_and_does_not_see_the_split(tmp_path):
    def fresh(budget):
        policy = build_tiny(layers=2, hidden_size=32, heads=2, kv_heads=1, intermediate_size=48, max_length=32)
        return policy, Trainer(policy, settings(learning_rate=1e-3, microbatch_tokens=budget))

    def weights(policy):
        return {name: parameter.detach() for name, parameter in policy.model.named_parameters()}

    norms = [fresh(budget)[1].update(tiny_samples(0), 0).grad_norm for budget in (1, 25, 10_000)]
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-5)
    policy, trainer = fresh(40)
    for version in range(4):
        if version == 2:
            policy.save(tmp_path)
            kept = {key: tensor.clone() for key, tensor in trainer.state_dict()["tensors"].items()}
        stats = trainer.update(tiny_samples(version), version)
    assert 0 < stats.entropy < 3.5
    resumed_policy = type(policy).load(tmp_path, device="cpu")
    resumed = Trainer(resumed_policy, settings(learning_rate=1e-3, microbatch_tokens=40))
    resumed.load_state_dict({"tensors": kept, "values": {"updates": 2}})
    for version in (2, 3):
        resumed.update(tiny_samples(version), version)
    assert bit_equal(weights(resumed_policy), weights(policy))
