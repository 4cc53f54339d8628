import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rekindle.models.packed import PackedForward
from rekindle.models.policy import ModelError
from rekindle.warm_starts.tiny_model import build_tiny
from rekindle.warm_starts.tiny_tokenizers import LETTERS, character_tokenizer


def test_the_default_has_a_fifth_of_a_million_parameters_and_a_token_per_letter():
    policy = build_tiny()
    assert 200_000 < policy.parameter_count < 230_000
    assert len(policy.tokenizer) == len(LETTERS) + 3
    assert policy.max_length == 128
    assert isinstance(policy._forward, PackedForward)


def test_text_survives_the_round_trip():
    policy = build_tiny(layers=1)
    ids = policy.encode_prompt("rekindle>")
    assert ids == [LETTERS.index(character) for character in "rekindle>"]
    (end,) = policy.eos_ids
    assert policy.decode([*ids, end]) == "rekindle>"
    assert policy.decode(policy.encode_prompt("a b\nA")) == "aba"[:1] + "b"


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = build_tiny(seed=5).model.state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = build_tiny(seed=5).model.state_dict(), build_tiny(seed=6).model.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_the_saved_directory_is_an_ordinary_one(tmp_path):
    policy = build_tiny(layers=1)
    policy.save(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert torch.equal(model.lm_head.weight, policy.model.lm_head.weight)
    assert tokenizer("hello>")["input_ids"] == policy.encode_prompt("hello>")
    assert tokenizer.decode(tokenizer("hello>")["input_ids"]) == "hello>"
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (policy.tokenizer.eos_token_id, len(LETTERS))


def test_every_setting_is_used():
    policy = build_tiny(
        layers=2, hidden_size=32, heads=4, kv_heads=2, intermediate_size=48, max_length=40, characters="xy"
    )
    config = policy.model.config
    assert (config.num_hidden_layers, config.hidden_size, config.intermediate_size) == (2, 32, 48)
    assert (config.num_attention_heads, config.num_key_value_heads) == (4, 2)
    assert (policy.max_length, policy.tokenizer.model_max_length, len(policy.tokenizer)) == (40, 40, 5)


def test_repeated_characters_are_refused():
    with pytest.raises(ModelError, match=r"contain \['a'\] more than once"):
        character_tokenizer("abca", 16)


def test_prepared_for_copying_two_heads_of_the_first_block_look_one_and_two_tokens_back():
    policy = build_tiny(words=[f"w{number}" for number in range(200)], initialization="copying", max_length=64)
    policy.model.set_attn_implementation("eager")
    words = torch.randint(200, (8, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = policy.model(words, output_attentions=True).attentions[0]
    for head, back in ((0, 1), (1, 2)):
        seen = torch.diagonal(first[:, head], offset=-back, dim1=1, dim2=2)
        assert seen.mean() > 0.7
    others = torch.diagonal(first[:, 2], offset=-1, dim1=1, dim2=2)
    assert others.mean() < 0.2


@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (2, 2), (4, 1), (4, 2)])
def test_copying_is_prepared_with_any_number_of_heads(heads, kv_heads):
    policy = build_tiny(heads=heads, kv_heads=kv_heads, initialization="copying", seed=3)
    again = build_tiny(heads=heads, kv_heads=kv_heads, initialization="copying", seed=3)
    assert policy.fingerprint() == again.fingerprint()
    assert isinstance(policy._forward, PackedForward)
    assert all(torch.isfinite(weights).all() for weights in policy.model.parameters())


def test_without_preparation_nothing_changes():
    assert build_tiny(seed=3).fingerprint() == build_tiny(seed=3, initialization="llama").fingerprint()
    assert build_tiny(seed=3).fingerprint() != build_tiny(seed=3, initialization="copying").fingerprint()
