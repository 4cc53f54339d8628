"""Fakes and conformance kits, for the tests of rekindle and of extensions.

``SimulatedPolicy`` plays a scheduler's requests without a model. ``FakeEngine`` serves an environment without a model.
The ``check_*`` functions raise AssertionError where an implementation breaks its protocol.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rekindle.engines.engine import Completion, SamplingRequest
from rekindle.learning.estimators import Compared, Estimator
from rekindle.learning.estimators.compared import flatten, over_batch
from rekindle.scheduling.group_records import GroupRecord
from rekindle.scheduling.history import History
from rekindle.scheduling.pools import Pool
from rekindle.types import Environment, Fate, GroupRequest, Outcome, Rollout

if TYPE_CHECKING:
    from rekindle.models.policy import Policy

__all__ = [
    "FakeEngine",
    "FakeTracker",
    "SimulatedPolicy",
    "check_environment",
    "check_estimator",
    "check_pool",
]


class SimulatedPolicy:
    """A policy with a known success rate per prompt. Rollouts depend only on the request's seed, as with a real engine.

    Args:
        success_rates: [prompts] chance of reward 1 for each row; change them in place to simulate learning.
    """

    def __init__(self, success_rates: ArrayLike) -> None:
        self.success_rates = np.asarray(success_rates, float)

    def play(self, request: GroupRequest) -> list[Rollout]:
        """Rollouts of one request with Bernoulli rewards; two tokens each, the second one sampled."""
        wins = np.random.default_rng(request.seed).random(request.n) < self.success_rates[request.row]
        return [
            Rollout(
                token_ids=[0, 1],
                loss_mask=[False, True],
                logprobs=[0.0, -0.5],
                reward=float(win),
                temperature=request.temperature,
                version=request.version,
            )
            for win in wins
        ]


class FakeTracker:
    """A tracker in memory.

    Args:
        last_step: Last step that it has from before.
        fails: Called with the step before it is recorded; may raise.

    Attributes:
        steps: [(step, metrics)] in the order in which they came.
        failed: How the run ended; None until it is closed.
    """

    id = "fake"

    def __init__(self, last_step: int = -1, fails: Callable[[int], object] = lambda _: None) -> None:
        self.last_step = last_step
        self.steps: list[tuple[int, dict[str, float]]] = []
        self.failed: bool | None = None
        self._fails = fails

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record a step."""
        self._fails(step)
        self.steps.append((step, dict(metrics)))
        self.last_step = step

    def close(self, *, failed: bool) -> None:
        """Note how the run ended."""
        self.failed = failed


class FakeEngine:
    """An engine whose completions come from a function ``reply(request, index) -> text``; one token per character.

    Groups come back in reverse order, because callers must not rely on the order.
    """

    def __init__(self, reply: Callable[[SamplingRequest, int], str]) -> None:
        self._reply = reply
        self.requests: list[SamplingRequest] = []
        self.versions: list[int] = []
        """Versions that ``sync`` was called with, in order."""

    def sync(self, policy: "Policy", version: int) -> None:
        """Record the version."""
        self.versions.append(version)

    def generate(self, requests: Sequence[SamplingRequest]) -> Iterator[tuple[int, list[Completion]]]:
        """Yield the completions of every request, the last request first."""
        self.requests += requests
        for index in reversed(range(len(requests))):
            yield index, [self._completion(requests[index], sample) for sample in range(requests[index].n)]

    def _completion(self, request: SamplingRequest, sample: int) -> Completion:
        text = self._reply(request, sample)[: request.max_new_tokens]
        ids = [ord(character) for character in text]
        return Completion(ids, [-1.0] * len(ids), truncated=len(ids) == request.max_new_tokens, text=text)


