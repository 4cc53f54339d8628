"""Text that stays text: foreign words become tokens without ever becoming control tokens.

A tokenizer turns the characters ``<|im_end|>`` into the token that ends a turn, whoever wrote them. What is encoded
here cannot do that: the tokenizer is asked to leave its special tokens alone, the ids are checked, and a text that
still contains a control token is broken in two until it does not.
"""

from collections.abc import Sequence
from typing import Any

__all__ = ["control_tokens", "encode_plain"]


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """Return the tokens that no foreign text may produce: all that were added to the vocabulary, by id.

    Not among them are added runs of white space, which are text, and an unknown token with no other meaning, because it
    is how a tokenizer writes what it cannot spell.
    """
    added = {int(index): str(token) for index, token in tokenizer.added_tokens_decoder.items()}
    special = set(tokenizer.all_special_ids)
    roles = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id]
    unknown = tokenizer.unk_token_id
    named = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    return {
        index: text
        for index, text in (added | named).items()
        if (index in special or text.strip()) and (index != unknown or unknown in roles)
    }


def encode_plain(tokenizer: Any, text: str, forbidden: Sequence[int] | frozenset[int]) -> list[int]:
    """Return token ids of ``text``, none of them forbidden. No token is put before or after it.

    Args:
        tokenizer: A transformers tokenizer.
        text: Without surrogates.
        forbidden: Ids that must not come out, e.g. those of ``control_tokens``. Where the tokenizer insists on one, the
            text is encoded in halves, and a single character that it insists on is left out.
    """
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
    ids = [int(index) for index in encoded["input_ids"]]
    if not set(forbidden).intersection(ids):
        return ids
    if len(text) <= 1:
        return []
    middle = len(text) // 2
    return encode_plain(tokenizer, text[:middle], forbidden) + encode_plain(tokenizer, text[middle:], forbidden)
