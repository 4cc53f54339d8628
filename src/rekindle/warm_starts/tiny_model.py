"""A small decoder made from scratch, for runs that need no download.

The model is an ordinary Llama-shaped transformers model and the tokenizer an ordinary fast tokenizer, so both
save to and load from a Hugging Face directory like any other.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rekindle.models.policy import Policy
from rekindle.warm_starts.tiny_tokenizers import LETTERS, character_tokenizer, word_tokenizer

__all__ = ["build_tiny"]


def build_tiny(
    *,
    layers: int = 4,
    hidden_size: int = 64,
    heads: int = 4,
    kv_heads: int = 4,
    intermediate_size: int = 192,
    max_length: int = 128,
    characters: str = LETTERS,
    words: Sequence[str] = (),
    initialization: Literal["llama", "copying"] = "llama",
    seed: int = 0,
) -> Policy:
    """Make a policy with random weights; the default has 0.2 million parameters.

    Args:
        layers: Number of blocks.
        hidden_size: Width of the residual stream.
        heads: Query heads; they divide ``hidden_size`` into even parts.
        kv_heads: Key and value heads; they divide ``heads``.
        intermediate_size: Width of the feed-forward part.
        max_length: Longest prompt plus completion, in tokens.
        characters: One token each, in this order, before padding, end and unknown.
        words: One token each instead of the characters, split at white space.
        initialization: Of the weights: all small, as Llama's; or in sizes with which such a small model learns several
            times sooner to copy what it has read (`_prepare_for_copying`).
        seed: The weights depend on it and on nothing else; the global random state is left as it was.

    Raises:
        ModelError: A character or word is repeated.
    """
    tokenizer = word_tokenizer(words, max_length) if words else character_tokenizer(characters, max_length)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=intermediate_size,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).float()
    if initialization == "copying":
        _prepare_for_copying(model)
    return Policy(model, tokenizer)


def _prepare_for_copying(model: Any) -> None:
    """Change the first weights, which Llama draws with a standard deviation of 0.02 throughout.

    Matrices that keep the size of what they are given, so that nothing starts near zero. Embeddings that stay legible
    in the residual stream beside what the blocks add; smaller logits make up for them. A direction that all embeddings
    share: attention without biases has nothing else by which it could prefer a position, whatever stands there. And
    heads that use it to look at the token before and the one before that, because finding what followed a word when it
    was read, which is copying, begins there (induction heads, arXiv 2209.11895).
    """
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "embed_tokens" in name:
                weights.mul_(15).add_(0.3)
            elif name == "model.norm.weight":
                weights.fill_(0.4)
            elif weights.dim() == 2:
                weights.mul_(2 if "o_proj" in name or "down_proj" in name else 5)
        _look_back(model.model.layers[0].self_attn, model.model.rotary_emb.inv_freq)


def _look_back(attention: Any, frequencies: torch.Tensor) -> None:
    """Make the first two heads attend one and two tokens back, by rotary phases alone.

    Args:
        attention: Of the first block.
        frequencies: [D/2] of the rotary embedding, radians a token; a head's dimensions i and i + D/2 are one pair.
    """
    half, size = len(frequencies), 2 * len(frequencies)
    weights = 0.15 * frequencies.sqrt()  # slow pairs tell neighbours hardly apart, and would let the tokens decide
    query, key = attention.q_proj.weight, attention.k_proj.weight
    for head in range(min(2, len(key) // size)):
        rows, phases = slice(head * size, (head + 1) * size), (head + 1) * frequencies
        query[rows] = torch.cat([weights, torch.zeros(half)])[:, None]
        key[rows] = torch.cat([weights * phases.cos(), weights * phases.sin()])[:, None]
