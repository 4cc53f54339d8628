"""Numbers of the report, from a run's step log and ledger, without words or markup."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rekindle.observability.rows import by_level, number, total
from rekindle.observability.runs import FateCount, Run, read_object
from rekindle.observability.savings import Saving, saving
from rekindle.observability.self_play.numbers import SelfPlayNumbers
from rekindle.observability.self_play.proposal_sample import ProposalSample, sampled
from rekindle.observability.visits import Visits, read_visits
from rekindle.scheduling.pools import POOLS
from rekindle.types import Fate

__all__ = [
    "LOST",
    "PROMPTS_LISTED",
    "STEPS_TO_JUDGE",
    "TRAINED",
    "UNTRAINED",
    "Composition",
    "EvaluationPoint",
    "NullControl",
    "Summary",
]

TRAINED = ("fresh", "returned", "rescued_hard", "rescued_easy")
"""Groups in an update, by the outcome of their prompt's first visit: none before, mixed, all wrong, all correct."""

UNTRAINED = ("always_solved", "never_solved", "not_needed")
LOST = "lost"
"""Groups that expired or failed."""

PROMPTS_LISTED = 10

STEPS_TO_JUDGE = 5
"""Fewest steps of a part of a run for advice about it."""

_CATEGORIES = (*TRAINED, *UNTRAINED, LOST)

_COMPOSITION = """
select step, count(*) groups, case
  when fate = 'trained' then case ifnull(first_outcome, '')
    when '' then 'fresh' when 'all_wrong' then 'rescued_hard' when 'all_correct' then 'rescued_easy' else 'returned' end
  when fate in ('expired', 'failed') then 'lost'
  when fate = 'excess' then 'not_needed'
  when outcome = 'all_correct' then 'always_solved'
  when outcome = 'all_wrong' then 'never_solved'
  else 'not_needed' end category
from groups where step between 1 and ? and role = 'solver' group by step, category
"""

_FATES_BY_STEP = """
select step, fate, sum(n) rollouts from groups where step <= ? group by step, fate
"""

_UNSOLVED_LENGTH = """
select 1.0 * sum(generated_tokens) / sum(n) tokens
from groups where step between 1 and ? and role = 'solver' and outcome = 'all_wrong'
"""


@dataclass(frozen=True, slots=True)
class EvaluationPoint:
    """One evaluation on held-out prompts, with the rollouts and tokens generated before it.

    Attributes:
        levels: ``"accuracy"`` and ``"greedy"`` by level; empty where prompts have no levels.
        seconds: Wall-clock time until then.
    """

    step: int
    rollouts: float
    tokens: float
    accuracy: float | None
    greedy: float | None
    levels: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class NullControl:
    """The recycled share of the run, and of the same sampler with a frozen policy."""

    recycled_share: float
    frozen_share: float


