import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_zoo import (
    MAX_LENGTH,
    PACKED,
    VOCABULARY,
    assert_same_gradients,
    batches,
    completion,
    gradients,
    make_model,
    reference,
    sample,
)

import fast
import rekindle.models.attention as attention
from rekindle.models.architecture import find_decoder
from rekindle.models.kernels import Kernels
from rekindle.models.packed import PackedForward, agrees_with_transformers
from rekindle.models.samples import rows_of


def packed_logprobs(model, samples):
    rows = [row for row in rows_of(samples, MAX_LENGTH) if row.targets.size]
    return PackedForward(model, Kernels())(rows)


def assert_equals_reference(model, samples):
    result = packed_logprobs(model, samples)
    found = gradients(model, result.logprobs)
    logprobs, entropies = reference(model, samples)
    torch.testing.assert_close(result.logprobs, logprobs, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(result.entropies, entropies, rtol=1e-5, atol=2e-6)
    assert not result.entropies.requires_grad
    assert_same_gradients(found, gradients(model, logprobs))


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("batch", fast.sample(batches(), *list(batches())[::2]))
def test_log_probabilities_and_gradients_are_those_of_transformers(kind, batch):
    assert_equals_reference(make_model(kind), batches()[batch])


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_long_rows_take_the_fused_attention_and_agree(kind, monkeypatch):
    monkeypatch.setattr(attention, "_LONGEST_EXPLICIT", 0)
    for samples in batches().values():
        assert_equals_reference(make_model(kind), samples)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.lists(st.booleans(), min_size=1, max_size=14), st.sampled_from([0.7, 1.0, 2.0])
        ),
        min_size=1,
        max_size=7,
    )
)
def test_any_mixture_of_prompts_masks_and_temperatures(rows):
    draw = np.random.default_rng(len(rows))
    prompts = [draw.integers(1, VOCABULARY, 1 + 4 * key).tolist() for key in range(3)]
    samples = []
    for key, mask, temperature in rows:
        tokens = [*prompts[key], *draw.integers(1, VOCABULARY, len(mask) + 1).tolist()]
        whole = [False] * len(prompts[key]) + [*mask, True]
        samples.append(sample(tokens, whole, temperature=temperature, prompt_key=key))
    assert_equals_reference(make_model("qwen3"), samples)


def test_a_shared_prompt_is_computed_once_and_nothing_is_padding():
    prompt = [3, 4, 5, 6]
    samples = [completion(prompt, [7, 8, 9]), completion(prompt, [9, 8]), completion([5, 4], [3])]
    result = packed_logprobs(make_model("llama"), samples)
    # prompt 4; completions without their last token, 2 + 1; the row alone 2.
    assert (result.computed_tokens, result.padded_tokens) == (9, 0)


def test_row_order_is_kept_and_rows_do_not_influence_each_other():
    model, samples = make_model("qwen2"), batches()["shared_prompts"]
    together = packed_logprobs(model, samples).logprobs
    alone = torch.cat([packed_logprobs(model, [row]).logprobs for row in samples])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=2e-6)


def test_bfloat16_is_as_close_to_float32_as_transformers_in_bfloat16():
    model, samples = make_model("qwen3"), batches()["shared_prompts"]
    exact = reference(model, samples)[0]
    model = model.to(torch.bfloat16)
    result = packed_logprobs(model, samples)
    assert result.logprobs.dtype == result.entropies.dtype == torch.float32
    theirs = (reference(model, samples)[0] - exact).norm()
    assert (result.logprobs - exact).norm() < 2 * theirs + 0.01
    result.logprobs.sum().backward()
    assert all(parameter.grad.dtype == torch.bfloat16 for parameter in model.parameters())


def test_the_same_batch_gives_the_same_bits():
    model, samples = make_model("qwen3"), batches()["shared_prompts"]
    first, second = (packed_logprobs(model, samples).logprobs for _ in range(2))
    assert torch.equal(first, second)
    found, again = gradients(model, first), gradients(model, second)
    assert all(torch.equal(found[name], again[name]) for name in found)


def test_frozen_weights_get_no_gradient():
    model = make_model("llama")
    for parameter in model.model.layers[0].parameters():
        parameter.requires_grad_(False)
    packed_logprobs(model, batches()["ragged"]).logprobs.sum().backward()
    assert model.model.layers[0].mlp.up_proj.weight.grad is None
    assert model.model.layers[1].mlp.up_proj.weight.grad is not None


def test_an_update_in_place_is_seen_at_once():
    model, samples = make_model("llama"), batches()["ragged"]
    forward = PackedForward(model, Kernels())
    rows = rows_of(samples, MAX_LENGTH)
    before = forward(rows).logprobs.detach()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(2)
    after = forward(rows).logprobs.detach()
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, reference(model, samples)[0].detach(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("kind", PACKED)
def test_the_probe_accepts_what_is_right(kind):
    model = make_model(kind)
    assert agrees_with_transformers(model, PackedForward(model, Kernels()))


def test_the_probe_notices_a_wrong_architecture():
    model = make_model("llama")
    model.config.rms_norm_eps = 0.5  # read by us, while transformers' modules keep theirs
    assert not agrees_with_transformers(model, PackedForward(model, Kernels()))


def test_other_shapes_of_model_are_refused():
    assert find_decoder(make_model("gpt2")) is None
    assert find_decoder(make_model("gemma2")) is None
    model = make_model("mistral")
    model.config.sliding_window = 8
    assert find_decoder(model) is None
    model = make_model("llama")
    model.model.rotary_emb.rope_type = "dynamic"
    assert find_decoder(model) is None
    model = make_model("llama")
    model.model.rotary_emb.inv_freq = model.model.rotary_emb.inv_freq[:1]
    assert find_decoder(model) is None
