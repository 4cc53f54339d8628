"""A step with a fake of TRL's vLLM: calls per temperature, and the correction for the engine."""

import inspect
import json
import math
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from trl import GRPOTrainer
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer import grpo_trainer

from rekindle.integrations.trl import RekindleTrainer

LOW, HIGH = 0.9, 1.1
"""Bounds of the ratios."""
TABLES = {"recipe": "erpo", "heating": {"delta": 0.3, "maximum": 1.6}}
UNKNOWN = 2
"""Place of a token of which the engine gives no log-probability."""


def solved_or_odd(prompts, completions, **_):
    """Prompts that begin with 0 are always solved."""
    pairs = zip(prompts, completions, strict=True)
    return [1.0 if prompt[0] == "0" else float(sum(one.isdigit() for one in text) % 2) for prompt, text in pairs]


class Engine:
    """Random completions with the model's log-probabilities at the temperature of the call, and noise on these."""

    def __init__(self, model, processing_class, temperature, max_completion_length, **_):
        self.model, self.end, self.temperature = model, processing_class.eos_token_id, temperature
        self.longest, self.random = max_completion_length, torch.Generator().manual_seed(5)
        self.calls, self.noise, self.heat, self.synced = [], {}, {}, 0

    def sync_weights(self):
        self.synced += 1

    def generate(self, prompts, images, num_generations, profiler=None):
        assert num_generations == 1
        self.calls.append((self.temperature, len(prompts)))
        completions = [self.completion() for _ in prompts]
        return prompts, completions, [self.scored(*pair) for pair in zip(prompts, completions, strict=True)], None

    def completion(self):
        length = int(torch.randint(3, self.longest + 1, (), generator=self.random))
        tokens = torch.randint(0, 20, (length,), generator=self.random).tolist()
        return [*tokens[:-1], self.end] if length < self.longest else tokens

    @torch.no_grad()
    def scored(self, prompt, completion):
        ids = torch.tensor([prompt + completion])
        logits = self.model(input_ids=ids).logits[0, len(prompt) - 1 : -1] / self.temperature
        true = logits.log_softmax(-1).gather(1, ids[0, len(prompt) :, None])[:, 0]
        noise = 0.1 * torch.randn(len(completion), generator=self.random)
        noise[UNKNOWN] = 0.0
        key = tuple(prompt + completion)
        self.noise[key], self.heat[key] = noise, self.temperature
        found = [[value] for value in (true + noise).tolist()]
        found[UNKNOWN] = [None]
        return found


def test_the_engine_has_the_signatures_of_the_installed_trl():
    for name in ("generate", "sync_weights"):
        ours, theirs = (inspect.signature(getattr(one, name)) for one in (Engine, VLLMGeneration))
        assert list(ours.parameters) == list(theirs.parameters), name
    arguments = inspect.signature(VLLMGeneration.__init__).parameters
    assert {"model", "processing_class", "temperature", "max_completion_length"} <= set(arguments)


@pytest.fixture
def made(tiny_model, tokenizer, args, monkeypatch):
    monkeypatch.setattr(grpo_trainer, "VLLMGeneration", Engine)
    data = Dataset.from_list([{"prompt": "0+1="}, {"prompt": "1+2="}])

    def make(peft_config=None, tables=TABLES, **changes):
        settings = {"use_vllm": True, "max_steps": 3, "loss_type": "dapo"}
        return RekindleTrainer(
            tiny_model, solved_or_odd, args(**settings | changes), data, processing_class=tokenizer, recipe=tables,
            peft_config=peft_config,
        )  # fmt: skip

    return make


def corrected(mode, noise):
    """TRL's ratio of a completion: the trainer's probability over the engine's, [tokens] or [1]."""
    ratio = (-(noise.sum(0, keepdim=True) if mode.startswith("sequence") else noise)).exp()
    if mode.endswith("truncate"):
        return ratio.clamp(LOW, HIGH)
    return ratio.where((ratio >= LOW) & (ratio <= HIGH), 0.0)


def watched(trainer, monkeypatch):
    """Samples of each update, and the inputs and loss of each micro-batch."""
    updates, micro = [], []
    build = trainer._updates.build

    def noted(samples, *rest):
        updates.append(list(samples))
        return build(samples, *rest)

    monkeypatch.setattr(trainer._updates, "build", noted)
    compute = GRPOTrainer._compute_loss

    def losses(self, model, inputs):
        loss = compute(self, model, inputs)
        micro.append((inputs, loss.item()))
        return loss

    monkeypatch.setattr(GRPOTrainer, "_compute_loss", losses)
    return updates, micro