@dataclass(frozen=True, slots=True)
class Composition:
    """Outcomes of the solver's groups of every step.

    Attributes:
        steps: [S] ascending from 1; in self-play a step may have no group.
        groups: [S, C] counts, with one column for each of ``TRAINED``, ``UNTRAINED`` and ``LOST``.
    """

    steps: NDArray[np.int64]
    groups: NDArray[np.float64]

    def of(self, *names: str) -> NDArray[np.float64]:
        """[S] number of groups in the named categories; all categories by default."""
        columns = [_CATEGORIES.index(name) for name in names or _CATEGORIES]
        counts: NDArray[np.float64] = self.groups[:, columns].sum(axis=1)
        return counts

    def total(self, *names: str) -> int:
        """Number of groups in the named categories, over all steps."""
        return int(self.of(*names).sum())

    def share(self, *names: str) -> float:
        """``total`` as a share of all groups; 0 without groups."""
        return self.total(*names) / max(1, self.total())

    def quarter(self, index: int) -> "Composition":
        """A quarter of the steps: 0 is the first, 3 the last."""
        low, high = (len(self.steps) * place // 4 for place in (index, index + 1))
        return Composition(self.steps[low:high], self.groups[low:high])


class Summary:
    """All numbers of a report, computed once.

    In an active run the ledger has groups of a step that is not in the metrics yet; these are left out everywhere. In
    self-play, groups and prompts are the solver's; rollouts, tokens and fates include both roles.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.last: Mapping[str, Any] = run.metrics[-1] if run.metrics else {}
        self.step = int(self.last.get("step", 0))
        self.fates: dict[Fate, FateCount] = run.fates(self.step)

    def total(self, key: str) -> float:
        """A running total of the last step, e.g. ``total("rollouts")``."""
        return number(self.last, f"total_{key}") or 0.0

    def setting(self, table: str, key: str) -> Any:
        """A value of the resolved configuration; None when it is absent."""
        content = self.run.config.get(table)
        return content.get(key) if isinstance(content, dict) else None

    @property
    def accounted_rollouts(self) -> int:
        """Rollouts with a fate in the ledger; equals ``total("rollouts")`` in an undamaged run."""
        return sum(count.rollouts for count in self.fates.values())

    @property
    def updates(self) -> int:
        """Updates of the policy; fewer than steps where a step had nothing to train on."""
        return int(number(self.last, "version") or 0)

    @property
    def other_trainer(self) -> str:
        """Name of the library whose trainer made the run; empty where it is ours."""
        return str(self.run.info.get("trainer") or "").partition(" ")[0]

    def key(self, path: str) -> str:
        """Name of what a user sets, by our key: that of the other trainer, as it told the run."""
        names = self.run.info.get("names")
        return str(names.get(path, path)) if isinstance(names, Mapping) else path

    @property
    def held_out(self) -> int | None:
        """Number of held-out prompts; a data set may have fewer than ``eval.prompts``. None: it is not known."""
        found = number(self.run.info, "held_out") or self.setting("eval", "prompts")
        return int(found) if found else None

    @property
    def recycles(self) -> bool:
        """Whether prompts without signal stay in the pool, so that they may be trained on later."""
        return self.role_fates("solver")[Fate.RECYCLED].groups > 0

    @property
    def recycled_share(self) -> float:
        """Share of recycled groups among the trained groups."""
        return self.composition.total("rescued_hard", "rescued_easy") / max(1, self.composition.total(*TRAINED))

    @property
    def is_finished(self) -> bool:
        """Whether the configured end of the run, in steps, rollouts or tokens, has been reached."""
        spent = {"steps": self.step, "rollouts": self.total("rollouts"), "tokens": self.total("generated_tokens")}
        return any((end := self.setting("train", key)) and done >= end for key, done in spent.items())

    @cached_property
    def unsolved_length(self) -> float | None:
        """Sampled tokens per rollout of the groups that were never solved; None without such groups."""
        (row,) = self.run.query(_UNSOLVED_LENGTH, (self.step,)) if self.run.has_ledger else ({"tokens": None},)
        return None if row["tokens"] is None else float(row["tokens"])

    @cached_property
    def searches(self) -> list[dict[str, Any]]:
        """Rows of the step log with a search agent's rollouts."""
        return [row for row in self.run.metrics if number(row, "search/turns")]

    @property
    def verifier_failures(self) -> int:
        """Rollouts without a verdict, because a retriever, a judge or another verifier failed."""
        return int(total(self.run.metrics, "verify/failures"))

    @cached_property
    def evaluations(self) -> list[EvaluationPoint]:
        """Evaluations in order; the first usually precedes all updates."""
        found = []
        for row in self.run.metrics:
            accuracy, greedy = number(row, "eval/accuracy"), number(row, "eval/greedy")
            if accuracy is not None or greedy is not None:
                spent = (number(row, "total_rollouts") or 0.0, number(row, "total_generated_tokens") or 0.0)
                seconds = number(row, "total_seconds") or 0.0
                levels = {kind: by_level(row, kind) for kind in ("accuracy", "greedy")}
                found.append(EvaluationPoint(int(row["step"]), *spent, accuracy, greedy, levels, seconds))
        return found

    @cached_property
    def composition(self) -> Composition:
        """Number of groups of every step by category."""
        groups = np.zeros((self.step, len(_CATEGORIES)))
        for row in self.run.query(_COMPOSITION, (self.step,)):
            groups[row["step"] - 1, _CATEGORIES.index(row["category"])] = row["groups"]
        return Composition(np.arange(1, self.step + 1), groups)

    @cached_property
    def self_play(self) -> SelfPlayNumbers | None:
        """Numbers of the proposer; None without self-play."""
        rows = [row for row in self.run.metrics if number(row, "self_play/proposals") is not None]
        return SelfPlayNumbers(rows) if rows else None

    @cached_property
    def proposals(self) -> ProposalSample:
        """A sample of the proposals, and the questions of the listed prompts; empty without self-play."""
        listed = [*self.most_drawn(PROMPTS_LISTED), *self.never_solved(PROMPTS_LISTED)]
        return sampled(self.run.proposals(), self.step, {row["task_id"] for row in listed})

    @cached_property
    def fates_by_step(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Steps [S] from the first with a rollout, and their rollouts by fate [S, F], in the order of ``Fate``."""
        rows = list(self.run.query(_FATES_BY_STEP, (self.step,)))
        if not rows:
            return np.empty(0, np.int64), np.empty((0, len(Fate)), np.int64)
        first, fates = min(row["step"] for row in rows), list(Fate)
        counts = np.zeros((self.step - first + 1, len(fates)), np.int64)
        for row in rows:
            counts[row["step"] - first, fates.index(row["fate"])] = row["rollouts"]
        return np.arange(first, self.step + 1), counts

    @cached_property
    def saving(self) -> tuple[Saving | None, str]:
        """What groups with signal cost against plain GRPO; None with the reason where that is not known."""
        size = self.setting("train", "group_size")
        pool = POOLS.get(str(self.setting("pool", "kind")))
        if self.self_play:
            return None, "the prompts of self-play are created, so there are none to be drawn in turn"
        if not isinstance(size, int) or size < 2:
            return None, "single rollouts have no groups with different rewards"
        if (pool and pool.needs_profile) or self.setting("profile", "path"):
            return None, "the pool knew the prompts from a profile, so its first visits are no draws in turn"
        found = saving(self.visits, self.step, size)
        return found, "" if found else "too few prompts were drawn for the first time"

    def role_fates(self, role: str) -> dict[Fate, FateCount]:
        """``fates`` of the ``"solver"`` or the ``"proposer"``."""
        return self.run.fates(self.step, role)

    @cached_property
    def null_control(self) -> NullControl | None:
        """Null control from ``null_control.json`` or ``run.json``, where one of them has both shares."""
        info = self.run.info
        for source in (read_object(self.run.directory / "null_control.json"), info.get("null_control"), info):
            if isinstance(source, dict):
                recycled, frozen = number(source, "recycled_share"), number(source, "frozen_share")
                if recycled is not None and frozen is not None:
                    return NullControl(recycled, frozen)
        return None

    @cached_property
    def visits(self) -> Visits:
        """The solver's groups as columns."""
        return read_visits(self.run, self.step)

    def most_drawn(self, limit: int) -> list[Mapping[str, Any]]:
        """Prompts with the most visits: ``task_id visits rollouts successes trained``."""
        return self._prompts(self.visits.prompts.visits, limit)

    def never_solved(self, limit: int) -> list[Mapping[str, Any]]:
        """Prompts without any success, those with the most rollouts first."""
        prompts = self.visits.prompts
        return self._prompts(np.where(prompts.successes == 0, prompts.rollouts, -1), limit)

    def prompt_counts(self) -> tuple[int, int]:
        """Number of different prompts drawn, and of those never solved."""
        prompts = self.visits.prompts
        return len(prompts.visits), int((prompts.successes == 0).sum())

    def _prompts(self, ranks: NDArray[np.int64], limit: int) -> list[Mapping[str, Any]]:
        """The prompts of the highest ranks of at least 0; where ranks are equal, by id."""
        if not len(ranks):
            return []
        least = max(0, int(np.partition(ranks, -min(limit, len(ranks)))[-min(limit, len(ranks))]))
        found = sorted(
            map(int, np.flatnonzero(ranks >= least)), key=lambda place: (-ranks[place], self.visits.ids[place])
        )
        return list(self.visits.table(found[:limit]))
