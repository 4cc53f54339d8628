"""The model that the speed benchmarks share: a Qwen3 of 804,224 random weights (4 layers, width 128, 128 tokens)."""

from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

__all__ = ["VOCABULARY", "small_qwen"]

VOCABULARY = 128


def small_qwen(seed: int = 0, **changes: Any) -> Qwen3ForCausalLM:
    """Return the model in float32; ``changes`` go to its configuration."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=384,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        **changes,
    )
    return Qwen3ForCausalLM(config).float()
