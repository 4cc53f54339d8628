"""Tokenization of untrusted text without control tokens.

A tokenizer turns the characters ``<|im_end|>`` into the token that ends a turn, also in untrusted text. Here the ids
are checked, and a text that gives a control token is split in two until none is left. This works for every tokenizer,
whatever it normalises or matches inside words.
"""

from collections.abc import Sequence
from typing import Any

__all__ = ["control_tokens", "encode_plain"]


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """Return the tokens that untrusted text must not produce: all added tokens of the vocabulary, by id.

    Exceptions: added white space and single letters or digits, which are text, and an unknown token with no other
    meaning, which stands for text that the tokenizer cannot represent.
    """
    added = {int(index): str(token) for index, token in tokenizer.added_tokens_decoder.items()}
    special = set(tokenizer.all_special_ids)
    roles = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id]
    unknown = tokenizer.unk_token_id
    named = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    return {
        index: text
        for index, text in (added | named).items()
        if (index in special or not _is_text(text)) and (index != unknown or unknown in roles)
    }


def _is_text(token: str) -> bool:
    return not token.strip() or (len(token) == 1 and token.isalnum())


def encode_plain(tokenizer: Any, text: str, forbidden: Sequence[int] | frozenset[int]) -> list[int]:
    """Return the token ids of ``text``, none of them forbidden, without added tokens before or after.

    Args:
        tokenizer: A transformers tokenizer.
        text: Without surrogates.
        forbidden: Ids that must not occur, e.g. those of ``control_tokens``. A text that gives one is encoded in
            halves; a single character that gives one is left out.
    """
    ids = [int(index) for index in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
    if not set(forbidden).intersection(ids):
        return ids
    if len(text) <= 1:
        return []
    middle = len(text) // 2
    return encode_plain(tokenizer, text[:middle], forbidden) + encode_plain(tokenizer, text[middle:], forbidden)
