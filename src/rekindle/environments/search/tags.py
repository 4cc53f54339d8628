"""The ``tags`` protocol, as in Search-R1 (arXiv 2503.09516): <search>query</search>, <answer>answer</answer>."""

import re

from rekindle.environments.search.turn_protocol import (
    ANSWER,
    Call,
    Final,
    Part,
    Turn,
    not_answered,
    numbered,
)

__all__ = ["Tags"]

SEPARATOR = re.compile(r"\n|\|\|")
INSTRUCTIONS = """Answer the question below. Think between <think> and </think> whenever you learn something new.
If you need knowledge, write a query between <search> and </search>; what is found is shown between <information> and \
</information>. {most}. Search as often as you like.
When you know the answer, write it between <answer> and </answer>, as short as possible, in place of the dots: \
<answer>...</answer>.
Question: {question}
"""


class Tags:
    """The ``tags`` protocol: the first closing tag of a turn decides its kind.

    Queries of one search block are separated by line ends or ``||``. A closing tag without its opening one makes the
    turn idle.

    Args:
        max_queries: Queries of one turn that are answered.
        final: The text that ends a conversation.
    """

    tools = ()

    def __init__(self, max_queries: int, final: Final = ANSWER) -> None:
        self._max_queries, self.final = max_queries, final
        self._closing = re.compile(rf"</(search|{final.name})>")
        self.marks = ("<search>", "</search>", "<information>", "</information>", final.open, final.close)
        self.stop = ("</search>", final.close)
        several = f"Up to {max_queries} queries may stand in one search, a line each"
        self.instructions = INSTRUCTIONS.replace("{most}", several if max_queries > 1 else "One search has one query")

    def read(self, text: str) -> Turn:
        """See ``TurnProtocol.read``."""
        closing = self._closing.search(text)
        if closing is None:
            return Turn()
        if closing[1] == self.final.name:
            return Turn(final=self.final.closed(text[: closing.end()]))
        opening = text.rfind("<search>", 0, closing.start())
        return Turn() if opening < 0 else self._search(text[opening + len("<search>") : closing.start()])

    def reply(self, turn: Turn) -> list[Part]:
        """See ``TurnProtocol.reply``."""
        results: list[Part] = []
        for call in turn.calls:
            results += [call.error] if call.error else numbered(call.queries)
        if turn.refused:
            results.append(not_answered(turn.refused, self._max_queries))
        return ["\n\n<information>", *(results or [self.final.idle]), "</information>\n\n"]

    def opening(self, *, ended: bool) -> str:
        """See ``TurnProtocol.opening``."""
        return f"\n\n{self.final.open}"

    def _search(self, block: str) -> Turn:
        queries = [query.strip() for query in SEPARATOR.split(block) if query.strip()]
        if not queries:
            return Turn(calls=(Call(error="The query is empty."),))
        most = self._max_queries
        return Turn(calls=(Call(tuple(queries[:most])),), refused=max(0, len(queries) - most))
