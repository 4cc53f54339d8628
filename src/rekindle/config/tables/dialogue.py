"""Table of an environment of one's own: limits of its conversations."""

from typing import ClassVar

from rekindle.config.conditions import Condition, on
from rekindle.config.keys import Table, key

__all__ = ["DialogueTable"]


class DialogueTable(Table):
    """Limits of conversations with an environment that a script gives.

    ``engine.max_new_tokens`` bounds the tokens that the policy samples in all turns together.
    """

    read_when: ClassVar[Condition | None] = on("task.environment", "given")

    max_turns: int = key(8, "most turns of the policy; a conversation without a reward by then gets 0", ge=1)
    turn_tokens: int | None = key(None, "most tokens of one turn; absent: as many as are left", ge=1)
    reply_tokens: int = key(256, "most tokens of one reply of the environment; longer ones are cut", ge=1)
