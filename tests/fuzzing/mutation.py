"""Random inputs: texts of difficult characters, JSON values, damaged bytes. The same seed gives the same input."""

import json
import random
from collections.abc import Sequence
from typing import Any

__all__ = ["Inputs"]

SIGNS = (
    "<", ">", "</answer>", "<answer>", "<search>", "</search>", "<question>", "&lt;search&gt;", "||", "\n", "\x00",
    "\ud800", "İ", "ß", "ﬁ", "ı", "ſ", "\u200b", "\u202e", "\u0301", "\u20dd", "С", "ο", "𝐂", "Ｃ", "\\boxed{", "}",
    "{", "####", "$", "-", ".", ",", "1e999", "NaN", "9" * 50, "answer", "<tool_call>", "</tool_call>",
    '{"name": "search", "arguments": {"query": "x"}}', '"', "'", "\\", "[" * 50, "]", "null", "true", "1", "0", "−",
    "½", "٣", "五", "  ", "\t", "\r", "\u2028", "CORRECT", "incorrect", "<think>", "</think>", "**", "_", "<|im_end|>",
    "=", "\\frac{1}{2}", "'''", '"""', "#", "[[", "]]", "inf", "1979-05-27", "0x", "e9", ";", "=HYPERLINK(", "<script>",
)  # fmt: skip
"""Pieces of texts with which readers have had trouble."""
NAMES = (
    "id", "question", "answer", "answers", "prompt", "golden_answers", "text", "title", "contents", "value", "aliases",
    "metadata", "queries", "topk", "query", "result", "document", "score", "step", "fate", "set", "version", "format",
    "state", "runs", "settings", "choices", "message", "content", "usage", "completion_tokens",
)  # fmt: skip
"""Names of fields in the files and messages that are read."""
NUMBERS = (0, -1, 1, 3, 0.5, 10**30, 2**63, -(2**63), 10**400, 1e308, float("inf"), float("nan"), -0.0)
SPLICES = (
    b"999999999999999999999", b"-1", b"1e400", b"nan", b"[]", b"{}", b'""', b"true", b"[[]]", b"'''", b"\xff", b"= ",
    b"null", b"\x00", b"[" * 3000, b'{"a":' * 3000, b"9" * 5000,
)  # fmt: skip
PLANES = (0x7F, 0x2FFF, 0xFFFF, 0x10FFFF)


class Inputs(random.Random):
    """Random inputs of one attempt."""

    def text(self, most: int = 30) -> str:
        """Up to ``most`` pieces: troublesome ones, and any characters."""
        return "".join(self._piece() for _ in range(self.randrange(most)))

    def _piece(self) -> str:
        return self.choice(SIGNS) if self.random() < 0.7 else chr(self.randrange(32, self.choice(PLANES) + 1))

    def value(self, depth: int = 3) -> Any:
        """A JSON value: a scalar, or a list or an object of values."""
        kind = self.randrange(12 if depth else 8)
        if kind < 8:
            return (None, True, False, self.choice(NUMBERS), "", "abc", self.text(6), self.randrange(9))[kind]
        if kind < 10:
            return [self.value(depth - 1) for _ in range(self.randrange(4))]
        return self.fields(depth)

    def fields(self, depth: int = 3, names: Sequence[str] = NAMES) -> dict[str, Any]:
        """A JSON object with names that readers look for."""
        chosen = [self.choice(names) if self.random() < 0.9 else self.text(3) for _ in range(self.randrange(6))]
        return {name: self.value(depth - 1) for name in chosen}

    def json(self, value: Any) -> bytes:
        """The value as JSON, with the infinities and lone surrogates that Python writes."""
        return json.dumps(value).encode()

    def changed(self, value: Any) -> Any:
        """A JSON value with one part replaced, left out or repeated."""
        if isinstance(value, dict) and value and self.random() < 0.9:
            name = self.choice(list(value))
            rest = {key: one for key, one in value.items() if key != name or self.random() < 0.8}
            return rest | {name: self.changed(value[name])} if name in rest else rest
        if isinstance(value, list) and value and self.random() < 0.9:
            at = self.randrange(len(value))
            return [*value[:at], self.changed(value[at]), *value[at + self.randrange(2) :]]
        return self.value(2)

    def mutated(self, content: bytes) -> bytes:
        """The bytes with a few of them flipped, removed, repeated, replaced or cut off."""
        found = bytearray(content)
        for _ in range(self.choice((1, 1, 1, 2, 5, 20))):
            if found:
                self._mutate(found, self.randrange(len(found)))
        return bytes(found)

    def _mutate(self, found: bytearray, at: int) -> None:
        match self.randrange(7):
            case 0:
                found[at] ^= 1 << self.randrange(8)
            case 1:
                del found[at : at + self.randrange(1, 40)]
            case 2:
                found[at:at] = self.text(4).encode("utf-8", "surrogatepass")
            case 3:
                start = self.randrange(len(found))
                found[at:at] = found[start : start + self.randrange(60)]
            case 4:
                found[at] = self.randrange(256)
            case 5:
                found[at:at] = self.choice(SPLICES)
            case _:
                del found[at : None if self.random() < 0.2 else at + 1]

    def damaged_line(self, content: bytes) -> bytes:
        """JSON lines with a part of one line changed: still JSON, no longer what was written."""
        lines = content.splitlines()
        at = self.randrange(len(lines))
        lines[at] = self.json(self.changed(json.loads(lines[at])))
        return b"\n".join(lines) + b"\n"
