"""Search self-play on verl: the supply of questions, whose conversations are sessions of agent loops.

    the driver                                   agent-loop workers, sampled by the rollout engine
    seeds -> orders                         ->   rekindle_proposer: searches, ends with a question
    rule filters, duplicates                <-
    questions with documents                ->   rekindle_check: the policy answers from the documents
    verdicts, created tasks                 <-
    requests of the scheduler               ->   rekindle_search: the solver
    rewards of both roles, one update       <-

Filters, created tasks, rewards and records are those of ``environments.self_play``; conversations, tools, prompts of
the check and verdicts on the solver are the workers'.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from rekindle.config import Config
from rekindle.environments.self_play.answering import Cost, OpenBook
from rekindle.environments.self_play.building import build_answerer, build_check, build_supply
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.environments.self_play.proposals import Proposal
from rekindle.environments.self_play.proposer import Order
from rekindle.environments.self_play.question_supply import QuestionSupply
from rekindle.integrations.verl.rows import row_of
from rekindle.integrations.verl.settings.environments import CHECK, PROPOSER
from rekindle.models.chat import Chat
from rekindle.scheduling.pools import GrowingPool
from rekindle.types import GroupRequest, Rollout, Task, usable
from rekindle.verifiers.verifier import Verifier

__all__ = ["PlaysRows", "SubmittedAnswerer", "SubmittedProposer", "build_submitted_supply"]

Row = Mapping[str, Any]
FIRST_CHECK = -(2**62)
"""Request ids of checks count up from here, apart from those of proposals, which count down from -1."""


class PlaysRows(Protocol):
    """Plays rows with agent loops; verl's trainer has one."""

    def play_rows(
        self, rows: Sequence[tuple[GroupRequest, Row]], *, trained: bool
    ) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Yield ``(request id, its n rollouts)`` once per row, in any order; None where a session failed.

        Args:
            rows: Requests with their rows; size, temperature and seed are the request's.
            trained: Whether the rollouts may be trained on in this step; others are removed once they are yielded.
        """
        ...


class SubmittedProposer:
    """Proposer whose conversations are sessions of ``rekindle_proposer`` (``Proposes``).

    Args:
        sessions: Plays rows.
    """

    def __init__(self, sessions: PlaysRows) -> None:
        self._sessions = sessions
        self.durations: Mapping[int, float] = {}
        """Wall seconds of the last call of ``propose``, by request."""
        self.seconds = {"generate": 0.0}
        """Wall seconds spent waiting for proposals."""
        self.counts: dict[str, int] = {}
        """No counts: those of its conversations are among those of all sessions."""

    def propose(self, orders: Sequence[Order]) -> tuple[list[Proposal], list[Order]]:
        """See ``Proposes.propose``."""
        began = time.perf_counter()
        rows = [(order.request, row_of(order.task, PROPOSER, order.request.row)) for order in orders]
        durations, played = dict[int, float](), dict[int, list[Rollout]]()
        for request_id, rollouts in self._sessions.play_rows(rows, trained=True):
            durations[request_id] = time.perf_counter() - began
            if rollouts is not None:
                played[request_id] = rollouts
        self.durations = durations
        self.seconds["generate"] += time.perf_counter() - began
        proposals = [order.proposal(one) for order in orders for one in played.get(order.request.id, ())]
        return proposals, [order for order in orders if order.request.id not in played]


class SubmittedAnswerer:
    """The policy as an ``Answerer``; every answer is a session of ``rekindle_check``.

    Args:
        sessions: Plays rows.
        temperature: Sampling temperature.
    """

    def __init__(self, sessions: PlaysRows, temperature: float) -> None:
        self._sessions, self._temperature = sessions, temperature
        self._asked = 0
        self.cost = Cost()
        """See ``Answerer.cost``."""
        self.seconds = 0.0
        """See ``Answerer.seconds``."""

    def answer(self, books: Sequence[OpenBook]) -> list[str | None]:
        """See ``Answerer.answer``."""
        began = time.perf_counter()
        rows = [self._row(book) for book in books]
        places = {request.id: place for place, (request, _) in enumerate(rows)}
        replies: list[str | None] = [None] * len(books)
        for request_id, rollouts in self._sessions.play_rows(rows, trained=False):
            if (found := usable(rollouts)) is not None:
                (reply,) = found
                self.cost.add(reply.prompt_length, reply.generated_tokens)
                replies[places[request_id]] = reply.final or ""
        self.seconds += time.perf_counter() - began
        return replies

    def _row(self, book: OpenBook) -> tuple[GroupRequest, Row]:
        number, self._asked = self._asked, self._asked + 1
        request = GroupRequest(
            id=FIRST_CHECK + number,
            task_id="",
            row=number,
            n=1,
            temperature=self._temperature,
            seed=book.seed,
            version=0,
            step=0,
        )
        return request, row_of(book.task, CHECK, number)


def build_submitted_supply(
    config: Config,
    seeds: Sequence[Task],
    *,
    chat: Chat,
    sessions: PlaysRows,
    verifier: Verifier,
    pool: GrowingPool,
    created: CreatedTasks,
) -> QuestionSupply:
    """The supply of questions of a run on verl.

    Args:
        config: The complete configuration.
        seeds: The answers to ask for.
        chat: Tokenizer and chat template of the policy.
        sessions: Plays rows.
        verifier: Judges the answers of the check.
        pool: The pool of the scheduler.
        created: Collects the created tasks, which the solver plays.
    """
    return build_supply(
        config,
        seeds,
        chat=chat,
        proposer=SubmittedProposer(sessions),
        check=build_check(
            config, build_answerer(config, SubmittedAnswerer(sessions, config.check.temperature)), verifier
        ),
        created=created,
        pool=pool,
        reference_solver=None,
    )
