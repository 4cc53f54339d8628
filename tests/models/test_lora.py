import json

import pytest
import torch
from model_zoo import PACKED, assert_same_gradients, batches, gradients, make_model, reference

import fast
from rekindle.engines.engine import SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.generic import GenericForward
from rekindle.models.lora import NewAdapter, SavedAdapter, effective_weight, nonzero_adapter, save_adapter
from rekindle.models.packed import PackedForward
from rekindle.models.policy import ModelError, Policy
from rekindle.warm_starts.tiny_tokenizers import character_tokenizer

peft = pytest.importorskip("peft", reason="LoRA needs the package peft")

NEW = NewAdapter(rank=3, alpha=6.0, targets=("all-linear",), seed=5)
BATCH = [row for name in ("shared_prompts", "holes", "temperatures") for row in batches()[name]]


def adapted(kind="llama", adapter=NEW, *, moved=True, recompute=False, seed=0):
    """A policy with an adapter; ``moved``: one that changes the model visibly."""
    model = make_model(kind, seed)
    policy = Policy(
        model, character_tokenizer("abcdefghijklmnopqrst", 48), adapter=adapter.attach(model), recompute=recompute
    )
    if moved:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(1)
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.normal_(std=0.2)
    return policy


def trainable(model):
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def adapter_gradients(model, logprobs):
    model.zero_grad()
    (logprobs * torch.linspace(-1, 2, logprobs.numel())).sum().backward()
    assert all(weight.grad is None for weight in model.parameters() if not weight.requires_grad)
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("targets", [("all-linear",), ("q_proj", "v_proj"), ("down_proj",)], ids=str)
@pytest.mark.parametrize("kind", fast.sample(PACKED, "llama", "llama_biases_untied", "qwen3"))
def test_the_packed_forward_pass_with_an_adapter_is_that_of_peft(kind, targets):
    policy = adapted(kind, NewAdapter(3, 6.0, targets, 5))
    assert isinstance(policy._forward, PackedForward)
    found = policy.token_logprobs(BATCH)
    expected, entropies = reference(policy.model, BATCH)
    torch.testing.assert_close(found.logprobs, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.entropies, entropies, rtol=1e-5, atol=1e-5)
    assert_same_gradients(adapter_gradients(policy.model, found.logprobs), adapter_gradients(policy.model, expected))


@pytest.mark.parametrize("kind", ["gpt2", "gemma2"])
def test_other_architectures_go_through_peft_itself(kind):
    policy = adapted(kind)
    assert isinstance(policy._forward, GenericForward)
    found, expected = policy.token_logprobs(BATCH).logprobs, reference(policy.model, BATCH)[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert_same_gradients(adapter_gradients(policy.model, found), adapter_gradients(policy.model, expected))


def test_a_new_adapter_changes_nothing_and_is_all_that_is_trained():
    plain = make_model("llama")
    policy = adapted(moved=False)
    torch.testing.assert_close(policy.token_logprobs(BATCH).logprobs, reference(plain, BATCH)[0], rtol=1e-5, atol=1e-5)
    assert all("lora_" in name for name in trainable(policy.model))
    layers = 2 * 7  # of each block q, k, v, o, gate, up, down
    assert len(trainable(policy.model)) == 2 * layers


def test_the_same_seed_gives_the_same_adapter_and_leaves_torchs_own_seed_alone():
    torch.manual_seed(3)
    first = adapted(moved=False).fingerprint()
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert adapted(moved=False).fingerprint() == first
    assert torch.rand(1) == drawn
    assert adapted(adapter=NewAdapter(3, 6.0, ("all-linear",), 6), moved=False).fingerprint() != first


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
def test_the_engine_samples_from_the_effective_weights(kind):
    policy = adapted(kind)
    request = SamplingRequest(prompt_ids=[3, 5, 7], n=6, temperature=1.0, max_new_tokens=8, seed=1)
    [(_, completions)] = TorchEngine(policy).generate([request])
    for completion in completions:
        ids = [3, 5, 7, *completion.token_ids]
        with torch.no_grad():
            table = policy.model(input_ids=torch.tensor([ids])).logits[0, 2:-1].log_softmax(-1)
        expected = table.gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(completion.logprobs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_policy_without_its_adapter_is_the_base_and_shares_its_weights(kind):
    policy = adapted(kind)
    before = policy.token_logprobs(BATCH).logprobs
    base = policy.without_adapter()
    with torch.no_grad():
        found = base.token_logprobs(BATCH).logprobs
    torch.testing.assert_close(found, reference(make_model(kind), BATCH)[0], rtol=1e-5, atol=1e-5)
    assert (found - before).abs().max() > 0.1
    torch.testing.assert_close(policy.token_logprobs(BATCH).logprobs, before, rtol=0, atol=0)
    own = {weight.data_ptr() for weight in policy.model.parameters()}
    assert {weight.data_ptr() for weight in base.model.parameters()} == own
    request = SamplingRequest([3, 5, 7], n=1, temperature=0.0, max_new_tokens=12, seed=1, min_new_tokens=12)
    plain = Policy(make_model(kind), policy.tokenizer)
    ours, theirs, adapters = (next(TorchEngine(one).generate([request]))[1][0] for one in (base, plain, policy))
    assert ours.token_ids == theirs.token_ids
    assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)
    assert adapters.logprobs != pytest.approx(theirs.logprobs, abs=1e-2)


def test_an_adapter_in_half_precision_is_kept_in_float32():
    model = make_model("llama").bfloat16()
    policy = Policy(model, character_tokenizer("abcdefghijklmnopqrst", 48), adapter=NEW.attach(model))
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    found = adapter_gradients(model, policy.token_logprobs(BATCH).logprobs)
    assert all(grad.isfinite().all() for grad in found.values())


def test_a_saved_adapter_is_read_by_peft_and_by_us(tmp_path):
    policy = adapted()
    policy.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "rekindle_base.json",
    ]
    expected = policy.token_logprobs(BATCH).logprobs
    again = adapted(adapter=SavedAdapter(tmp_path), moved=False)
    torch.testing.assert_close(again.token_logprobs(BATCH).logprobs, expected, rtol=0, atol=0)
    assert trainable(again.model) == trainable(policy.model)
    theirs = peft.PeftModel.from_pretrained(make_model("llama"), tmp_path)
    torch.testing.assert_close(reference(theirs, BATCH)[0], expected, rtol=1e-5, atol=1e-5)


