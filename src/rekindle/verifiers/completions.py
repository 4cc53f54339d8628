"""The part of a completion that is judged: the last ``<answer>...</answer>`` where there is one, but no thoughts."""

import re

__all__ = ["final_answer", "opened_thought", "without_thoughts"]

ANSWER_OPEN, ANSWER_CLOSE = "<answer>", "</answer>"
THOUGHT_MARK = re.compile(
    r"<(?P<close>/?)(?:think|thinking|thought|thoughts|reasoning|seed:think)>|\[(?P<bracket_close>/?)THINK\]",
    re.IGNORECASE,
)

LONGEST_MARK = 16


def final_answer(text: str) -> str:
    """The part of a completion that is judged: the last ``<answer>...</answer>`` or all of it; no thoughts; stripped.

    An opening tag without a closing one does not count. A completion cut off there is judged as a whole, and fails.
    """
    said = without_thoughts(text)
    end = said.rfind(ANSWER_CLOSE)
    start = said.rfind(ANSWER_OPEN, 0, end) if end >= 0 else -1
    return said[start + len(ANSWER_OPEN) : end].strip() if start >= 0 else said.strip()


def opened_thought(prompt: str) -> str:
    """The mark at the end of a rendered prompt that begins a thought, ``""`` where there is none.

    Chat templates of reasoning models end with one. A completion is judged behind this mark, so that it is a thought
    until it closes it.
    """
    end = prompt.rstrip()
    marks = list(THOUGHT_MARK.finditer(end[-LONGEST_MARK:]))
    opens = bool(marks) and not (marks[-1]["close"] or marks[-1]["bracket_close"])
    return marks[-1].group() if opens and end.endswith(marks[-1].group()) else ""


def without_thoughts(text: str) -> str:
    """The text outside ``<think>...</think>`` and the marks that other models use.

    A thought without an end reaches to the end of the text. An end without a beginning ends a thought that began in the
    prompt, so that everything before it is left out.
    """
    kept: list[str] = []
    position: int | None = 0
    for mark in THOUGHT_MARK.finditer(text):
        closes = bool(mark["close"] or mark["bracket_close"])
        if closes and position is not None:
            kept.clear()
        elif not closes and position is not None:
            kept.append(text[position : mark.start()])
        position = mark.end() if closes else None
    return "".join(kept) + ("" if position is None else text[position:])
