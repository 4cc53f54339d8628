"""Samples of what the policy wrote: a few rollouts of every step and evaluation, as lines of ``samples.jsonl``.

Of a step, in turn: the best and the worst rollout of a group with signal, one of a group that is all wrong, one of a
group that is all correct, one of a failed group; then the next round. Groups of a kind are taken in the order of their
requests, so the choice depends on no random numbers and on no order of arrival. Of an evaluation, the same held-out
prompts each time, evenly spread, sampled and greedy.
"""

import bisect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Any

from rekindle.scheduling.group_records import GroupRecord
from rekindle.types import GroupRequest, Outcome, Rollout, outcome_of, usable

__all__ = ["Played", "SampleRecorder", "spread"]

Played = tuple[GroupRequest, Sequence[Rollout]]
"""A request and its rollouts."""

_KINDS = (Outcome.MIXED, Outcome.ALL_WRONG, Outcome.ALL_CORRECT, None)
"""In the order of choice; None: the group failed."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """The best and the worst rollout of a request; one where all rewards are equal."""

    request: GroupRequest
    rollouts: tuple[Rollout, ...]


class _Candidates:
    """The first ``most`` requests of each kind, by request id."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_kind: dict[Outcome | None, list[_Candidate]] = {kind: [] for kind in _KINDS}

    def add(self, request: GroupRequest, rollouts: Sequence[Rollout]) -> None:
        kind = None if usable(rollouts) is None else outcome_of([one.reward for one in rollouts])
        kept = self._by_kind[kind]
        ends = (max, min) if kind is Outcome.MIXED else (max,)
        chosen = tuple(end(rollouts, key=lambda one: one.reward) for end in ends)
        bisect.insort(kept, _Candidate(request, chosen), key=lambda one: one.request.id)
        del kept[self._most :]

    def chosen(self) -> list[tuple[GroupRequest, Rollout]]:
        """At most ``most`` rollouts, ordered by request."""
        rounds = zip_longest(*(self._by_kind[kind] for kind in _KINDS))
        dealt = (
            (candidate.request, rollout)
            for candidate in filter(None, chain.from_iterable(rounds))
            for rollout in candidate.rollouts
        )
        return sorted(islice(dealt, self._most), key=lambda pair: pair[0].id)


class SampleRecorder:
    """Chooses the samples of the step that is being made.

    Args:
        per_step: Rollouts of a step, of each role; 0: none.
        decode: Token ids -> text, control tokens included.
        answer: Task id -> the reference answer; None where it is not known.
    """

    def __init__(
        self,
        per_step: int = 0,
        decode: Callable[[Sequence[int]], str] = str,
        answer: Callable[[str], object] = lambda task_id: None,
    ) -> None:
        self._per_step, self._decode, self._answer = per_step, decode, answer
        self._played = _Candidates(per_step)
        self._held_out: list[tuple[GroupRequest, Rollout]] = []

    def note(self, request: GroupRequest, rollouts: Sequence[Rollout]) -> None:
        """Consider the rollouts of a request of the solver."""
        if self._per_step and rollouts:
            self._played.add(request, rollouts)

    def note_held_out(self, request: GroupRequest, rollouts: Sequence[Rollout]) -> None:
        """Keep the first rollout of a held-out prompt."""
        self._held_out += [(request, one) for one in rollouts[:1]]

    def drain(
        self, step: int, version: int, records: Sequence[GroupRecord] = (), proposed: Sequence[Played] = ()
    ) -> list[dict[str, Any]]:
        """The lines of a finished step; the next step begins.

        Args:
            step: Number of the step.
            version: Version of the policy that was evaluated.
            records: Records of the step's groups, of both roles.
            proposed: The proposer's rollouts, with their rewards.
        """
        by_request = {one.request.id: one for one in records}
        of_proposer = _Candidates(self._per_step)
        for request, rollouts in proposed if self._per_step else ():
            of_proposer.add(request, rollouts)
        lines = [
            self._line(step, role, request, rollout, by_request)
            for role, candidates in (("proposer", of_proposer), ("solver", self._played))
            for request, rollout in candidates.chosen()
        ]
        lines += [self._held_out_line(step, version, *pair) for pair in self._held_out]
        self._played, self._held_out = _Candidates(self._per_step), []
        return lines

    def _line(
        self, step: int, role: str, request: GroupRequest, rollout: Rollout, records: Mapping[int, GroupRecord]
    ) -> dict[str, Any]:
        record = records.get(request.id)
        return {
            "step": step,
            "version": rollout.version,
            "split": "train",
            "role": role,
            "task_id": request.task_id,
            "request_id": request.id,
            "outcome": record and record.outcome,
            "fate": record and record.fate,
            **self._written(request, rollout),
        }

    def _held_out_line(self, step: int, version: int, request: GroupRequest, rollout: Rollout) -> dict[str, Any]:
        about = {"step": step, "version": version, "split": "held_out", "role": "solver", "task_id": request.task_id}
        return {**about, **self._written(request, rollout)}

    def _written(self, request: GroupRequest, rollout: Rollout) -> dict[str, Any]:
        tokens = rollout.token_ids
        before = rollout.prompt_length
        return {
            "temperature": request.temperature,
            "reward": rollout.reward if math.isfinite(rollout.reward) else None,
            "rewards": dict(rollout.rewards),
            "audits": dict(rollout.audits),
            "truncated": rollout.truncated,
            "generated_tokens": rollout.generated_tokens,
            "turns": rollout.turns,
            "failure": rollout.failure,
            "prompt": self._decode(list(tokens[:before])),
            "completion": rollout.transcript or rollout.text,
            "answer": self._answer(request.task_id),
        }


def spread(count: int, most: int) -> Iterator[int]:
    """At most ``most`` of the indices below ``count``, evenly spread from 0."""
    chosen = min(most, count)
    return (index * count // chosen for index in range(chosen))
