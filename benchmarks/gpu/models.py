"""Models of random weights with a given shape, for speed and dry runs."""

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from rekindle.models.policy import Policy
from rekindle.planning.shapes import SHAPES, ModelShape
from rekindle.warm_starts.tiny_tokenizers import character_tokenizer

__all__ = ["DRY_SHAPE", "SHAPE", "random_policy"]

SHAPE = SHAPES["Qwen/Qwen2.5-0.5B-Instruct"]
CHARACTERS = "0123456789+-*= \n"
CONTEXT = 4096
DRY_SHAPE = ModelShape(
    layers=2,
    hidden_size=32,
    intermediate_size=48,
    heads=4,
    kv_heads=2,
    head_size=8,
    vocabulary=len(CHARACTERS) + 3,
    tied=True,
    biased=True,
)


def random_policy(shape: ModelShape, *, device: str, dtype: str, float32_head: bool = False) -> Policy:
    """A policy of the class of Qwen2.5, whose tokenizer knows the characters of sums."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=shape.tied,
        bos_token_id=None,
        eos_token_id=shape.vocabulary - 2,
        pad_token_id=shape.vocabulary - 3,
    )
    with torch.device(device):
        model = Qwen2ForCausalLM(config).to(getattr(torch, dtype))
    return Policy(model, character_tokenizer(CHARACTERS, CONTEXT), float32_head=float32_head)
