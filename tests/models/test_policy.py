import pytest
import torch
from model_zoo import batches, completion, make_model, reference

import rekindle.models.loading as loading
import rekindle.models.policy as policy_module
from rekindle.models.generic import GenericForward
from rekindle.models.kernels import Kernels
from rekindle.models.packed import PackedForward
from rekindle.models.policy import ModelError, Policy
from rekindle.notices import RekindleWarning
from rekindle.types import UserError
from rekindle.warm_starts.tiny_model import build_tiny
from rekindle.warm_starts.tiny_tokenizers import character_tokenizer

CHAT = (
    "{% for m in messages %}{{ m['role'][0] }}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}x{% endif %}"
)


def make_policy(kind="llama"):
    return Policy(make_model(kind), character_tokenizer("abcdefghijklmnopqrst", 48))


@pytest.fixture
def saved(tmp_path):
    build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16).save(tmp_path)
    return tmp_path


def remove(directory, *names):
    for name in names:
        (directory / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (lambda path: None, {"path": "nowhere"}, "there is no model directory at nowhere; give the path"),
        (lambda path: remove(path, "config.json"), {}, "has no config.json; give a directory"),
        (lambda path: remove(path, "model.safetensors"), {}, "has no weights .* download the model completely"),
        (lambda path: remove(path, "tokenizer.json", "tokenizer_config.json"), {}, "has no tokenizer; copy"),
        (
            lambda path: (path / "config.json").write_text("{"),
            {},
            "config.json cannot be read .* download the model again",
        ),
        (lambda path: None, {"device": "tpu9"}, 'device = "tpu9" is not a device; use "auto"'),
        (lambda path: None, {"device": "meta"}, 'device = "meta" is not supported'),
        (lambda path: None, {"device": "cuda:99"}, 'device = "cuda:99" was asked for, but torch sees'),
        (lambda path: None, {"dtype": "int8"}, 'dtype = "int8" is not supported; use'),
    ],
)
def test_unusable_directories_get_one_sentence(saved, spoil, arguments, message):
    spoil(saved)
    with pytest.raises(ModelError, match=message) as caught:
        Policy.load(**{"path": saved, "device": "cpu", **arguments})
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value).split(": ")[0]


def test_saving_and_loading_change_nothing(tmp_path):
    policy = make_policy("qwen3")
    policy.save(tmp_path / "there")
    loaded = Policy.load(tmp_path / "there", device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(policy.model.parameters(), loaded.model.parameters(), strict=True))
    assert loaded.eos_ids == policy.eos_ids
    assert loaded.max_length == policy.max_length == 48
    assert loaded.parameter_count == policy.parameter_count
    assert {path.suffix for path in (tmp_path / "there").iterdir()} <= {".json", ".safetensors", ".jinja"}


def test_nothing_is_drawn_on_the_terminal(saved, capfd):
    Policy.load(saved, device="cpu").save(saved / "again")
    assert capfd.readouterr() == ("", "")


def test_bfloat16_is_loaded_as_such(saved):
    assert Policy.load(saved, device="cpu", dtype="bfloat16").dtype == torch.bfloat16


def test_a_processor_without_bfloat16_is_a_warning(saved, monkeypatch):
    monkeypatch.setattr(loading, "computes_bfloat16", lambda device: False)
    with pytest.warns(RekindleWarning, match="emulates them slowly"):
        Policy.load(saved, device="cpu", dtype="bfloat16")


def test_the_model_never_drops_out(saved):
    model = make_model("gpt2")
    assert model.config.resid_pdrop > 0
    policy = Policy(model.train(), character_tokenizer("abc", 48))
    samples = batches()["ragged"]
    first, second = policy.token_logprobs(samples).logprobs, policy.token_logprobs(samples).logprobs
    assert torch.equal(first, second)


def test_every_end_token_counts():
    policy = make_policy()
    assert policy.eos_ids == {policy.tokenizer.eos_token_id, 1}
    policy.model.generation_config.eos_token_id = [1, 2]
    assert Policy(policy.model, policy.tokenizer).eos_ids == {policy.tokenizer.eos_token_id, 1, 2}


