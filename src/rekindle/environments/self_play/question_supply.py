"""Search self-play (arXiv 2510.18821): one policy proposes search questions and solves them.

    seeds -> proposals -> rule filters -> RAG check -> minted tasks -> [the solver plays them] -> rewards of both roles

The game is the proposer's part of a step. What it mints, the scheduler hands out over a ``GrowingPool`` like any other
task, so that every other method applies to it; when the solver has played, the game is told and settles its accounts.

Assumption: a question whose answer the verifier finds in the documents that the proposer read, and does not know
without them, has that answer. Degenerate cases: no valid question in a step gives an empty step, or earlier questions
(``self_play.fill``); a question that nobody solves earns its proposer the most.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rekindle.environments.self_play.audit import step_numbers
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.environments.self_play.proposal_records import pay, played_tasks, proposal_records
from rekindle.environments.self_play.proposals import Proposal
from rekindle.environments.self_play.proposer import Order, Proposer
from rekindle.environments.self_play.reference_solver import ReferenceSolver
from rekindle.environments.self_play.review import Oracle, Review
from rekindle.environments.self_play.rewards import ProposerReward
from rekindle.environments.self_play.seeds import Seeds
from rekindle.learning.credit import Credit
from rekindle.scheduling.group_records import GroupRecord, failure_record
from rekindle.scheduling.pools import GrowingPool
from rekindle.scheduling.seeding import mixed_seed
from rekindle.training.supply import Supplied
from rekindle.types import GroupRequest, UserError

__all__ = ["Game", "Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a step of the game goes.

    Attributes:
        proposals: Seeds drawn per round.
        wanted: Questions that a step can play; while the pool has as many that nobody played, none are proposed.
        rounds: Most rounds of proposals in a step; the next is begun while too few questions are valid.
        group_size: Proposals per seed.
        temperature: Of the proposer.
        learns_from: First step in which the proposer learns; None: it never does.
        policy_checks: Whether the policy itself is the verifier, so that its tokens cost what a rollout's do.
        recorded_documents: Proposals of a step whose documents are recorded.
        seed: Of everything that is drawn or sampled.
    """

    proposals: int
    wanted: int
    rounds: int = 1
    group_size: int = 1
    temperature: float = 1.0
    learns_from: int | None = 1
    policy_checks: bool = True
    recorded_documents: int = 8
    seed: int = 0


