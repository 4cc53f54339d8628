"""Accuracy with standard errors, and mean costs of the rollouts.

With Q questions of n rollouts each and c_q successes of question q:

    pass@k           mean over q of 1 - C(n - c_q, k) / C(n, k)
    standard error   over questions: s / sqrt(Q), with s the sample standard deviation of the Q values. The rollouts of
                     a question are one cluster, because they are not independent.
    error of runs    run i consists of the i-th rollout of every question, and has a mean success; s / sqrt(n) of these
                     n means

The first measures the variation over questions of this kind; the second, the variation of sampling the same questions
again. Void questions (see ``Record``) count as never solved in every run; turns, searches, tokens and truncations are
means over the rollouts of the other questions.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rekindle.evaluation.pass_at_k import pass_at_k
from rekindle.evaluation.records import Record

__all__ = ["Measures", "average", "measure", "solved"]


@dataclass(frozen=True, slots=True)
class Measures:
    """Results of one set of questions; None is an undefined number, such as the error of a single question.

    Attributes:
        questions: Q.
        samples: n, rollouts per question.
        pass_at: pass@k by k.
        standard_error: Standard error of ``pass_at`` over questions, by k.
        runs: [n] share of questions solved by each run.
        run_error: Standard error over runs of their mean, which is pass@1.
        reward: Mean reward, 0 for the rollouts of void questions.
        turns: Mean number of turns of the policy.
        searches: Mean number of answered queries.
        tokens: Mean number of sampled tokens.
        truncated: Share of rollouts ended by a limit.
        void: Questions that could not be played and count as never solved.
        failures: Rollouts without a verdict, by reason; without those of void questions.
    """

    questions: int
    samples: int
    pass_at: Mapping[int, float]
    standard_error: Mapping[int, float | None]
    runs: tuple[float, ...]
    run_error: float | None
    reward: float
    turns: float | None
    searches: float | None
    tokens: float | None
    truncated: float | None
    void: int
    failures: Mapping[str, int]


def solved(record: Record, samples: int, success_at: float) -> list[bool]:
    """[n] whether each rollout of a question succeeded; False for a void question."""
    if record.void:
        return [False] * samples
    assert len(record.answers) == samples, "an environment gives the rollouts asked for"
    return [answer.reward >= success_at for answer in record.answers]


def measure(records: Sequence[Record], *, samples: int, ks: Iterable[int], success_at: float) -> Measures:
    """Measure one set.

    Args:
        records: [Q] at least one.
        samples: n, rollouts per question.
        ks: The k of pass@k, each at most n.
        success_at: A reward of at least this much is a success.
    """
    table = np.array([solved(record, samples, success_at) for record in records], dtype=bool)
    counts = table.sum(axis=1)
    estimates = {k: np.array([pass_at_k(samples, int(count), k) for count in counts]) for k in ks}
    answers = [answer for record in records if not record.void for answer in record.answers]
    runs = table.mean(axis=0)
    return Measures(
        questions=len(records),
        samples=samples,
        pass_at={k: float(values.mean()) for k, values in estimates.items()},
        standard_error={k: _error_of_mean(values) for k, values in estimates.items()},
        runs=tuple(runs.tolist()),
        run_error=_error_of_mean(runs),
        reward=sum(answer.reward for answer in answers) / (len(records) * samples),
        turns=_mean(answer.turns for answer in answers),
        searches=_mean(answer.searches for answer in answers),
        tokens=_mean(answer.tokens for answer in answers),
        truncated=_mean(answer.truncated for answer in answers),
        void=sum(record.void for record in records),
        failures=dict(sorted(Counter(answer.failure for answer in answers if answer.failure is not None).items())),
    )


def average(parts: Sequence[Measures]) -> Measures:
    """The macro average: the mean over sets with equal weights, whatever their number of questions.

    The sets are independent, so the squared error of the mean over S sets is sum(e_s^2) / S^2. Run i is the i-th
    rollout of every question of every set. Questions, void questions and failures are summed.
    """
    ks = parts[0].pass_at
    runs = np.mean([part.runs for part in parts], axis=0)
    failures: Counter[str] = Counter()
    for part in parts:
        failures.update(part.failures)
    return Measures(
        questions=sum(part.questions for part in parts),
        samples=parts[0].samples,
        pass_at={k: sum(part.pass_at[k] for part in parts) / len(parts) for k in ks},
        standard_error={k: _error_over_sets([part.standard_error[k] for part in parts]) for k in ks},
        runs=tuple(runs.tolist()),
        run_error=_error_of_mean(runs),
        reward=sum(part.reward for part in parts) / len(parts),
        turns=_mean(part.turns for part in parts),
        searches=_mean(part.searches for part in parts),
        tokens=_mean(part.tokens for part in parts),
        truncated=_mean(part.truncated for part in parts),
        void=sum(part.void for part in parts),
        failures=dict(sorted(failures.items())),
    )


def _error_of_mean(values: npt.NDArray[np.float64]) -> float | None:
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else None


def _error_over_sets(errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return float(np.sqrt(np.sum(np.square(known)))) / len(errors) if len(known) == len(errors) else None


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean; None without values or with an unknown one."""
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None
