"""A tokenizer of whole words, for tiny models that speak a small invented language."""

from collections.abc import Sequence

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from rekindle.models.loading import ModelError

__all__ = ["word_tokenizer"]

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"


def word_tokenizer(words: Sequence[str], max_length: int) -> PreTrainedTokenizerFast:
    """Return a fast tokenizer with one token per word; text is split at white space and joined with single spaces.

    Args:
        words: In the order of their ids; pad, end and unknown come after them.
        max_length: Of the model.

    Raises:
        ModelError: A word is repeated, empty, has white space in it, or is one of the three.
    """
    for word in words:
        if word.split() != [word] or word in (PAD, EOS, UNKNOWN):
            raise ModelError(f"the tokenizer's word {word!r} is no word of its own; give words without white space")
    repeated = sorted({word for word in words if words.count(word) > 1})
    if repeated:
        raise ModelError(f"the tokenizer's words contain {repeated} more than once; name each word once")
    vocabulary = {token: index for index, token in enumerate([*words, PAD, EOS, UNKNOWN])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
