r"""The answer that a text states: in ``\boxed{}``, after ``####``, after the word "answer", or at its end.

The last box counts, with those directly beside it (``\boxed{1} or \boxed{2}`` states two answers). A text with boxes is
judged by them alone, and a box that is not closed or is empty states nothing. A sentence that stands in the prompt is
no statement. The functions take time linear in the text; what they return is short.
"""

import re
from collections.abc import Iterator, Sequence

from rekindle.verifiers.prompts import prompt_words, words_of

__all__ = ["MOST_STATED", "anchored", "marked", "math_parts", "sentences_from_the_end"]

MOST_STATED = 1000
"""Longest statement in characters; a longer one states nothing."""
LAST_SENTENCES = 64
GSM8K_MARK = "####"

BOX = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)
BETWEEN = re.compile(
    r"(?:[\s$,;&~]|and\b|or\b|\\text\s?\{\s?(?:and|or)\s?\}|\\(?:quad|qquad|[,;:()\[\] ])|[a-zA-Z]\w{0,2}\s?=\s?)*"
)
MOST_BETWEEN = 60
PERCENT_BEHIND = re.compile(r"\s?\$?\s?(?:\\?%|percent\b)")
ANSWER = re.compile(r"\banswers?\b[*_]{0,2}", re.IGNORECASE)
CONNECTOR = re.compile(r"\b(?:is|are|was|be|equals)\b\s{0,4}:?|[:=]")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
TAG = re.compile(r"</?\w{1,20}>|<\|\w{1,20}\|>")
WORD = re.compile(r"[^\W\d_]{2,}")
LEAST_WORDS = 3
"""A sentence with fewer words may stand in the prompt and be an answer."""
MATH = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|(?<!\\)\$((?:\\.|[^$\\])+)\$|\\\((.+?)\\\)", re.DOTALL)


def marked(text: str) -> Sequence[str] | None:
    """The answers in the last boxes of a text, or after its last ``####``; None where it has neither."""
    boxes, unclosed = _boxes(text)
    if boxes or unclosed:
        return _last_boxes(text, boxes)
    _, mark, after = text.rpartition(GSM8K_MARK)
    if not mark:
        return None
    lines = after.strip().splitlines()
    return _short([lines[0].strip()] if lines else [])


def anchored(text: str, prompt: str) -> str | None:
    """What follows "the answer is", to the end of the line; None where no sentence outside the prompt says so."""
    anchors = [found.end() for found in ANSWER.finditer(text)]
    for position in reversed(anchors[-LAST_SENTENCES:]):
        line = text[position : position + MOST_STATED].lstrip(" ").partition("\n")[0]
        connector = CONNECTOR.search(line)
        if connector is None and not line[:1].isdigit():
            continue
        said = line[connector.end() :] if connector else line
        if not said.strip(" *_:"):
            said = text[position + len(line) + 1 : position + MOST_STATED].strip().partition("\n")[0]
        sentences = (_around(text, position), SENTENCE_END.split(said.strip())[0])
        if said.strip() and not any(_in_prompt(sentence, prompt) for sentence in sentences):
            return said.strip(" *_\t")
    return None


def sentences_from_the_end(text: str, prompt: str) -> Iterator[str]:
    """The last sentences of a text that do not stand in the prompt, the last one first."""
    seen = 0
    end = len(text)
    while end > 0 and seen < LAST_SENTENCES:
        start = text.rfind("\n", 0, end) + 1
        line = text[max(start, end - MOST_STATED) : end]
        end = start - 1
        for sentence in reversed(SENTENCE_END.split(line.strip())):
            seen += bool(sentence)
            if sentence and not _in_prompt(sentence, prompt):
                yield sentence


def math_parts(text: str) -> Sequence[str]:
    """The formulas between dollar signs or LaTeX brackets in a short text: the first, and those directly beside it."""
    parts: list[str] = []
    end = 0
    for found in MATH.finditer(text[:MOST_STATED]):
        if parts and not _beside(text[end : found.start()]):
            break
        parts.append(next(group for group in found.groups() if group is not None).strip())
        end = found.end()
    return parts


def _boxes(text: str) -> tuple[list[tuple[int, int, int]], bool]:
    """Start, begin and end of the content of each outermost closed box; whether there is an open one."""
    closed: list[tuple[int, int, int]] = []
    opened: list[tuple[int, int] | None] = []
    for mark in BOX.finditer(text):
        if mark["box"]:
            opened.append((mark.start(), mark.end()))
        elif mark["open"]:
            opened.append(None)
        elif mark["close"] and opened and (box := opened.pop()) is not None:
            while closed and closed[-1][0] > box[0]:
                closed.pop()
            closed.append((*box, mark.start()))
    return closed, any(box is not None for box in opened)


def _last_boxes(text: str, boxes: Sequence[tuple[int, int, int]]) -> Sequence[str]:
    contents: list[str] = []
    following = len(text)
    for start, begin, end in reversed(boxes):
        content = text[begin:end].strip()
        if not content:
            continue
        if contents and not _beside(text[end + 1 : following]):
            break
        behind = PERCENT_BEHIND.match(text[end + 1 : end + 16])
        contents.append(_inner(content) + (r"\%" if behind else ""))
        following = start
    return _short(list(dict.fromkeys(reversed(contents))))


def _inner(content: str) -> str:
    """The content without further boxes around all of it; of a long text, which states nothing, the text itself."""
    while len(content) <= MOST_STATED:
        boxes, _ = _boxes(content)
        if len(boxes) != 1 or boxes[0][0] != 0 or boxes[0][2] != len(content) - 1:
            break
        content = content[boxes[0][1] : boxes[0][2]].strip()
    return content


def _beside(between: str) -> bool:
    return len(between) <= MOST_BETWEEN and BETWEEN.fullmatch(between) is not None


def _short(parts: list[str]) -> Sequence[str]:
    return parts if sum(map(len, parts)) <= MOST_STATED else []


def _around(text: str, position: int) -> str:
    """The sentence, on its line, around a position."""
    start = text.rfind("\n", 0, position) + 1
    line = text[max(start, position - MOST_STATED) : position + MOST_STATED].partition("\n")[0]
    before = position - max(start, position - MOST_STATED)
    begin = max((end.end() for end in SENTENCE_END.finditer(line, 0, before)), default=0)
    return SENTENCE_END.split(line[begin:])[0]


def _in_prompt(sentence: str, prompt: str) -> bool:
    words = words_of(TAG.sub(" ", sentence))
    return len(WORD.findall(words)) >= LEAST_WORDS and words in prompt_words(prompt)
