"""The supply of questions in search self-play (arXiv 2510.18821): one policy proposes search questions and solves them.

    seeds -> proposals -> rule filters -> RAG check -> created tasks -> [the solver plays them] -> rewards of both roles

The supply is the proposer's part of a step. It adds the tasks that it creates to a ``GrowingPool``, from which the
scheduler draws them like any other task, so that every other method applies to them. After the solver has played, the
supply gets the group records and rewards the proposer.

Assumption: if the verifier finds the answer of a question in the documents that the proposer read, and does not know it
without them, then the question has that answer. Degenerate cases: a step without a valid question is empty, or is
filled with earlier questions (``self_play.fill``); a question that the solver never solves has the highest reward.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rekindle.environments.self_play.audit import proposal_lines, step_numbers
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.environments.self_play.proposal_records import (
    assign_rewards,
    played_tasks,
    proposal_records,
    rewarded_rollouts,
    unsolved_rows,
)
from rekindle.environments.self_play.proposals import Proposal
from rekindle.environments.self_play.proposer import Order, Proposes
from rekindle.environments.self_play.reference_solver import ReferenceSolver
from rekindle.environments.self_play.review import Oracle, Review
from rekindle.environments.self_play.rewards import ProposerReward
from rekindle.environments.self_play.seeds import Seeds
from rekindle.learning.credit import Credit
from rekindle.notices import warn
from rekindle.records.supply import Supplied
from rekindle.scheduling.group_records import GroupRecord, failure_record
from rekindle.scheduling.pools import GrowingPool
from rekindle.scheduling.seeding import mixed_seed
from rekindle.types import GroupRequest, UserError

__all__ = ["QuestionSupply", "SupplySettings"]


@dataclass(frozen=True, slots=True)
class SupplySettings:
    """Settings of a step of the supply.

    Attributes:
        proposals: Seeds drawn per round.
        wanted: Questions that a step can play; none are proposed while the pool has this many unplayed ones.
        rounds: Most rounds of proposals in a step; another round begins while there are fewer unplayed questions.
        group_size: Proposals per seed.
        temperature: Sampling temperature of the proposer.
        learns_from: First step in which the proposer is trained; None: it never is.
        policy_checks: Whether the policy or the start policy is the verifier; its tokens then count as cost of the run.
        unsolved_refused: Whether a new question that no rollout of the solver solves becomes invalid.
        recorded_documents: Number of proposals per step whose documents are recorded.
        seed: Seed of all draws and samples.
    """

    proposals: int
    wanted: int
    rounds: int = 1
    group_size: int = 1
    temperature: float = 1.0
    learns_from: int | None = 1
    policy_checks: bool = True
    unsolved_refused: bool = False
    recorded_documents: int = 8
    seed: int = 0


class QuestionSupply:
    """The proposer's part of every step; a ``Supply`` of the training loop.

    Args:
        settings: Settings of a step.
        seeds: The answers to ask for.
        proposer: Writes the questions.
        review: Decides which questions are valid.
        created: Collects the created tasks; shared with the environment that plays them.
        pool: Gets the ids of the created tasks.
        reward: The solver's mean success on a valid question -> reward.
        credit: The proposers' rewards -> training samples.
        reference_solver: Measures the difficulty of every new question; None: it is not measured.
        oracle: Corpus that knows the answers of a question; read by the audit alone.
    """

    def __init__(
        self,
        settings: SupplySettings,
        *,
        seeds: Seeds,
        proposer: Proposes,
        review: Review,
        created: CreatedTasks,
        pool: GrowingPool,
        reward: ProposerReward,
        credit: Credit,
        reference_solver: ReferenceSolver | None = None,
        oracle: Oracle | None = None,
    ) -> None:
        self._settings, self._seeds, self._proposer, self._review = settings, seeds, proposer, review
        self._created, self._pool, self._reward, self._credit = created, pool, reward, credit
        self._reference_solver, self._oracle = reference_solver, oracle
        self._asked = 0
        self._proposals: list[Proposal] = []
        self._failed: list[GroupRequest] = []
        self._durations: dict[int, float] = {}
        self._cost_before = (0, 0)

    # -- before the solver plays --------------------------------------------------------------------------------------

    def prepare(self, step: int, version: int) -> None:
        """Propose and review questions, and create the tasks of a step."""
        self._proposals, self._failed, self._durations = [], [], {}
        self._cost_before = self._review.check.tokens
        first = len(self._created.tasks)
        for round_number in range(self._settings.rounds):
            if self._pool.fresh >= self._settings.wanted:
                break
            proposals = self._propose(self._orders(step, round_number, version))
            self._review.judge(proposals)
            self._create(proposals, step)
            self._proposals += proposals
        self._measure(first)

    def _orders(self, step: int, round_number: int, version: int) -> list[Order]:
        drawn = self._seeds.draw(step, round_number, self._settings.proposals)
        return [Order(self._request(row, step, version), self._seeds.tasks[row], hops) for row, hops in drawn]

    def _request(self, row: int, step: int, version: int) -> GroupRequest:
        """Proposals are numbered -1, -2, ..., because requests of both roles share one ledger and one batch."""
        self._asked += 1
        settings, number = self._settings, -self._asked
        return GroupRequest(
            id=number,
            task_id=self._seeds.tasks[row].id,
            row=row,
            n=settings.group_size,
            temperature=settings.temperature,
            seed=mixed_seed(settings.seed, number),
            version=version,
            step=step,
        )

    def _propose(self, orders: Sequence[Order]) -> list[Proposal]:
        """The boundary of the proposer's rollouts: an exception becomes the fate of its groups."""
        try:
            proposals, failed = self._proposer.propose(orders)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 (the boundary: a failure becomes a fate)
            warn(f"{len(orders)} proposals failed ({type(error).__name__}: {error})", stacklevel=2)
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
        """Measure the success of the start policy on the questions from this row on."""
        rows = range(first, len(self._created.tasks))
        if self._reference_solver is None or not rows:
            return
        scores = self._reference_solver.score(rows, self._created.tasks)
        by_task = {self._created.tasks[row].id: score for row, score in scores.items()}
        for proposal in self._proposals:
            if proposal.task is not None:
                proposal.reference_success = by_task.get(proposal.task.id)

    # -- after the solver has played ----------------------------------------------------------------------------------

    def conclude(self, step: int, records: Sequence[GroupRecord]) -> Supplied:
        """Training samples and records of the step's proposals.

        Args:
            step: The step that ``prepare`` began.
            records: Records of all groups of the solver in this step.
        """
        proposals, settings, played = self._proposals, self._settings, played_tasks(records)
        assign_rewards(proposals, played, self._reward, unsolved_refused=settings.unsolved_refused)
        if settings.unsolved_refused:
            self._pool.remove(unsolved_rows(records))
        learns = settings.learns_from is not None and step >= settings.learns_from
        samples, of_proposals = proposal_records(proposals, played, self._credit, learns=learns)
        return Supplied(
            samples=samples,
            records=[*of_proposals, *map(failure_record, self._failed)],
            durations=self._durations,
            metrics=step_numbers(proposals, len(self._failed) * settings.group_size, self._oracle),
            lines=proposal_lines(proposals, step, settings.recorded_documents, self._oracle),
            rollouts=rewarded_rollouts(proposals),
            further_tokens=self._check_tokens(),
        )

    def _check_tokens(self) -> tuple[int, int]:
        """Tokens that the policy, or the start policy, read and sampled for the check of this step."""
        if not self._settings.policy_checks:
            return 0, 0
        (read, sampled), (read_before, sampled_before) = self._review.check.tokens, self._cost_before
        return read - read_before, sampled - sampled_before

    # -- levels, times, counts and state -------------------------------------------------------------------------------

    @property
    def levels(self) -> Sequence[int]:
        """Level of every created task; the sequence grows."""
        return self._created.levels

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds spent in the proposer's phases, the check, and the start policy's attempts."""
        tried = 0.0 if self._reference_solver is None else self._reference_solver.seconds
        return {**self._proposer.seconds, "check": sum(self._review.check.seconds.values()), "reference": tried}

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts of the proposers' conversations and of the check."""
        return {**self._proposer.counts, **self._review.check.counts}

    def state_dict(self) -> dict[str, Any]:
        """State between steps: the created tasks, and the number of requests made."""
        return {"asked": self._asked, "created": self._created.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state, before the pool and its history are restored."""
        self._asked = state["asked"]
        self._created.load_state_dict(state["created"])
        self._pool.restore_ids([task.id for task in self._created.tasks])
        for task in self._created.tasks:
            self._review.remember(task.prompt)
