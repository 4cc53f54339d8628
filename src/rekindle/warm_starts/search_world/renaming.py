"""Renaming of demonstrations, so that a model cannot memorize the facts of their world."""

from collections.abc import Sequence
from random import Random

__all__ = ["Renaming"]


class Renaming:
    """Permutes the tokens of name words: consistently within a demonstration, differently for each.

    Args:
        name_ids: Token ids of the words that names are made of.
    """

    def __init__(self, name_ids: Sequence[int]) -> None:
        self._ids = list(name_ids)

    def apply(self, token_ids: Sequence[int], seed: str) -> list[int]:
        """The demonstration with other names; all other tokens stay."""
        there = self._ids.copy()
        Random(seed).shuffle(there)
        renamed = dict(zip(self._ids, there, strict=True))
        return [renamed.get(token, token) for token in token_ids]
