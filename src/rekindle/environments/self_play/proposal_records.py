"""Rewards, training samples and records of a step's proposals, after the solver has played."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from rekindle.environments.self_play.proposals import Proposal, Reason
from rekindle.environments.self_play.rewards import ProposerReward
from rekindle.learning.credit import Credit
from rekindle.learning.samples import build_samples
from rekindle.scheduling.group_records import GroupRecord, failure_record, records_of
from rekindle.types import Fate, Group, GroupRequest, Rollout, TrainingSample, outcome_of

__all__ = ["assign_rewards", "played_tasks", "proposal_records", "rewarded_rollouts", "unsolved_rows"]


def played_tasks(records: Iterable[GroupRecord]) -> dict[str, float | None]:
    """Mean reward of each task that was played in a step; None where its rollouts failed.

    The mean of a task with several requests (top-ups) is over all requests that did not fail.
    """
    sums: dict[str, list[float]] = {}
    for one in records:
        found = sums.setdefault(one.request.task_id, [0.0, 0.0])
        if one.outcome is not None:
            found[0] += one.reward_sum
            found[1] += one.request.n
    return {task: total / count if count else None for task, (total, count) in sums.items()}


def assign_rewards(
    proposals: Sequence[Proposal],
    played: Mapping[str, float | None],
    reward: ProposerReward,
    *,
    unsolved_refused: bool = False,
) -> None:
    """Set ``success`` and ``reward``: 0 for an invalid question; None where a valid one has no played rollouts.

    With ``unsolved_refused``, a question that no rollout solved becomes invalid.
    """
    for proposal in proposals:
        if proposal.task is not None:
            proposal.success = played.get(proposal.task.id)
            if unsolved_refused and proposal.success == 0:
                proposal.reason = Reason.UNSOLVED
        if proposal.valid:
            proposal.reward = None if proposal.success is None else reward(proposal.success)
        elif not proposal.unknown:
            proposal.reward = 0.0


def unsolved_rows(records: Iterable[GroupRecord]) -> list[int]:
    """Rows of the tasks that were played for the first time, and that no rollout of any request solved."""
    sums: dict[int, float] = {}
    for one in records:
        if one.outcome is not None and one.previous_outcome is None:
            sums[one.request.row] = sums.get(one.request.row, 0.0) + one.reward_sum
    return [row for row, total in sums.items() if total == 0]


def proposal_records(
    proposals: Sequence[Proposal], played: Mapping[str, float | None], credit: Credit, *, learns: bool
) -> tuple[list[TrainingSample], list[GroupRecord]]:
    """Training samples of the proposers, empty where no advantage differs from 0, and the records of all proposals.

    A group whose rewards are all known is trained, or retired if it has no signal or the proposer is not trained. It
    failed if something outside the policy failed. It is excess if one of its valid questions is still to be played.
    """
    groups = _by_request(proposals)
    known = [group for group in groups if all(one.reward is not None for one in group)]
    samples = build_samples([_rewarded(group) for group in known], credit) if learns and known else []
    with_signal = {sample.prompt_key for sample in samples if any(sample.advantages)}
    records = []
    for group in groups:
        fate = _fate(group, played, with_signal)
        for proposal in group:
            proposal.fate = fate
        records.append(_record(group, fate))
    return samples if with_signal else [], records


def rewarded_rollouts(proposals: Sequence[Proposal]) -> list[tuple[GroupRequest, Sequence[Rollout]]]:
    """Requests with their rollouts and rewards, without those of which a reward is unknown."""
    groups = [_rewarded(group) for group in _by_request(proposals) if all(one.reward is not None for one in group)]
    return [(group.request, group.rollouts) for group in groups]


def _by_request(proposals: Sequence[Proposal]) -> list[list[Proposal]]:
    return [list(group) for _, group in groupby(proposals, key=lambda one: one.request.id)]


def _rewarded(group: Sequence[Proposal]) -> Group:
    return _group(group, [one.reward or 0.0 for one in group])


def _group(group: Sequence[Proposal], rewards: Sequence[float]) -> Group:
    rollouts = tuple(replace(one.rollout, reward=reward) for one, reward in zip(group, rewards, strict=True))
    return Group(request=group[0].request, rollouts=rollouts, outcome=outcome_of(rewards))


def _fate(group: Sequence[Proposal], played: Mapping[str, float | None], with_signal: set[int]) -> Fate:
    if any(one.unknown or (one.task is not None and played.get(one.task.id, 0.0) is None) for one in group):
        return Fate.FAILED
    if any(one.reward is None for one in group):
        return Fate.EXCESS
    return Fate.TRAINED if group[0].request.id in with_signal else Fate.RETIRED


def _record(group: Sequence[Proposal], fate: Fate) -> GroupRecord:
    """Record for the ledger: successes are valid questions; the sum of rewards is the proposer's."""
    if fate is Fate.FAILED:
        return failure_record(group[0].request, [one.rollout for one in group])
    (record,) = records_of(_group(group, [float(one.valid) for one in group]), fate)
    return replace(record, reward_sum=sum(one.reward or 0.0 for one in group))
