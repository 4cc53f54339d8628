"""Log-probabilities, entropies and gradients at a temperature per row, against logits / T of plain transformers."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, CohereConfig, GemmaConfig, GPT2Config, PhiConfig

from rekindle.integrations.trl.updates.row_temperatures import RowTemperatures, check_head
from rekindle.types import UserError

HEATS = [1.0, 0.6, 1.7, 1.0, 1.25]
KEEP = 6


@pytest.fixture
def batch(tokenizer):
    """Token ids [5, 10] and mask; the first columns of some rows are padding."""
    torch.manual_seed(0)
    ids = torch.randint(0, len(tokenizer) - 3, (5, 10))
    mask = torch.ones_like(ids)
    mask[1, :3] = mask[4, :2] = 0
    return ids, mask


def plain(model, batch, heats):
    """Log-probabilities and entropies [B, KEEP] by the model's own logits."""
    ids, mask = batch
    logits = model(input_ids=ids, attention_mask=mask).logits.float()[:, -KEEP - 1 : -1]
    logprobs = torch.log_softmax(logits / torch.tensor(heats)[:, None, None], dim=-1)
    entropies = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(2, ids[:, -KEEP:, None]).squeeze(2), entropies


def fused(trainer, batch, **options):
    ids, mask = batch
    logprobs, entropies, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model, ids, mask, KEEP, compute_entropy=True, **options
    )
    return logprobs, entropies


def gradients(model, logprobs, entropies):
    model.zero_grad()
    weights = torch.linspace(-1, 2, logprobs.numel()).view_as(logprobs)
    (logprobs * weights + 0.3 * entropies).sum().backward()
    return [one.grad.clone() for one in model.parameters() if one.grad is not None]


def assert_equal(trainer, reference, batch, heats, base, tolerance=1e-5, **options):
    with RowTemperatures(trainer.model, base).at(heats):
        ours = fused(trainer, batch, **options)
    theirs = plain(reference, batch, heats)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)
    mine, expected = gradients(trainer.model, *ours), gradients(reference, *theirs)
    assert len(mine) == len(expected) > 0
    for one, other in zip(mine, expected, strict=True):
        torch.testing.assert_close(one, other, atol=10 * tolerance, rtol=10 * tolerance)


@pytest.mark.parametrize("base", [1.0, 0.8])
@pytest.mark.parametrize("chunk", [None, 1, 2, 5])
def test_mixed_temperatures_equal_logits_divided_by_them(trainer, tiny_model, batch, base, chunk):
    reference = copy.deepcopy(tiny_model)
    assert_equal(trainer(temperature=base), reference, batch, HEATS, base, batch_size=chunk)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_sees_the_same_temperatures(trainer, tiny_model, batch, reentrant):
    reference = copy.deepcopy(tiny_model)
    made = trainer(gradient_checkpointing=True)
    made.model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    made.model.enable_input_require_grads()
    made.model.train()
    assert made.model.is_gradient_checkpointing
    runs = []
    made.model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: runs.append(1))
    assert_equal(made, reference, batch, HEATS, 1.0)
    assert len(runs) == 2  # forward, and again in the backward pass


def test_an_adapter_is_trained_at_the_temperatures(trainer, tiny_model, batch):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(1)
    adapted = peft.get_peft_model(tiny_model, config)
    reference = copy.deepcopy(adapted)
    assert_equal(trainer(model=adapted), reference, batch, HEATS, 1.0)


def test_bfloat16_differs_from_bfloat16_logits_by_rounding(trainer, tiny_model, batch):
    reference = copy.deepcopy(tiny_model)
    made = trainer()
    made.model.bfloat16()
    with RowTemperatures(made.model, 1.0).at(HEATS), torch.no_grad():
        ours = fused(made, batch)[0]
    with torch.no_grad():
        exact, rounded = plain(reference, batch, HEATS)[0], plain(reference.bfloat16(), batch, HEATS)[0]
    error = (ours - exact).abs().mean()
    assert error < 1.5 * (rounded - exact).abs().mean()
    assert ours[0].equal(fused(made, batch)[0][0])  # rows at the base temperature are exact


def test_rows_at_the_base_temperature_are_untouched(trainer, batch):
    made = trainer()
    stock = fused(made, batch)
    with RowTemperatures(made.model, 1.0).at([1.0] * 5):
        same = fused(made, batch)
    with RowTemperatures(made.model, 1.0).at(HEATS):
        mixed = fused(made, batch)
    assert all(one.equal(other) for one, other in zip(stock, same, strict=True))
    assert mixed[0][0].equal(stock[0][0])
    assert mixed[0][3].equal(stock[0][3])
    assert not mixed[0][1].equal(stock[0][1])
    assert all(one.equal(other) for one, other in zip(stock, fused(made, batch), strict=True))


def test_a_wrapped_model_is_scored_at_the_temperatures(trainer, tiny_model, batch):
    reference = copy.deepcopy(tiny_model)
    made = trainer()
    store = torch.distributed.HashStore()  # type: ignore[attr-defined] # torch does not list it
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(made.model)
        with RowTemperatures(made.model, 1.0).at(HEATS):
            ours = made._get_per_token_logps_and_entropies(wrapped, *batch, KEEP)[0]
        ours.sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    torch.testing.assert_close(ours, plain(reference, batch, HEATS)[0], atol=1e-5, rtol=1e-5)
    assert made.model.model.layers[0].mlp.up_proj.weight.grad.any()


@pytest.mark.parametrize("heats", [[1.0] * 4, [1.0] * 6])
def test_another_number_of_rows_is_an_error(trainer, batch, heats):
    made = trainer()
    with pytest.raises(RuntimeError, match="rows"), RowTemperatures(made.model, 1.0).at(heats):
        fused(made, batch)
    fused(made, batch)  # the hook is gone


SMALL = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def small(config_class, **changes):
    return AutoModelForCausalLM.from_config(config_class(**(SMALL | {"intermediate_size": 16} | changes)))


def test_heads_that_are_not_linear_are_refused_with_the_remedy():
    capped = small(GemmaConfig, head_dim=8)
    capped.config.final_logit_softcapping = 30.0
    with pytest.raises(UserError, match=r"caps its logits .*= 30.0.*off_temperature = \"importance\""):
        check_head(capped)
    with pytest.raises(UserError, match="PhiForCausalLM has a bias in its output layer"):
        check_head(small(PhiConfig))


def test_scaled_and_plain_heads_are_fine(tiny_model):
    check_head(tiny_model)
    check_head(AutoModelForCausalLM.from_config(GPT2Config(vocab_size=20, n_embd=16, n_layer=1, n_head=2)))
    scaled = small(CohereConfig, logit_scale=0.25, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    check_head(scaled)


def test_a_model_that_scales_its_logits_is_exact(trainer, batch, tokenizer):
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    torch.manual_seed(2)
    model = small(CohereConfig, logit_scale=0.25, vocab_size=len(tokenizer), **ends)
    reference = copy.deepcopy(model)
    assert_equal(trainer(model=model), reference, batch, HEATS, 1.0)
