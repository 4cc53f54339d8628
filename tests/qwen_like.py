"""Tiny models of the classes of Qwen2.5 and Qwen3, with the form of their chat templates, that answer in six ways.

Every token of a completion is drawn from ``SAID``, whatever came before, so that a group has right and wrong rollouts.
"""

import math

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rekindle.environments.search.tags import INSTRUCTIONS

__all__ = ["FAMILIES", "LONGEST", "save"]

END, START, TEXT_END = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
SAID = {
    r"\boxed{7}": 0.15,
    r"\boxed{8}": 0.15,
    "<answer> Lena </answer>": 0.12,
    "<answer> Omar </answer>": 0.12,
    "<search> Elbe </search>": 0.12,
    END: 0.34,
}
"""Tokens and their probabilities."""
LONGEST = 4096
_MESSAGES = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
_DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
)
_ASSISTANT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
_THOUGHT = (
    "{% if add_generation_prompt and enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
)
_SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": LONGEST,
    "tie_word_embeddings": False,
    "bos_token_id": None,
}
FAMILIES = {
    "qwen2": (
        lambda shape: Qwen2ForCausalLM(Qwen2Config(**shape)),
        _DEFAULT_SYSTEM + _MESSAGES + _ASSISTANT,
    ),
    "qwen3": (
        lambda shape: Qwen3ForCausalLM(Qwen3Config(**shape, head_dim=8)),
        _MESSAGES + _ASSISTANT + _THOUGHT,
    ),
}
"""Class of the model, and its chat template: Qwen2.5 has a system message of its own, Qwen3 a thinking mode."""


def save(family, directory):
    """Write a model and its tokenizer, a token for each text of ``SAID``, pieces of English for others."""
    make, template = FAMILIES[family]
    tokenizer = _tokenizer(template)
    end = tokenizer.convert_tokens_to_ids(END)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = make({**_SHAPE, "vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": end}).float()
        _says(model, {tokenizer.convert_tokens_to_ids(text): chance for text, chance in SAID.items()})
    model.generation_config = GenerationConfig(eos_token_id=[end, tokenizer.convert_tokens_to_ids(TEXT_END)])
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _says(model, chances):
    """Let the logits be those of the chances: the first value of the residual stream is large and constant."""
    width = model.config.hidden_size
    model.get_input_embeddings().weight[:, 0] = 100.0
    model.lm_head.weight[:] = 0.0
    model.lm_head.weight[:, 0] = -20.0 / math.sqrt(width)
    for token, chance in chances.items():
        model.lm_head.weight[token, 0] = math.log(chance) / math.sqrt(width)


def _tokenizer(template):
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        [INSTRUCTIONS] * 2, BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    )
    inner.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in (TEXT_END, START, END)])
    inner.add_tokens([AddedToken(text, normalized=False) for text in SAID if text != END])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=TEXT_END, eos_token=END, model_max_length=LONGEST
    )
    tokenizer.chat_template = template
    return tokenizer
