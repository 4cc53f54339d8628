"""Why sessions of agent loops failed, from their workers to the driver.

A worker writes a tag for each failed session into a partition of TransferQueue that has nothing else; the driver takes
the tags where a group, or a validation, has less than it should. What the user can mend ends the run:

    UserError of ours in any session                                  at once
    a reward function that returns no number                          at once
    a reward function that raises, for as many groups as a step has   then; before, each is a failed group
"""

import math
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import transfer_queue as tq

from rekindle.integrations.verl.ray_errors import RewardFunctionError, root_of
from rekindle.types import UserError

__all__ = [
    "FUNCTION",
    "SessionFailure",
    "check_score",
    "failure_of",
    "note_failure",
    "raise_mendable",
    "taken_failures",
]

PARTITION = "rekindle_failures"
FUNCTION = "reward.custom_reward_function"


@dataclass(frozen=True, slots=True)
class SessionFailure:
    """Failure of one session.

    Attributes:
        text: Its cause on one line.
        traceback: Of the worker.
        mendable: Whether the text says to the user what to do (``UserError``).
        of_reward: Whether the reward function raised.
    """

    text: str
    traceback: str
    mendable: bool
    of_reward: bool

    def error(self, text: str = "") -> UserError:
        """The error that ends the run, with the worker's traceback as its cause; ``text`` says more."""
        found = UserError(text or self.text)
        found.__cause__ = RuntimeError(f"in an agent-loop worker:\n{self.traceback}")
        return found


def failure_of(error: Exception) -> SessionFailure:
    """The failure of a session that ended with an error."""
    root = root_of(error)
    mendable, of_reward = isinstance(root, UserError), isinstance(error, RewardFunctionError)
    text = str(root) if mendable else _line(root)
    return SessionFailure(text, "".join(traceback.format_exception(error)), mendable, of_reward)


def _line(error: BaseException) -> str:
    """An error on one line; of a dead actor's long message the last one, which has its cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    return f"{name}: {lines[-1]}" if lines else name


def check_score(score: object) -> None:
    """Check what the reward function returned for a response.

    Raises:
        UserError: It is no finite number.
    """
    try:
        number = math.nan if isinstance(score, str | bytes) else float(score)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(
            f"{FUNCTION} returned {score!r:.80} as the score of a response; return a finite number, or a table with "
            'one in "score"'
        )


async def note_failure(uid: str, session: int, failure: SessionFailure) -> None:
    """Tell the driver; by a worker."""
    await tq.async_kv_put(key=f"{uid}_{session}", partition_id=PARTITION, tag=asdict(failure))


def taken_failures() -> dict[str, list[SessionFailure]]:
    """The failures since the last call, by ``uid`` of their prompt; by the driver."""
    listed: Mapping[str, dict[str, Any]] = (tq.kv_list(PARTITION) or {}).get(PARTITION, {})
    tags = {key: tag for key, tag in listed.items() if tag}  # a key is there a moment before its tag
    if tags:
        tq.kv_clear(keys=list(tags), partition_id=PARTITION)
    found: dict[str, list[SessionFailure]] = {}
    for key in sorted(tags):
        found.setdefault(key.rpartition("_")[0], []).append(SessionFailure(**tags[key]))
    return found


def raise_mendable(failures: Sequence[SessionFailure]) -> None:
    """Raise the first failure that a user can mend.

    Raises:
        UserError: There is one.
    """
    for one in failures:
        if one.mendable:
            raise one.error()
