"""Text that stays text: foreign words become tokens without ever becoming control tokens.

A tokenizer turns the characters ``<|im_end|>`` into the token that ends a turn, whoever wrote them. What is encoded
here cannot do that: the ids are checked, and a text that has a control token among them is broken in two until none is
left. That holds for every tokenizer, whatever it folds or finds inside of words.
"""

from collections.abc import Sequence
from typing import Any

__all__ = ["control_tokens", "encode_plain"]


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """Return the tokens that no foreign text may produce: all that were added to the vocabulary, by id.

    Not among them are added white space and single letters or digits, which are text, and an unknown token with no
    other meaning, because it is how a tokenizer writes what it cannot spell.
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
    """Return token ids of ``text``, none of them forbidden. No token is put before or after it.

    Args:
        tokenizer: A transformers tokenizer.
        text: Without surrogates.
        forbidden: Ids that must not come out, e.g. those of ``control_tokens``. Where one does, the text is
            encoded in halves, and a single character that is one is left out.
    """
    ids = [int(index) for index in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
    if not set(forbidden).intersection(ids):
        return ids
    if len(text) <= 1:
        return []
    middle = len(text) // 2
    return encode_plain(tokenizer, text[:middle], forbidden) + encode_plain(tokenizer, text[middle:], forbidden)