class Game:
    """The proposer's part of every step; a ``Supply`` of the training loop.

    Args:
        rules: See there.
        seeds: Which answers are asked for.
        proposer: Asks.
        review: Says which questions are valid.
        created: Where they go; shared with the environment that plays them.
        pool: Whom they are announced to.
        reward: Of a valid question.
        credit: From the proposers' rewards to training samples.
        reference_solver: Tries every new question; None: nobody does.
        oracle: For the audit alone.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        seeds: Seeds,
        proposer: Proposer,
        review: Review,
        created: CreatedTasks,
        pool: GrowingPool,
        reward: ProposerReward,
        credit: Credit,
        reference_solver: ReferenceSolver | None = None,
        oracle: Oracle | None = None,
    ) -> None:
        self._rules, self._seeds, self._proposer, self._review = rules, seeds, proposer, review
        self._created, self._pool, self._reward, self._credit = created, pool, reward, credit
        self._reference_solver, self._oracle = reference_solver, oracle
        self._asked = 0
        self._proposals: list[Proposal] = []
        self._failed: list[GroupRequest] = []
        self._durations: dict[int, float] = {}
        self._cost_before = (0, 0)

    # -- before the solver plays --------------------------------------------------------------------------------------

    def prepare(self, step: int, version: int) -> None:
        """Propose, review and mint the questions of a step."""
        self._proposals, self._failed, self._durations = [], [], {}
        self._cost_before = self._review.check.tokens
        first = len(self._created.tasks)
        for round_number in range(self._rules.rounds):
            if self._pool.fresh >= self._rules.wanted:
                break
            proposals = self._propose(self._orders(step, round_number, version))
            self._review.judge(proposals)
            self._create(proposals, step)
            self._proposals += proposals
        self._measure(first)

    def _orders(self, step: int, round_number: int, version: int) -> list[Order]:
        drawn = self._seeds.draw(step, round_number, self._rules.proposals)
        return [Order(self._request(row, step, version), self._seeds.tasks[row], hops) for row, hops in drawn]

    def _request(self, row: int, step: int, version: int) -> GroupRequest:
        """Proposals are numbered -1, -2, ...: requests of both roles have their places in one ledger and one batch."""
        self._asked += 1
        rules, number = self._rules, -self._asked
        seed = mixed_seed(rules.seed, number)
        task_id = self._seeds.tasks[row].id
        return GroupRequest(
            id=number,
            task_id=task_id,
            row=row,
            n=rules.group_size,
            temperature=rules.temperature,
            seed=seed,
            version=version,
            step=step,
        )

    def _propose(self, orders: Sequence[Order]) -> list[Proposal]:
        """The boundary of the proposer's rollouts: whatever goes wrong inside becomes the fate of its groups."""
        try:
            proposals, failed = self._proposer.propose(orders)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 (the boundary: a failure becomes a fate)
            warnings.warn(f"{len(orders)} proposals failed ({type(error).__name__}: {error})", stacklevel=2)
            proposals, failed = [], list(orders)
        self._durations |= self._proposer.durations
        self._failed += [order.request for order in failed]
        return proposals

    def _create(self, proposals: Sequence[Proposal], step: int) -> None:
        for proposal in proposals:
            if proposal.question is None or proposal.reason is not None or proposal.unknown:
                continue
            proposal.similarity = self._review.similarity(proposal.question)
            proposal.task = self._created.create(proposal, step)
            self._review.remember(proposal.question)
            self._pool.add([proposal.task.id])

    def _measure(self, first: int) -> None:
        """Let the start policy try the questions from this row on."""
        rows = range(first, len(self._created.tasks))
        if self._reference_solver is None or not rows:
            return
        scores = self._reference_solver.score(rows, self._created.tasks)
        by_task = {self._created.tasks[row].id: score for row, score in scores.items()}
        for proposal in self._proposals:
            if proposal.task is not None:
                proposal.reference_success = by_task.get(proposal.task.id)

    # -- after it has played ------------------------------------------------------------------------------------------

    def conclude(self, step: int, records: Sequence[GroupRecord]) -> Supplied:
        """What the proposers learn from a step, and what became of their rollouts.

        Args:
            step: The step that ``prepare`` began.
            records: Everything that became of the solver's groups in it.
        """
        proposals, rules, played = self._proposals, self._rules, played_tasks(records)
        pay(proposals, played, self._reward)
        learns = rules.learns_from is not None and step >= rules.learns_from
        samples, accounts = proposal_records(proposals, played, self._credit, learns=learns)
        accounts += [failure_record(request) for request in self._failed]
        lines = records(proposals, step, rules.recorded_documents, self._oracle)
        numbers = step_numbers(proposals, len(self._failed) * rules.group_size, self._oracle)
        return Supplied(samples, accounts, self._durations, numbers, lines, self._checked())

    def _checked(self) -> tuple[int, int]:
        """Tokens that the policy read and sampled for the check of this step."""
        if not self._rules.policy_checks:
            return 0, 0
        (read, sampled), (read_before, sampled_before) = self._review.check.tokens, self._cost_before
        return read - read_before, sampled - sampled_before

    # -- the books ----------------------------------------------------------------------------------------------------

    @property
    def levels(self) -> Sequence[int]:
        """Level of every minted question; grows."""
        return self._created.levels

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds so far: the proposer's phases, the check, and the start policy's attempts."""
        tried = 0.0 if self._reference_solver is None else self._reference_solver.seconds
        return {**self._proposer.seconds, "check": sum(self._review.check.seconds.values()), "reference": tried}

    @property
    def counts(self) -> Mapping[str, int]:
        """What happened so far in the proposers' conversations, and what the check took."""
        return {**self._proposer.counts, **self._review.check.counts}

    def state_dict(self) -> dict[str, Any]:
        """Between steps: the minted tasks, and how many requests were made."""
        return {"asked": self._asked, "created": self._created.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore; afterwards the pool and its history can be."""
        self._asked = state["asked"]
        self._created.load_state_dict(state["created"])
        self._pool.restore_ids([task.id for task in self._created.tasks])
        for task in self._created.tasks:
            self._review.remember(task.prompt)
