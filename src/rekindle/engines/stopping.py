"""Stop texts: a completion ends when its text contains one of them."""

from collections.abc import Callable, Iterable, Sequence

__all__ = ["StopTexts", "contains_stop"]

MARGIN = 8
"""Characters decoded beyond the longest stop text, because the first ones of a tail can decode differently."""


def contains_stop(ids: Sequence[int], stop: Sequence[str], decode: Callable[[Sequence[int]], str]) -> bool:
    """Whether the end of a completion contains one of the texts, which may span several tokens.

    Only the tokens needed for the longest text are decoded, so a check after every token stays cheap.

    Args:
        ids: [C] tokens of the completion.
        stop: At least one text; no text is empty.
        decode: Turns tokens into text.
    """
    enough = max(map(len, stop)) + MARGIN
    count = enough
    tail = decode(ids[-count:])
    while len(tail) < enough and count < len(ids):  # special tokens and partial characters give no text
        count *= 2
        tail = decode(ids[-count:])
    return any(text in tail for text in stop)


class StopTexts:
    """Checks the rows that have stop texts.

    Args:
        decode: Turns tokens into text.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._watched: dict[int, tuple[Sequence[str], list[int]]] = {}

    def __bool__(self) -> bool:
        return bool(self._watched)

    def watch(self, row: int, stop: Sequence[str]) -> None:
        """Start a row."""
        if stop:
            self._watched[row] = (stop, [])

    def forget(self, row: int) -> None:
        """End a row, watched or not."""
        self._watched.pop(row, None)

    def completed(self, sampled: Iterable[tuple[int, int]]) -> set[int]:
        """Add (row, next token) pairs; return the rows that have just completed a stop text."""
        done = set()
        for row, token in sampled:
            if row in self._watched:
                stop, ids = self._watched[row]
                ids.append(token)
                if contains_stop(ids, stop, self._decode):
                    done.add(row)
        return done
