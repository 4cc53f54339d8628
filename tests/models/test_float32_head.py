"""A head in float32 over weights in bfloat16: in the trainer, in the engine, and in a reference policy."""

import copy

import pytest
import torch
import torch.nn.functional as F

from rekindle.engines.engine import SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.directory import ModelError
from rekindle.models.float32_head import compute_head_in_float32
from rekindle.models.packed import PackedForward
from rekindle.models.policy import Policy
from rekindle.models.samples import rows_of
from rekindle.types import TrainingSample

KINDS = ["qwen3", "llama", "gpt2", "bloom"]
"""The first two have our own forward pass and decoder, the others transformers'."""


def rounded(policy, *, float32_head, scale=1.0):
    """The policy in bfloat16; with a scale, its head is larger."""
    model = copy.deepcopy(policy.model).to(torch.bfloat16)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(scale)
    return Policy(model, policy.tokenizer, float32_head=float32_head)


def samples_of(policy):
    requests = [SamplingRequest([2 + key, 7, 1], n=4, max_new_tokens=8, seed=key) for key in range(6)]
    samples = []
    for key, completions in TorchEngine(policy).generate(requests):
        for one in completions:
            tokens = [*requests[key].prompt_ids, *one.token_ids]
            mask = [False] * 3 + [True] * len(one.token_ids)
            samples.append(
                TrainingSample(
                    token_ids=tokens,
                    loss_mask=mask,
                    logprobs=[0.0] * 3 + one.logprobs,
                    advantages=[1.0] * len(tokens),
                    temperature=1.0,
                    weight=1.0,
                    prompt_key=key,
                )
            )
    return samples


def hidden_states(policy, row):
    """Hidden states before each sampled token of a row, as the policy's own forward pass has them."""
    if isinstance(policy._forward, PackedForward):
        return policy._forward.hidden(rows_of([row], policy.max_length))
    return policy.model.base_model(input_ids=torch.tensor([row.token_ids]))[0][0, 2:-1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_no_longer_rounds(policies, kind):
    """The error against the product of the same hidden states and weights in float64."""
    errors = {}
    for wide in (False, True):
        policy = rounded(policies(kind), float32_head=wide, scale=3.0)
        row = samples_of(policy)[0]
        with torch.no_grad():
            logits = F.linear(hidden_states(policy, row).double(), policy.model.get_output_embeddings().weight.double())
            ours = policy.token_logprobs([row]).logprobs
        exact = logits.log_softmax(-1).gather(1, torch.tensor(row.token_ids[3:])[:, None])[:, 0]
        errors[wide] = (ours - exact).abs().max().item()
    assert errors[True] < 1e-4
    assert errors[False] > 10 * errors[True]


@pytest.mark.parametrize("kind", KINDS)
def test_the_engines_logits_are_float32(policies, kind):
    """With more than the 8 bits of bfloat16."""
    tokens, starts = torch.tensor([[2, 7, 1, 8]]), torch.tensor([0])
    for wide in (False, True):
        decoder = TorchEngine(rounded(policies(kind), float32_head=wide))._decoder
        with torch.inference_mode():
            decoder.refresh()
            logits, _ = decoder.prefill(tokens, starts, 4)
        assert bool((logits.float() == logits.bfloat16().float()).all()) is not wide


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_gradients_keep_their_type(policies, kind):
    policy = rounded(policies(kind), float32_head=True)
    before = {name: tensor.dtype for name, tensor in policy.model.state_dict().items()}
    policy.token_logprobs(samples_of(policy)).logprobs.sum().backward()
    assert {name: tensor.dtype for name, tensor in policy.model.state_dict().items()} == before
    assert all(p.grad is None or p.grad.dtype == torch.bfloat16 for p in policy.model.parameters())
    assert policy.model.get_output_embeddings().weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["qwen3", "bloom"])
def test_a_frozen_copy_computes_as_its_original_and_is_its_own(policies, kind):
    policy = rounded(policies(kind), float32_head=True)
    clone, samples = policy.clone_frozen(), samples_of(policy)
    with torch.no_grad():
        expected = policy.token_logprobs(samples).logprobs
        assert torch.equal(clone.token_logprobs(samples).logprobs, expected)
        policy.model.get_output_embeddings().weight.add_(1.0)
        assert torch.equal(clone.token_logprobs(samples).logprobs, expected)


@pytest.mark.parametrize("kind", ["qwen3", "gpt2"])
def test_in_float32_it_changes_no_bit(policies, kind):
    policy = policies(kind)
    wide = Policy(copy.deepcopy(policy.model), policy.tokenizer, float32_head=True)
    samples = samples_of(policy)
    assert samples_of(wide) == samples
    with torch.no_grad():
        assert torch.equal(policy.token_logprobs(samples).logprobs, wide.token_logprobs(samples).logprobs)


def test_it_is_loaded_as_configured(policies, tmp_path):
    policies("llama").save(tmp_path)
    assert Policy.load(tmp_path, device="cpu", dtype="bfloat16", float32_head=True).float32_head
    assert not Policy.load(tmp_path, device="cpu").float32_head


def test_a_model_without_a_linear_head_is_refused(policies):
    model = copy.deepcopy(policies("llama").model)
    model.set_output_embeddings(torch.nn.Identity())
    with pytest.raises(ModelError, match=r"needs a linear output layer, which LlamaForCausalLM has not; set"):
        compute_head_in_float32(model)