def test_prompts_with_and_without_a_chat_template():
    policy = make_policy()
    assert policy.decode(policy.encode_prompt("abc")) == "abc"
    with pytest.raises(ValueError, match="a system prompt needs a chat template"):
        policy.encode_prompt("abc", system_prompt="be")
    policy.tokenizer.chat_template = CHAT.replace("x", "t")
    assert policy.decode(policy.encode_prompt("abc", chat_template=False)) == "abc"
    # user -> "u" is unknown to this tokenizer and skipped in decoding; "t" opens the answer.
    assert policy.decode(policy.encode_prompt("abc")) == "abct"
    assert policy.decode(policy.encode_prompt("abc", system_prompt="ef")) == "sefabct"


def test_prompts_that_are_conversations():
    policy = make_policy()
    user, said = {"role": "user", "content": "abc"}, {"role": "assistant", "content": "fed"}
    assert policy.encode_prompt([user]) == policy.encode_prompt("abc"), "a lone message needs no template"
    with pytest.raises(ValueError, match="a conversation of several turns needs a chat template, and none is used"):
        policy.encode_prompt([user, said, user])
    policy.tokenizer.chat_template = CHAT.replace("x", "t")
    assert policy.encode_prompt([user]) == policy.encode_prompt("abc")
    assert policy.decode(policy.encode_prompt([user, said, user])) == "abcafedabct"
    assert policy.decode(policy.encode_prompt([user, said, user], system_prompt="ef")) == "sefabcafedabct"
    own = {"role": "system", "content": "gh"}
    assert policy.decode(policy.encode_prompt([own, user], system_prompt="ef")) == "sghabct"


def test_an_empty_prompt_is_refused():
    with pytest.raises(ValueError, match="the prompt '' has no tokens"):
        make_policy().encode_prompt("")


def test_an_end_token_that_the_tokenizer_appends_is_taken_off():
    from tokenizers.processors import TemplateProcessing

    policy = make_policy()
    end = policy.tokenizer.eos_token_id
    policy.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", end)]
    )
    assert policy.tokenizer("ab")["input_ids"] == [0, 1, end]
    assert policy.encode_prompt("ab") == [0, 1]
    assert policy.encode_prompt("ab<eos>") == [0, 1, end]


def test_log_probabilities_follow_the_samples_and_empty_batches_are_empty():
    policy, samples = make_policy(), batches()["holes"]
    torch.testing.assert_close(
        policy.token_logprobs(samples).logprobs, reference(policy.model, samples)[0], rtol=1e-5, atol=2e-6
    )
    nothing = policy.token_logprobs(samples[2:])
    assert nothing.logprobs.shape == nothing.entropies.shape == (0,)
    assert nothing.computed_tokens == 0
    with pytest.raises(ValueError, match="takes at most 48"):
        policy.token_logprobs([completion([1] * 40, [2] * 9)])


def test_a_frozen_clone_keeps_the_old_weights_and_takes_no_gradient():
    policy, samples = make_policy(), batches()["ragged"]
    clone = policy.clone_frozen()
    before = policy.token_logprobs(samples).logprobs.detach()
    with torch.no_grad():
        policy.model.lm_head.weight.mul_(2)
    scored = clone.token_logprobs(samples).logprobs
    assert torch.equal(scored, before)
    assert not scored.requires_grad
    assert clone.kernels == policy.kernels


@pytest.mark.parametrize(("kind", "forward"), [("qwen3", PackedForward), ("gpt2", GenericForward)])
def test_the_fastest_right_pass_is_chosen(kind, forward):
    assert isinstance(make_policy(kind)._forward, forward)


def test_disagreement_falls_back_to_transformers_and_says_so(monkeypatch):
    monkeypatch.setattr(policy_module, "agrees_with_transformers", lambda model, packed: False)
    with pytest.warns(RekindleWarning, match="our forward pass of this llama model disagrees with transformers"):
        policy = make_policy()
    assert isinstance(policy._forward, GenericForward)
    assert policy.kernels == Kernels()


def test_kernels_can_be_restored():
    policy = make_policy()
    policy.use_kernels(Kernels(gigaflops={"linear": {"torch": 1.0}}))
    assert policy.kernels.gigaflops == {"linear": {"torch": 1.0}}
