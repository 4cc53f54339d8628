"""Small random models of several architectures, samples for them, and the plainest possible reference."""

import numpy as np
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rekindle.types import TrainingSample

VOCABULARY, MAX_LENGTH = 23, 48
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": MAX_LENGTH,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}
_GPT2 = {"vocab_size": VOCABULARY, "n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": MAX_LENGTH}
_ENDS = {"bos_token_id": None, "eos_token_id": 1}
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_SHAPE, tie_word_embeddings=True)),
    "llama_biases_untied": lambda: LlamaForCausalLM(LlamaConfig(**_SHAPE, attention_bias=True)),
    "llama_wide_heads": lambda: LlamaForCausalLM(LlamaConfig(**_SHAPE, head_dim=10)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**_SHAPE, sliding_window=None)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**_SHAPE, tie_word_embeddings=True)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_SHAPE, head_dim=8, tie_word_embeddings=True)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**_GPT2, **_ENDS)),
    "gemma2": lambda: Gemma2ForCausalLM(
        Gemma2Config(**_SHAPE, head_dim=6, final_logit_softcapping=2.0, sliding_window=64)
    ),
}
PACKED = ("llama", "llama_biases_untied", "llama_wide_heads", "mistral", "qwen2", "qwen3")


def make_model(kind, seed=0):
    """A model whose weights are large enough that attention, norms and biases all matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS[kind]()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                around = 1.0 if "norm" in name and not name.endswith("bias") else 0.0
                parameter.copy_(around + 0.3 * torch.randn_like(parameter))
    return model.eval()


def sample(tokens, mask, temperature=1.0, prompt_key=0, advantages=None):
    nothing = [0.0] * len(tokens)
    return TrainingSample(
        token_ids=tokens,
        loss_mask=mask,
        logprobs=nothing,
        advantages=advantages or nothing,
        temperature=temperature,
        weight=1.0,
        version=0,
        prompt_key=prompt_key,
    )


def completion(prompt, answer, **fields):
    """A single-turn sample: everything after the prompt is trainable."""
    return sample([*prompt, *answer], [False] * len(prompt) + [True] * len(answer), **fields)


def batches():
    """Named micro-batches that between them reach every branch of the layout."""
    draw = np.random.default_rng(7)

    def tokens(count):
        return draw.integers(1, VOCABULARY, count).tolist()

    prompts = [tokens(5), tokens(9), tokens(1)]
    return {
        "single_row": [completion(tokens(3), tokens(4))],
        "ragged": [completion(tokens(count), tokens(12 - count)) for count in (1, 6, 11, 3)],
        "shared_prompts": [
            completion(prompts[key], tokens(length), prompt_key=key) for key in (0, 1, 2) for length in (7, 1, 12)
        ],
        "temperatures": [completion(prompts[0], tokens(5), temperature=t) for t in (0.5, 1.0, 1.7)],
        "holes": [
            sample(tokens(10), [False, False, True, True, False, False, True, False, False, True]),
            sample(tokens(10), [False, False, False, True, False, True, True, True, False, False], temperature=1.3),
            sample(tokens(4), [False] * 4),
            sample(tokens(4), [False] * 4),
        ],
        "shared_prompt_with_holes": [
            sample([*prompts[1], *tokens(6)], [False] * 9 + [True, False, False, True, True, False], prompt_key=3)
            for _ in range(3)
        ],
        "one_key_two_prompts": [completion(tokens(4), tokens(5), prompt_key=1) for _ in range(2)],
        "one_token_each": [completion(prompts[0], tokens(1)) for _ in range(3)],
        "as_long_as_possible": [completion(tokens(MAX_LENGTH - 3), tokens(3)), completion(tokens(2), tokens(2))],
        "pad_tokens_inside": [completion([3, 0, 5], [0, 4, 0, 7, 1])],
    }


def reference(model, samples):
    """Log-probabilities and entropies one row at a time, in the most obvious way."""
    logprobs, entropies = [], []
    for row in samples:
        if not any(row.loss_mask):
            continue
        logits = model(input_ids=torch.tensor([list(row.token_ids)])).logits[0].float() / row.temperature
        table = torch.log_softmax(logits, -1)
        where = torch.tensor(row.loss_mask).nonzero().squeeze(1)
        logprobs.append(table[where - 1, torch.tensor(row.token_ids)[where]])
        entropies.append(torch.distributions.Categorical(logits=logits[where - 1]).entropy())
    return torch.cat(logprobs), torch.cat(entropies).detach()


def gradients(model, logprobs):
    """Gradients of a weighted sum of log-probabilities, by parameter name."""
    model.zero_grad()
    weights = torch.linspace(-1, 2, logprobs.numel())
    (logprobs * weights).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def assert_same_gradients(found, expected, tolerance=1e-4):
    for name, grad in expected.items():
        error = (found[name] - grad).norm()
        assert error <= tolerance * grad.norm() + 1e-6, f"{name}: {error} of {grad.norm()}"
