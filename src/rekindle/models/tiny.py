"""A small decoder and a character tokenizer made from scratch, for runs that need no download.

The model is an ordinary Llama-shaped transformers model and the tokenizer an ordinary fast tokenizer, so both
save to and load from a Hugging Face directory like any other.
"""

from collections.abc import Sequence

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rekindle.models.policy import ModelError, Policy
from rekindle.models.words import word_tokenizer

__all__ = ["LETTERS", "build_tiny", "character_tokenizer"]

LETTERS = "abcdefghijklmnopqrstuvwxyz>"
"""Lower-case words and the separator between question and answer."""

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"


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


def character_tokenizer(characters: str, max_length: int) -> PreTrainedTokenizerFast:
    """Return a fast tokenizer with one token per character and pad, end and unknown tokens after them.

    Raises:
        ModelError: A character is repeated.
    """
    repeated = sorted({character for character in characters if characters.count(character) > 1})
    if repeated:
        raise ModelError(f"the tokenizer's characters contain {repeated} more than once; name each character once")
    vocabulary = {token: index for index, token in enumerate([*characters, PAD, EOS, UNKNOWN])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
