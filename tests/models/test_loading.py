"""Weights that do not fit their config.json, and tokenizers that do not fit their model."""

import json

import pytest
import torch
from model_zoo import make_model
from safetensors.torch import load_file, save_file

from rekindle.models.generic import GenericForward
from rekindle.models.policy import ModelError, Policy
from rekindle.notices import RekindleWarning
from rekindle.warm_starts.tiny_model import build_tiny
from rekindle.warm_starts.tiny_tokenizers import character_tokenizer

UP = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def saved(tmp_path):
    build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16).save(tmp_path)
    return tmp_path


def rewrite(directory, change):
    weights = load_file(directory / "model.safetensors")
    save_file(change(dict(weights)), directory / "model.safetensors", metadata={"format": "pt"})


def without(weights, *names):
    return {name: weight for name, weight in weights.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: without(weights, UP), f"weights are missing in .*: {UP}; they would be random"),
        (lambda weights: without(weights, "model.norm.weight"), r"weights are missing in .*: model.norm.weight"),
        (lambda weights: without(weights, "model.embed_tokens.weight"), r"weights are missing .*embed_tokens"),
        (
            lambda weights: {f"module.{name}": weight for name, weight in weights.items()},
            r"\(\d+ in all\) \(the files have others instead: module.model",
        ),
        (lambda weights: weights | {UP: torch.zeros(3, 3)}, f"have another shape than its config.json says: {UP}"),
        (lambda weights: weights | {UP: torch.full((16, 16), torch.nan)}, rf"are not finite \({UP}\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_named(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(ModelError, match=message):
        Policy.load(saved, device="cpu")


def test_weights_beyond_the_model_are_left_out_with_a_warning(saved):
    rewrite(saved, lambda weights: weights | {"value_head.weight": torch.zeros(2)})
    with pytest.warns(RekindleWarning, match=r"weights that the model does not use: value_head.weight; they are left"):
        Policy.load(saved, device="cpu")


def test_tied_weights_are_not_missing(saved):
    assert "lm_head.weight" not in load_file(saved / "model.safetensors")
    Policy.load(saved, device="cpu")


def test_other_sizes_in_the_config_are_found(saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(ModelError, match=r"weights are missing in .*: model.layers.1"):
        Policy.load(saved, device="cpu")
    (saved / "config.json").write_text(json.dumps(config | {"intermediate_size": 32}))
    with pytest.raises(ModelError, match="have another shape"):
        Policy.load(saved, device="cpu")
    (saved / "config.json").write_text(json.dumps(config | {"hidden_size": None}))
    with pytest.raises(ModelError, match="transformers cannot load a causal language model from"):
        Policy.load(saved, device="cpu")


def test_a_damaged_tokenizer_is_one_sentence(saved):
    (saved / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(ModelError, match="transformers cannot load a tokenizer from"):
        Policy.load(saved, device="cpu")


def test_a_tokenizer_of_another_model_is_refused(saved):
    build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16)
    character_tokenizer("".join(map(chr, range(0x4E00, 0x4F00))), 48).save_pretrained(saved)
    with pytest.raises(ModelError, match=r"has \d+ tokens, and the model has embeddings for \d+; copy the model's own"):
        Policy.load(saved, device="cpu")


def test_an_added_token_beyond_the_embeddings_matters_only_in_a_prompt():
    tokenizer = character_tokenizer("abcdefghijklmnopqrst", 48)
    policy = Policy(make_model("llama"), tokenizer)
    rows = policy.vocabulary
    tokenizer.add_tokens([f"<{number}>" for number in range(rows)], special_tokens=True)
    assert policy.encode_prompt("ab") == [0, 1]
    with pytest.raises(ModelError, match=r"a prompt has the token '<\d+>' \(\d+\), and the model has embeddings for"):
        policy.encode_prompt(f"ab<{rows - 1}>")


def test_a_model_that_reads_later_tokens_is_refused():
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(vocab_size=23, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForMaskedLM(config).eval()
    with pytest.raises(
        ModelError, match="BertForMaskedLM reads later tokens to predict one, so it cannot complete text"
    ):
        GenericForward(model)


@pytest.mark.parametrize("kind", ["gpt2", "bloom", "mamba", "llama"])
def test_causal_models_are_not_refused(kind, policies):
    GenericForward(policies(kind).model)
