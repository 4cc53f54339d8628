"""Tiny model with random weights, for runs without a download.

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
        initialization: Initial weights: "llama", all small; "copying", in sizes with which such a small model learns
            several times sooner to copy from its context (`_prepare_for_copying`).
        seed: Seed of the weights; the global random state is left unchanged.

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
    """Change the initial weights, which Llama draws with a standard deviation of 0.02 throughout.

    - Matrices are scaled to keep the size of their inputs, so that no activation starts near zero.
    - Embeddings are scaled up, to stay readable in the residual stream beside the outputs of the blocks; smaller logits
      compensate.
    - All embeddings share a direction, because attention without biases has no other way to prefer a position
      independently of its token.
    - Two heads use that direction to attend to the previous token and the one before it. Copying, which is finding the
      token that followed a word earlier, starts from such heads (induction heads, arXiv 2209.11895).
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
        attention: Attention of the first block.
        frequencies: [D/2] frequencies of the rotary embedding, radians per token; dimensions i and i + D/2 of a head
            are one pair.
    """
    half, size = len(frequencies), 2 * len(frequencies)
    weights = 0.15 * frequencies.sqrt()  # slow pairs hardly distinguish neighbours: the tokens would decide
    query, key = attention.q_proj.weight, attention.k_proj.weight
    for head in range(min(2, len(key) // size)):
        rows, phases = slice(head * size, (head + 1) * size), (head + 1) * frequencies
        query[rows] = torch.cat([weights, torch.zeros(half)])[:, None]
        key[rows] = torch.cat([weights * phases.cos(), weights * phases.sin()])[:, None]
