"""A small decoder made from scratch, for runs that need no download.

The model is an ordinary Llama-shaped transformers model and the tokenizer an ordinary fast tokenizer, so both
save to and load from a Hugging Face directory like any other.
"""

from collections.abc import Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rekindle.models.policy import Policy
from rekindle.models.tiny_tokenizers import LETTERS, character_tokenizer, word_tokenizer

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
    return Policy(model, tokenizer)
