"""The ``tool_calls`` protocol, as chat models of the Qwen kind use it: JSON between <tool_call> and </tool_call>."""

import json
import re
from collections.abc import Mapping, Sequence

from rekindle.environments.search.codec import Codec, Message
from rekindle.environments.search.turn_protocol import (
    ANSWER,
    Call,
    Final,
    Part,
    Turn,
    not_answered,
    numbered,
)
from rekindle.environments.turn_frames import QUESTION, turn_frames
from rekindle.types import UserError

__all__ = ["ToolCalls"]

OPEN, CLOSE = "<tool_call>", "</tool_call>"
ANNOUNCED = re.compile(rf"{OPEN}\s*\{{")
INSTRUCTIONS = """Answer the question below. Search as often as you need to, with short and specific queries. When you \
know the answer, write it between <answer> and </answer>, as short as possible, in place of the dots: \
<answer>...</answer>.
Question: {question}
"""
SEARCH: Mapping[str, object] = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search a collection of documents; the ones that fit best are returned.",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "what to look for"},
                "queries": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "several things to look for at once, instead of query",
                },
            },
        },
    },
}


class ToolCalls:
    """The ``tool_calls`` protocol: a turn with a tool call searches; otherwise its last pair of final tags ends it.

    A turn with neither is idle; text outside tags is never judged. The text between two turns is taken from the chat
    template, by rendering a conversation of place holders and cutting them out.

    Args:
        max_queries: Queries of one turn that are answered, over all of its calls.
        codec: Codec with the chat template.
        final: The text that ends a conversation.

    Raises:
        UserError: There is no chat template, it announces no tools of this kind, or it renders a turn differently once
            another one follows, so that the context would differ from the sampled tokens.
    """

    tools = (SEARCH,)
    stop = ()
    instructions = INSTRUCTIONS

    def __init__(self, max_queries: int, codec: Codec, final: Final = ANSWER) -> None:
        self._max_queries, self.final = max_queries, final
        self.marks = (OPEN, CLOSE, final.open, final.close)
        self._frames = {count: _frame(codec, count) for count in range(1, max_queries + 2)}

    def read(self, text: str) -> Turn:
        """See ``TurnProtocol.read``."""
        opened = text.split(OPEN)[1:]
        if not opened:
            return Turn(final=self.final.closed(text))
        calls: list[Call] = []
        left, refused = self._max_queries, 0
        for block in opened:
            call = _call(block)
            cost = len(call.queries) or 1
            refused += max(0, cost - left)
            if left:
                calls.append(Call(call.queries[:left], call.error))
            left = max(0, left - cost)
        return Turn(calls=tuple(calls), refused=refused)

    def reply(self, turn: Turn) -> list[Part]:
        """See ``TurnProtocol.reply``."""
        results: list[list[Part]] = [[call.error] if call.error else numbered(call.queries) for call in turn.calls]
        if turn.refused:
            results.append([not_answered(turn.refused, self._max_queries).strip()])
        return self._framed(results or [[self.final.idle]])

    def opening(self, *, ended: bool) -> str:
        """See ``TurnProtocol.opening``."""
        if not ended:
            return f"\n\n{self.final.open}"
        before, after = self._frames[1]
        return f"{before}{self.final.no_more}{after}{self.final.open}"

    def _framed(self, results: Sequence[Sequence[Part]]) -> list[Part]:
        first, *others = self._frames[len(results)]
        parts: list[Part] = [first]
        for result, frame in zip(results, others, strict=True):
            parts += [*result, frame]
        return parts


def _call(block: str) -> Call:
    """Parse the text after an opening tag; a malformed call becomes an error that the policy reads."""
    inside, close, _ = block.partition(CLOSE)
    if not close:
        return Call(error="The tool call is not closed.")
    try:
        call = json.loads(inside)
    except (ValueError, RecursionError):
        return Call(error="The tool call is not valid JSON.")
    if not isinstance(call, dict) or call.get("name") != "search":
        return Call(error='The tool call must be an object with the name "search".')
    arguments = call.get("arguments")
    queries = _queries(arguments) if isinstance(arguments, dict) else None
    if not queries:
        return Call(error='The arguments must have "query", a text, or "queries", a list of texts; none may be blank.')
    return Call(tuple(queries))


def _queries(arguments: Mapping[str, object]) -> list[str] | None:
    several = arguments.get("queries", [])
    one = [arguments["query"]] if "query" in arguments else []
    if not isinstance(several, list):
        return None
    texts = [text.strip() for text in [*one, *several] if isinstance(text, str) and _encodable(text)]
    return texts if all(texts) and len(texts) == len(one) + len(several) else None


def _encodable(text: str) -> bool:
    """Whether UTF-8 can encode the text: JSON can escape a lone surrogate, and UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _frame(codec: Codec, results: int) -> list[str]:
    """Return the text that the chat template writes before, between and after ``results`` tool results."""
    if not ANNOUNCED.search(codec.render(QUESTION, [SEARCH])):
        raise UserError(
            "the chat template does not announce tools as JSON in <tool_call> tags, which "
            'search.protocol = "tool_calls" needs; use search.protocol = "tags" or another model'
        )
    frames = turn_frames(lambda messages: codec.render(messages, [SEARCH]), lambda index: _round(index, results))
    if frames is None:
        raise UserError(
            "the chat template renders earlier turns differently once later ones follow, so the sampled text would be "
            'changed; use a chat template that keeps earlier turns, or search.protocol = "tags"'
        )
    return frames


def _round(index: int, results: int) -> list[Message]:
    answers = [{"role": "tool", "name": "search", "content": f"placeholderresult{index}x{n}"} for n in range(results)]
    return [{"role": "assistant", "content": f"placeholderturn{index}"}, *answers]