@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
@pytest.mark.parametrize("multiple", [None, 4])
def test_loss_and_correction_of_a_step(mode, multiple, made, monkeypatch):
    trainer = made(
        vllm_importance_sampling_mode=mode, vllm_importance_sampling_clip_min=LOW,
        vllm_importance_sampling_clip_max=HIGH, pad_to_multiple_of=multiple,
    )  # fmt: skip
    updates, micro = watched(trainer, monkeypatch)
    trainer.train()
    engine, per_update = trainer.vllm_generation, trainer.args.steps_per_generation
    temperatures = [heat for heat, _ in engine.calls]
    assert temperatures == [1.0, 1.0, 1.3, 1.0, 1.6]
    assert engine.synced == len(updates) == 3
    for number, samples in enumerate(updates):
        expected, advantages = 0.0, {}
        for one in samples:
            advantages[tuple(one.token_ids)] = max(one.advantages, key=abs)
        for inputs, loss in micro[number * per_update :][:per_update]:
            rows = list(keys(inputs))
            assert multiple is None or inputs["completion_ids"].shape[1] % multiple == 0
            expected = sum(
                -(corrected(mode, engine.noise[key]) * advantages[key]).expand(length).sum().item()
                for key, length in rows
                if key in engine.noise
            )
            tokens = sum(sum(one.loss_mask) for one in samples)
            assert loss == pytest.approx(expected / tokens, abs=2e-6)
            for place, (key, length) in enumerate(rows):
                if key not in engine.noise:  # the row of a micro-batch that has none
                    continue
                ratio = corrected(mode, engine.noise[key])
                assert inputs["importance_sampling_ratio"][place][: len(ratio)].tolist() == pytest.approx(
                    ratio.tolist(), abs=1e-5
                )
                gap = inputs["old_per_token_logps"][place][:length] - inputs["sampling_per_token_logps"][place][:length]
                known = [index for index in range(length) if index != UNKNOWN]
                assert gap[known].tolist() == pytest.approx((-engine.noise[key])[known].tolist(), abs=1e-5)
                assert inputs["temperatures"][place] == pytest.approx(engine.heat[key])


def keys(inputs):
    """(tokens of the row, length of its completion)."""
    columns = (inputs[name].tolist() for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask"))
    for prompt, before, completion, after in zip(*columns, strict=True):
        tokens = [one for one, real in zip(prompt + completion, before + after, strict=True) if real]
        yield tuple(tokens), sum(after)


@pytest.mark.parametrize("corrected", [True, False])
def test_the_gap_to_the_engine_leaves_out_tokens_that_it_did_not_score(corrected, made):
    trainer = made(vllm_importance_sampling_correction=corrected)
    trainer.train()
    text = (Path(trainer.args.output_dir) / "rekindle" / "metrics.jsonl").read_text()
    gaps = [json.loads(line)["policy_gap"] for line in text.splitlines()]
    assert all(math.isfinite(gap) for gap in gaps)
    assert all(0.05 < gap < 0.12 for gap in gaps)


def test_our_own_correction_weighs_a_token_that_the_engine_did_not_score_with_1(made, monkeypatch):
    trainer = made(tables=TABLES | {"loss": {"tis_cap": 1.05}}, vllm_importance_sampling_correction=False)
    updates, micro = watched(trainer, monkeypatch)
    trainer.train()
    advantages = {tuple(one.token_ids): max(one.advantages, key=abs) for samples in updates for one in samples}
    for inputs, loss in micro:
        assert math.isfinite(loss)
        for place, (key, length) in enumerate(keys(inputs)):
            if (noise := trainer.vllm_generation.noise.get(key)) is not None:
                weights = (-noise).exp().clamp(max=1.05)
                assert weights[UNKNOWN] == 1.0
                found = inputs["advantages"][place][:length] / advantages[key]
                assert found.tolist() == pytest.approx(weights.tolist(), abs=1e-5)


def test_without_the_correction_there_is_no_pass_over_what_may_be_dropped(made, monkeypatch):
    scored = count(monkeypatch)
    trainer = made(vllm_importance_sampling_correction=False, steps_per_generation=4)
    updates, _ = watched(trainer, monkeypatch)
    trainer.train()
    trained = sum(any(one.advantages) for samples in updates for one in samples)
    assert scored["no gradient"] <= trained + 8  # rows that fill micro-batches up


def test_the_reference_without_adapter_scores_only_kept_rows(made, monkeypatch):
    scored = count(monkeypatch)
    trainer = made(LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"), beta=0.1)
    updates, _ = watched(trainer, monkeypatch)
    trainer.train()
    kept = sum(len(samples) for samples in updates)
    asked = sum(number for _, number in trainer.vllm_generation.calls)
    assert scored["no gradient"] == asked + kept


def count(monkeypatch):
    """Counts rows that TRL scores with and without gradient."""
    counts = {"gradient": 0, "no gradient": 0}
    theirs = GRPOTrainer._get_per_token_logps_and_entropies

    def noted(self, model, input_ids, *rest, **named):
        counts["gradient" if torch.is_grad_enabled() else "no gradient"] += len(input_ids)
        return theirs(self, model, input_ids, *rest, **named)

    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", noted)
    return counts
