"""Small random models of several architectures, with weights large enough for peaked, varied distributions."""

import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rekindle.models.policy import Policy
from rekindle.warm_starts.tiny_tokenizers import LETTERS, character_tokenizer

MAX_LENGTH = 96
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": MAX_LENGTH}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}


def build(kind: str) -> Policy:
    tokenizer = character_tokenizer(LETTERS, MAX_LENGTH)
    ids = {
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": 0,
        "bos_token_id": None,
    }
    with torch.inference_mode(False), torch.random.fork_rng():
        torch.manual_seed(7)
        if kind == "gpt2":
            config = GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=MAX_LENGTH, **ids)
            model = GPT2LMHeadModel(config)
        elif kind == "bloom":
            model = BloomForCausalLM(BloomConfig(hidden_size=32, n_layer=2, n_head=4, **ids))
        elif kind == "mamba":
            model = MambaForCausalLM(MambaConfig(hidden_size=32, num_hidden_layers=1, **ids))
        else:
            families = {
                "llama": (LlamaConfig, LlamaForCausalLM, {}),
                "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
                "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 16}),
            }
            config_class, model_class, extra = families[kind]
            model = model_class(config_class(**SHAPE, **HEADS, **ids, **extra))
        for parameter in model.parameters():
            if parameter.ndim == 2:
                torch.nn.init.normal_(parameter, std=0.35)
            else:
                parameter.data += 0.1 * torch.randn_like(parameter)
    return Policy(model.float(), tokenizer)
