"""Both decoders against the model's own forward pass, through every movement of rows and columns."""

import copy
import dataclasses

import pytest
import torch

import rekindle.models.kernels as kernels_module
from rekindle.engines import fused as module
from rekindle.engines.decoders import agrees_with_transformers, positions_of
from rekindle.engines.engine import SamplingRequest
from rekindle.engines.fused import FusedDecoder
from rekindle.engines.generic import GenericDecoder
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.architecture import find_decoder
from rekindle.models.kernels import Kernels
from rekindle.models.policy import Policy
from rekindle.notices import RekindleWarning
from rekindle.types import UserError

FUSED = ["llama", "qwen2", "qwen3"]


CASES = [(kind, FusedDecoder) for kind in FUSED] + [(kind, GenericDecoder) for kind in ("llama", "gpt2", "bloom")]


def left_padded(prompts):
    width = max(map(len, prompts))
    tokens = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    return tokens, torch.tensor([width - len(prompt) for prompt in prompts]), width


def next_logits(model, ids):
    return model(input_ids=torch.tensor([ids])).logits[0, -1]


def assert_rows(policy, logits, texts):
    for row, ids in texts.items():
        torch.testing.assert_close(logits[row], next_logits(policy.model, ids), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "make"), CASES)
@torch.inference_mode()
def test_rows_may_come_move_and_go(policies, kind, make):
    policy = policies(kind)
    decoder = make(policy)
    decoder.refresh()
    first = [[3, 1, 4], [1, 5, 9, 2, 6], [8]]
    logits, prompts = decoder.prefill(*left_padded(first))
    assert_rows(policy, logits, dict(enumerate(first)))

    # Slots 0-3: the three prompts in another order, one of them twice; slot 4 stays free.
    cache = decoder.empty(5, 7)
    sources = [1, 2, 0, 2]
    cache.put(torch.arange(4), prompts, torch.tensor(sources))
    texts = {slot: list(first[source]) for slot, source in enumerate(sources)}

    def step(count=1):
        for _ in range(count):
            tokens = torch.arange(len(cache.starts)) * 5 % 26
            logits = decoder.step(cache, tokens)
            for slot in texts:
                texts[slot] = [*texts[slot], int(tokens[slot])]
            assert_rows(policy, logits, texts)

    step(3)
    # A new prompt takes the place of slot 1 while the others go on.
    late = [7, 7, 2, 1]
    _, more = decoder.prefill(*left_padded([[5], late]))
    cache.put(torch.tensor([1]), more, torch.tensor([1]))
    texts[1] = list(late)
    step(2)
    # Slot 0 and the free one leave; slot 3 moves to the front.
    cache.compact(torch.tensor([0]), torch.tensor([3]), 3)
    texts = {0: texts[3], 1: texts[1], 2: texts[2]}
    step()
    # Nobody needs the first columns any more; later a long prompt needs more room on the left.
    cache.shift(max(map(len, texts.values())))
    step(2)
    cache.shift(cache.columns + 30)
    long = [token % 26 for token in range(cache.columns - 2)]
    _, more = decoder.prefill(*left_padded([long]))
    cache.put(torch.tensor([2]), more, torch.tensor([0]))
    texts[2] = list(long)
    step(25)


@pytest.mark.parametrize("kind", FUSED)
def test_fused_copies_are_refreshed(fresh_policy, kind):
    policy = fresh_policy(kind)
    decoder = FusedDecoder(policy)
    decoder.refresh()
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.05 * torch.sin(torch.arange(parameter.numel()).view(parameter.shape)))
    with torch.inference_mode():
        decoder.refresh()
        logits, _ = decoder.prefill(*left_padded([[2, 7, 1, 8]]))
    assert_rows(policy, logits, {0: [2, 7, 1, 8]})


@pytest.mark.parametrize("kind", FUSED)
def test_bfloat16_stays_within_its_rounding(policies, kind):
    policy = policies(kind)
    exact = next_logits(policy.model, [2, 7, 1, 8, 2]).softmax(-1)
    rounded = Policy(copy.deepcopy(policy.model).to(torch.bfloat16), policy.tokenizer)
    decoder = FusedDecoder(rounded)
    with torch.inference_mode():
        decoder.refresh()
        _, cache = decoder.prefill(*left_padded([[2, 7, 1, 8]]))
        ours = decoder.step(cache, torch.tensor([2]))[0].float().softmax(-1)
    theirs = next_logits(rounded.model, [2, 7, 1, 8, 2]).float().softmax(-1)
    assert (ours - exact).abs().sum() < 0.05 + 2 * (theirs - exact).abs().sum()
    assert agrees_with_transformers(decoder, rounded)


@pytest.mark.parametrize(("kind", "make"), CASES)
def test_the_probe_accepts_both(policies, kind, make):
    assert agrees_with_transformers(make(policies(kind)), policies(kind))


@pytest.mark.parametrize("name", ["rope_scale", "norm_eps"])
def test_the_probe_refuses_a_decoder_that_computes_something_else(policies, monkeypatch, name):
    find = find_decoder

    def wrong(model):
        weights = find(model)
        assert weights is not None
        return dataclasses.replace(weights, **{name: getattr(weights, name) * 1.2 + 0.01})

    monkeypatch.setattr(module, "find_decoder", wrong)
    policy = policies("llama")
    assert not agrees_with_transformers(FusedDecoder(policy), policy)
    with pytest.warns(RekindleWarning, match="does not reproduce this model"):
        engine = TorchEngine(policy)
    assert [len(group) for _, group in engine.generate([SamplingRequest([1], n=2, max_new_tokens=3)])] == [2]


def test_positions_start_at_each_row_and_stay_within_the_model():
    assert positions_of(torch.tensor([0, 2, 9]), 1, 4, 4).tolist() == [[1, 2, 3, 3], [0, 0, 1, 2], [0, 0, 0, 0]]


def test_onednn_kernels_are_used_and_give_the_same(policies, monkeypatch):
    policy = policies("qwen2")
    for kernels in (Kernels(linear="onednn"), Kernels(decode="onednn"), Kernels(linear="onednn", decode="onednn")):
        monkeypatch.setattr(type(policy), "kernels", kernels)
        monkeypatch.setattr(kernels_module, "_MANY_ROWS", 2)
        assert agrees_with_transformers(FusedDecoder(policy), policy)


def test_models_with_another_memory_are_refused(policies, monkeypatch):
    with pytest.raises(UserError, match=r"MambaForCausalLM has .+; sampling needs a model"):
        TorchEngine(policies("mamba"))
    policy = policies("gpt2")
    monkeypatch.setattr(policy.model.config, "layer_types", ["full_attention", "linear_attention"], raising=False)
    with pytest.raises(UserError, match="GPT2LMHeadModel has linear_attention layers"):
        TorchEngine(policy)