def check_pool(make: Callable[[History], Pool], prompts: int = 40) -> None:
    """Check a pool: draws are distinct, in range, not in flight and at most ``count``; the state survives a round trip.

    Args:
        make: Returns a new pool over a history.
        prompts: Rows of the history.
    """
    pool = make(History(f"task-{row}" for row in range(prompts)))
    assert len(pool.history) == prompts
    assert pool.no_signal in (Fate.RECYCLED, Fate.RETIRED)
    assert isinstance(pool.grows, bool), "Pool.grows must be a bool"
    assert pool.consumes_on_draw or pool.no_signal is Fate.RECYCLED, (
        "a pool that does not consume on draw must have no_signal = RECYCLED"
    )
    rng = np.random.default_rng(0)
    for step in range(12):
        in_flight = set(range(step))
        live, resets = pool.live, pool.resets
        rows = pool.draw(7, rng, in_flight).tolist()
        if pool.resets == resets:
            assert (pool.live < live) is (pool.consumes_on_draw and len(rows) > 0), (
                "a draw must consume exactly when consumes_on_draw is true"
            )
        assert len(rows) <= 7, "a pool must not draw more than count"
        assert len(set(rows)) == len(rows), "a draw must be distinct"
        assert not in_flight & set(rows), "a draw must leave out what is in flight"
        assert all(0 <= row < prompts for row in rows)
        _update_step(pool, rows, step)
        assert 0 <= pool.live <= prompts
        assert all(key.startswith("pool/") for key in pool.metrics()), 'metrics of a pool begin with "pool/"'
    other = make(History(f"task-{row}" for row in range(prompts)))
    other.history.load_state_dict(pool.history.state_dict())
    other.load_state_dict(pool.state_dict())
    for step in range(12):
        one, two = (p.draw(5, np.random.default_rng(step)).tolist() for p in (pool, other))
        assert one == two, "a restored pool must draw what the original draws"
        _update_step(pool, one, step)
        _update_step(other, two, step)
    ends = [(p.live, p.resets, p.group_size, p.finished, p.metrics()) for p in (pool, other)]
    assert ends[0] == ends[1], "a restored pool must continue as the original does"


def _update_step(pool: Pool, rows: Sequence[int], step: int) -> None:
    """Two rollouts per prompt: the first three prompts drawn have signal, every third of the others is solved."""
    records = []
    for index, row in enumerate(rows):
        outcome = Outcome.MIXED if index < 3 else Outcome.ALL_WRONG if row % 3 else Outcome.ALL_CORRECT
        wins = {Outcome.MIXED: 1, Outcome.ALL_WRONG: 0, Outcome.ALL_CORRECT: 2}[outcome]
        pool.history.record(row, outcome, successes=wins, n=2, temperature=1.0, version=step)
        request = GroupRequest(
            id=index, task_id=pool.history.ids[row], row=row, n=2, temperature=1.0, seed=0, version=step, step=step
        )
        fate = Fate.TRAINED if index < 3 else pool.no_signal
        records.append(GroupRecord(request=request, fate=fate, outcome=outcome, successes=wins, reward_sum=float(wins)))
    pool.update(records)


def check_estimator(
    estimator: Callable[[Sequence[float]], list[float]] | Estimator, *, zero_for_equal: bool = True
) -> None:
    """Check an estimator: one advantage per reward, monotone in the reward, independent of any order.

    For an ``Estimator`` its declarations are checked too: with scope "group" the advantages of a group do not depend on
    the other groups, and without ``reads_history`` not on the Beta counts.

    Args:
        estimator: A function of the rewards of one comparison, or an ``Estimator`` over all groups of a batch.
        zero_for_equal: Whether equal rewards, of prompts without history, must give exact zeros. False for methods that
            compare with more than the rollouts of the batch: C-RF gives a batch of successes a positive advantage.
    """
    if not isinstance(estimator, Estimator):
        estimator = over_batch(estimator)
    elif estimator.scope == "group":
        _check_alone(estimator)
    for batch in _BATCHES:
        unknown = [Compared(rewards) for rewards in batch]
        known = [Compared(rewards, 1.0 + index, 3.0) for index, rewards in enumerate(batch)]
        _check_batch(estimator, unknown, zero_for_equal=zero_for_equal)
        _check_batch(estimator, known, zero_for_equal=False)
        if not estimator.reads_history:
            same = _close(estimator.function(known), estimator.function(unknown))
            assert same, "without reads_history the advantages must not depend on the Beta counts"


