"""What a chat template writes between two turns of the policy, found with a conversation of place holders."""

import re
from collections.abc import Callable, Mapping, Sequence

__all__ = ["QUESTION", "turn_frames"]

Message = Mapping[str, str]
QUESTION: Sequence[Message] = ({"role": "user", "content": "placeholderquestion"},)


def turn_frames(
    render: Callable[[Sequence[Message]], str], round_of: Callable[[int], Sequence[Message]]
) -> list[str] | None:
    """Text before, between and after the messages that follow a turn of the assistant.

    Args:
        render: A conversation -> text that ends where the assistant's next turn begins.
        round_of: Number of a round -> a turn of the assistant and the messages after it, each with its own content.

    Returns:
        None where the template renders a round differently once another one follows, so that a context would differ
        from the sampled tokens.
    """
    first, second = round_of(0), round_of(1)
    once, twice = render([*QUESTION, *first]), render([*QUESTION, *first, *second])
    frames = _between(once, render(QUESTION), first)
    return frames if frames is not None and _between(twice, once, second) == frames else None


def _between(rendered: str, before: str, messages: Sequence[Message]) -> list[str] | None:
    """Cut the messages' contents out of the text after ``before``; None where they are not rendered in this order."""
    turn, *answers = (message["content"] for message in messages)
    if not rendered.startswith(before + turn):
        return None
    pieces = re.split("|".join(map(re.escape, answers)), rendered[len(before + turn) :])
    return pieces if len(pieces) == len(answers) + 1 else None
