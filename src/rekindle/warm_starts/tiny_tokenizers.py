"""Tokenizers of the tiny models: one token per character, or per word, of a small invented language."""

from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from rekindle.models.loading import ModelError

__all__ = ["LETTERS", "character_tokenizer", "word_tokenizer"]

LETTERS = "abcdefghijklmnopqrstuvwxyz>"
"""Lower-case words and the separator between question and answer."""

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"


def character_tokenizer(characters: str, max_length: int) -> PreTrainedTokenizerFast:
    """Return a fast tokenizer with one token per character and pad, end and unknown tokens after them.

    Raises:
        ModelError: A character is repeated.
    """
    repeated = sorted({character for character in characters if characters.count(character) > 1})
    if repeated:
        raise ModelError(f"the tokenizer's characters contain {repeated} more than once; name each character once")
    tokenizer = _with_specials(characters)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _fast(tokenizer, max_length)


def word_tokenizer(words: Sequence[str], max_length: int) -> PreTrainedTokenizerFast:
    """Return a fast tokenizer with one token per word; text is split at white space and joined with single spaces.

    Args:
        words: In the order of their ids; pad, end and unknown come after them.
        max_length: Context length of the model.

    Raises:
        ModelError: A word is repeated, is empty, contains white space, or is one of the three.
    """
    for word in words:
        if word.split() != [word] or word in (PAD, EOS, UNKNOWN):
            raise ModelError(
                f"the tokenizer's word {word!r} is empty, has white space in it or is a special token; give other words"
            )
    repeated = sorted({word for word in words if words.count(word) > 1})
    if repeated:
        raise ModelError(f"the tokenizer's words contain {repeated} more than once; name each word once")
    tokenizer = _with_specials(words)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _fast(tokenizer, max_length)


def _with_specials(tokens: Sequence[str]) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate([*tokens, PAD, EOS, UNKNOWN])}
    return Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))


def _fast(tokenizer: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