_BATCHES: list[list[list[float]]] = [
    [[1.0, 0.0]],
    [[0.0, 0.0, 1.0, 1.0, 0.5]],
    [[1.0] * 4],
    [[0.1] * 3],
    [[0.0]],
    [[0.1 + 0.2, 0.3]],
    [[1.0], [0.0], [0.0], [1.0], [0.0]],
    [[0.0, 1.0, 0.0], [1.0, 1.0], [0.0], [0.0, 0.0, 0.0, 1.0]],
    [[1.0, 1.0], [1.0], [1.0, 1.0, 1.0]],
]
"""Rewards of ragged batches, with groups of one and groups without signal."""


def _check_batch(estimator: Estimator, groups: Sequence[Compared], *, zero_for_equal: bool) -> None:
    advantages = estimator.function(groups)
    sizes = [len(group.rewards) for group in groups]
    assert [len(values) for values in advantages] == sizes, (
        "an estimator must return one advantage per reward, grouped as its input"
    )
    rewards = flatten(groups)
    if zero_for_equal and max(rewards) == min(rewards):
        zeros = [[0.0] * size for size in sizes]
        assert advantages == zeros, (
            "equal rewards must give exact zeros; pass zero_for_equal=False if the method intends otherwise"
        )
    for group, values in zip(groups, advantages, strict=True):
        pairs = list(zip(group.rewards, values, strict=True))
        assert all(a <= b for r, a in pairs for s, b in pairs if r < s), (
            "a higher reward must not have a lower advantage"
        )
    mirrored = [replace(group, rewards=list(reversed(group.rewards))) for group in groups]
    expected = [values[::-1] for values in advantages]
    assert _close(estimator.function(mirrored), expected), "the order of rollouts must not matter"
    assert _close(estimator.function(list(reversed(groups)))[::-1], advantages), "the order of groups must not matter"


def _check_alone(estimator: Estimator) -> None:
    for batch in _BATCHES:
        groups = [Compared(rewards) for rewards in batch]
        alone = [estimator.function([group])[0] for group in groups]
        assert _close(estimator.function(groups), alone), (
            'with scope "group" the advantages of a group must not depend on the others'
        )


def _close(one: Sequence[Sequence[float]], two: Sequence[Sequence[float]]) -> bool:
    return all(np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(one, two, strict=True))


def check_environment(environment: Environment, tasks: int) -> None:
    """Check an environment: every request comes back once, with None or with n rollouts of consistent token columns.

    Args:
        environment: Over at least ``tasks`` tasks.
        tasks: Number of requests to play, one per row.
    """
    requests = [
        GroupRequest(
            id=100 + row, task_id=str(row), row=row, n=1 + row % 3, temperature=1.0, seed=row, version=7, step=1
        )
        for row in range(tasks)
    ]
    played = list(environment.play(requests))
    assert sorted(request_id for request_id, _ in played) == [request.id for request in requests]
    asked = {request.id: request for request in requests}
    for request_id, rollouts in played:
        if rollouts is None:
            continue
        assert len(rollouts) == asked[request_id].n
        for rollout in rollouts:
            lengths = {len(rollout.token_ids), len(rollout.loss_mask), len(rollout.logprobs)}
            assert len(lengths) == 1, "token_ids, loss_mask and logprobs must have the same length"
            assert not rollout.loss_mask[0], "the first token must belong to the prompt"
            assert rollout.version == 7
            assert rollout.temperature == asked[request_id].temperature
    assert set(environment.seconds) >= {"generate", "verify"}
