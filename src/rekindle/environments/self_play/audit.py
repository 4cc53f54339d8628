"""Audit of a step of self-play: numbers for the metrics, and a line for every proposal."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rekindle.environments.self_play.proposals import Proposal, Reason
from rekindle.environments.self_play.review import Oracle
from rekindle.verifiers.qa import qa_exact_match

__all__ = ["proposal_lines", "step_numbers"]

WRITTEN = 2000
"""Most characters, the last ones, that are recorded of what a proposer wrote that ended without a question."""


def step_numbers(proposals: Sequence[Proposal], failed: int, oracle: Oracle | None) -> dict[str, float | None]:
    """Numbers of a step, under the keys of ``metrics.jsonl``; None where nothing was measured.

    Args:
        proposals: Proposals of the step.
        failed: Number of proposals whose orders could not be played.
        oracle: Knows which accepted questions really have the seed's answer; None: this is not measured.
    """
    valid = [one for one in proposals if one.valid]
    reasons = Counter(one.reason for one in proposals)
    numbers: dict[str, float | None] = {
        "self_play/proposals": len(proposals) + failed,
        "self_play/valid": len(valid),
        "self_play/failed": failed + sum(one.rollout.void for one in proposals),
        **{f"self_play/rejected/{reason}": reasons[reason] for reason in Reason},
        "self_play/valid_rate": len(valid) / len(proposals) if proposals else None,
        "self_play/wished_hops": _mean([one.hops for one in proposals]),
        "self_play/searches": _mean([one.searches for one in valid]),
        "self_play/novelty": _mean([1.0 - one.similarity for one in valid if one.similarity is not None]),
        "self_play/solver_success": _mean([one.success for one in proposals if one.success is not None]),
        "self_play/reference_success": _mean(
            [one.reference_success for one in proposals if one.reference_success is not None]
        ),
        "self_play/proposer_reward": _mean([one.reward for one in proposals if one.reward is not None]),
    }
    for hops in sorted({one.hops for one in proposals}):
        wished = [one for one in proposals if one.hops == hops]
        numbers[f"self_play/wished_{hops}/valid_rate"] = _mean([float(one.valid) for one in wished])
    if oracle is not None:
        numbers["self_play/right"] = _mean([_right(one, oracle) for one in valid])
    return numbers


def proposal_lines(
    proposals: Sequence[Proposal], step: int, documents: int, oracle: Oracle | None = None
) -> list[dict[str, Any]]:
    """A line of ``proposals.jsonl`` for each proposal; the first ``documents`` lines contain the documents read.

    Where no question came, the line has the end of what the policy wrote instead.
    """
    return [_line(one, step, oracle, index < documents) for index, one in enumerate(proposals)]


def _line(proposal: Proposal, step: int, oracle: Oracle | None, with_documents: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "step": step,
        "request_id": proposal.request.id,
        "task_id": None if proposal.task is None else proposal.task.id,
        "seed": proposal.seed.id,
        "answers": list(proposal.answers),
        "hops": proposal.hops,
        "question": proposal.question,
        "written": None if proposal.question is not None else proposal.rollout.text[-WRITTEN:],
        "verdict": proposal.reason or (proposal.rollout.failure if proposal.rollout.void else "valid"),
        "reply": proposal.reply,
        "queries": proposal.queries,
        "similarity": proposal.similarity,
        "reference_success": proposal.reference_success,
        "success": proposal.success,
        "reward": proposal.reward,
        "fate": proposal.fate,
    }
    if oracle is not None and proposal.question is not None:
        true = oracle.answers(proposal.question)
        line["true_answers"] = None if true is None else sorted(true)
    if with_documents:
        line["documents"] = [{"id": one.id, "title": one.title, "text": one.text} for one in proposal.documents]
    return line


def _right(proposal: Proposal, oracle: Oracle) -> float:
    """Whether the corpus's own answer to the question is the seed's; False where the corpus has none."""
    true = oracle.answers(proposal.question or "")
    return float(bool(true) and all(qa_exact_match(one, proposal.answers) for one in true or ()))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
