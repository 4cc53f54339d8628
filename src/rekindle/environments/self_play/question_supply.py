"""The supply of questions in search self-play (arXiv 2510.18821): one policy proposes search questions and solves them.

    seeds -> proposals -> rule filters -> RAG check -> created tasks -> [the solver plays them] -> rewards of both roles

The supply is the proposer's part of a step. The scheduler hands out the tasks that it creates over a ``GrowingPool``
like any other task, so that every other method applies to them; when the solver has played, the supply is told, and
the proposer is rewarded.

Assumption: a question whose answer the verifier finds in the documents that the proposer read, and does not know
without them, has that answer. Degenerate cases: no valid question in a step gives an empty step, or earlier questions
(``self_play.fill``); a question that nobody solves earns its proposer the most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rekindle.environments.self_play.audit import proposal_lines, step_numbers
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.environments.self_play.proposal_records import assign_rewards, played_tasks, proposal_records
from rekindle.environments.self_play.proposals import Proposal
from rekindle.environments.self_play.proposer import Order, Proposer
from rekindle.environments.self_play.reference_solver import ReferenceSolver
from rekindle.environments.self_play.review import Oracle, Review
from rekindle.environments.self_play.rewards import ProposerReward
from rekindle.environments.self_play.seeds import Seeds
from rekindle.learning.credit import Credit
from rekindle.notices import warn
from rekindle.scheduling.group_records import GroupRecord, failure_record
from rekindle.scheduling.pools import GrowingPool
from rekindle.scheduling.seeding import mixed_seed
from rekindle.training.supply import Supplied
from rekindle.types import GroupRequest, UserError

__all__ = ["QuestionSupply", "SupplySettings"]


@dataclass(frozen=True, slots=True)
class SupplySettings:
    """How a step of the supply goes.

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


class QuestionSupply:
    """The proposer's part of every step; a ``Supply`` of the training loop.

    Args:
        settings: How a step goes.
        seeds: Which answers are asked for.
        proposer: Asks.
        review: Says which questions are valid.
        created: Where they go; shared with the environment that plays them.
        pool: It takes in the tasks that were created.
        reward: Of a valid question.
        credit: From the proposers' rewards to training samples.
        reference_solver: Tries every new question; None: nobody does.
        oracle: For the audit alone.
    """

    def __init__(
        self,
        settings: SupplySettings,
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
        """Proposals are numbered -1, -2, ...: requests of both roles have their places in one ledger and one batch."""
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
        """The boundary of the proposer's rollouts: whatever goes wrong inside becomes the fate of its groups."""
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
            records: Of all the solver's groups in it.
        """
        proposals, settings, played = self._proposals, self._settings, played_tasks(records)
        assign_rewards(proposals, played, self._reward)
        learns = settings.learns_from is not None and step >= settings.learns_from
        samples, of_proposals = proposal_records(proposals, played, self._credit, learns=learns)
        return Supplied(
            samples=samples,
            records=[*of_proposals, *map(failure_record, self._failed)],
            durations=self._durations,
            metrics=step_numbers(proposals, len(self._failed) * settings.group_size, self._oracle),
            lines=proposal_lines(proposals, step, settings.recorded_documents, self._oracle),
            further_tokens=self._checked(),
        )

    def _checked(self) -> tuple[int, int]:
        """Tokens that the policy read and sampled for the check of this step."""
        if not self._settings.policy_checks:
            return 0, 0
        (read, sampled), (read_before, sampled_before) = self._review.check.tokens, self._cost_before
        return read - read_before, sampled - sampled_before

    # -- levels, times, counts and state -------------------------------------------------------------------------------

    @property
    def levels(self) -> Sequence[int]:
        """Level of every created task; grows."""
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
        """Between steps: the created tasks, and how many requests were made."""
        return {"asked": self._asked, "created": self._created.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore; afterwards the pool and its history can be."""
        self._asked = state["asked"]
        self._created.load_state_dict(state["created"])
        self._pool.restore_ids([task.id for task in self._created.tasks])
        for task in self._created.tasks:
            self._review.remember(task.prompt)