def test_an_adapter_of_other_weights_of_the_same_shapes_is_refused(tmp_path):
    adapted().save(tmp_path)
    with pytest.raises(ModelError, match=r"does not fit the model .*trained on other weights.*model\.path"):
        adapted(adapter=SavedAdapter(tmp_path), seed=1)
    (tmp_path / "rekindle_base.json").unlink()  # as PEFT writes it: nothing to compare
    adapted(adapter=SavedAdapter(tmp_path), seed=1)


def spoil_settings(**changes):
    def spoil(directory):
        path = directory / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "adapter_model.safetensors").unlink(), "does not fit|has no adapter_model"),
        (lambda path: (path / "adapter_model.safetensors").write_bytes(b"\x09" * 40), "adapter"),
        (spoil_settings(peft_type="IA3"), "is an adapter of kind IA3; give a LoRA adapter"),
        (spoil_settings(r=4), "does not fit the model .*size mismatch"),
        (spoil_settings(target_modules=["q_proj"]), "does not fit the model .*it has "),
        (spoil_settings(target_modules=["nothing"]), "does not fit the model"),
        (lambda path: (path / "rekindle_base.json").write_text("["), "rekindle_base.json cannot be read"),
        (lambda path: (path / "adapter_config.json").write_text("{"), "cannot be read"),
    ],
)
def test_damaged_adapters_get_one_sentence(tmp_path, spoil, message):
    adapted().save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ModelError, match=message):
        adapted(adapter=SavedAdapter(tmp_path))


@pytest.mark.parametrize("target", ["lm_head", "k_projj", "layers", "embed_tokens"])
def test_a_target_that_is_no_linear_layer_is_named_with_those_there_are(target):
    with pytest.raises(ModelError, match=f'names "{target}".*choose among down_proj, gate_proj, k_proj, o_proj'):
        adapted(adapter=NewAdapter(3, 6.0, ("q_proj", target), 5))


def test_an_update_for_comparisons_is_taken_back():
    policy = adapted()
    before = policy.fingerprint()
    with nonzero_adapter(policy.model):
        assert policy.fingerprint() != before
    assert policy.fingerprint() == before
    plain = make_model("llama")
    with nonzero_adapter(plain):
        pass


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
def test_gradient_checkpointing_gives_the_same_bits_and_keeps_less(kind, lora):
    kept = {}

    def measured(recompute):
        if lora:
            policy = adapted(kind, recompute=recompute)
        else:
            policy = Policy(make_model(kind), character_tokenizer("abcdefghijklmnopqrst", 48), recompute=recompute)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda one: sizes.append(one.numel()) or one, lambda one: one):
            logprobs = policy.token_logprobs(BATCH).logprobs
        kept[recompute] = sum(sizes)
        found = adapter_gradients(policy.model, logprobs) if lora else gradients(policy.model, logprobs)
        return {"logprobs": logprobs.detach(), **found}

    plain, recomputed = measured(False), measured(True)
    assert plain.keys() == recomputed.keys()
    for name, values in plain.items():
        torch.testing.assert_close(recomputed[name], values, rtol=0, atol=0, msg=name)
    assert kept[True] < 0.6 * kept[False]


def test_effective_weights_by_hand():
    policy = adapted()
    layer = policy.model.model.layers[1].mlp.up_proj
    b, a = layer.lora_B["default"].weight, layer.lora_A["default"].weight
    torch.testing.assert_close(effective_weight(layer), layer.base_layer.weight + 2.0 * (b @ a))
    assert effective_weight(layer, adapted=False) is layer.weight


def test_save_adapter_leaves_no_model_card(tmp_path):
    save_adapter(adapted().adapter, tmp_path)
    assert not (tmp_path / "README.md").exists()
