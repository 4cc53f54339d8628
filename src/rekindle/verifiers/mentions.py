"""Whether a completion contains a reference answer, however it is written around it."""

import re
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["mentions"]


def mentions(text: str, answers: str | Sequence[str]) -> bool:
    """Whether one of the answers stands in the text as whole words, in any case; blank answers are in no text."""
    accepted = (answers,) if isinstance(answers, str) else answers
    return any(_whole(answer.strip()).search(text) for answer in accepted if answer.strip())


@lru_cache(maxsize=4096)
def _whole(answer: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)", re.IGNORECASE)
