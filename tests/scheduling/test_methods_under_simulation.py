"""Recipes over prompts of known success rates: what their schedulers do, against exact chances and simple bounds.

The policy is simulated and frozen, so that every chance is known: a group of K at rate p carries signal with chance
1 - p^K - (1-p)^K. Everything else is what a run has: the recipe's own scheduler, made from its configuration.
"""

from itertools import islice
from math import comb, sqrt

import numpy as np
import pytest
from scheduling_cases import assert_binomial

from rekindle.methods import build_scheduler
from rekindle.testing import SimulatedPolicy
from rekindle.types import Outcome

SIGMAS = 5.0
"""Bounds by the central limit theorem; a sound scheduler breaks one in a few million."""


@pytest.fixture
def scheduler_of(quick_config):
    """``scheduler_of("mopps", prompts, "train.groups_per_step=16", seed=3)``: the scheduler that a run would have."""

    def build(recipe, prompts, *overrides, seed=0):
        config = quick_config(recipe, *overrides, seed=seed)
        return build_scheduler(config, (f"t{row}" for row in range(prompts)))

    return build


def steps_of(scheduler, policy):
    """Play step after step, without end; yields what each records, by request, and the groups it was trained on."""
    while True:
        while (groups := scheduler.take()) is None:
            for request in list(iter(scheduler.ask, None)):
                scheduler.tell(request.id, policy.play(request))
        scheduler.advance(scheduler.version + 1)
        yield scheduler.drain_records(), groups


def play(scheduler, policy, groups):
    """The records of the first steps that have at least this many."""
    rows = []
    steps = steps_of(scheduler, policy)
    while len(rows) < groups:
        rows += next(steps)[0]
    return rows


def chance_of_signal(rates, size=4):
    return 1 - rates**size - (1 - rates) ** size


def u_shaped(prompts, seed):
    return np.random.default_rng(seed).beta(0.4, 0.4, prompts)


# -- which prompts are drawn ------------------------------------------------------------------------------------------

PROMPTS, SEEDS, WINDOW = 160, range(2), 3


@pytest.fixture(scope="module")
def signals(quick_config):
    """``signals("mopps")[11]``: of the groups of visits 9 to 11 per prompt, over all seeds, how many carried signal."""
    known = {}

    def count(recipe):
        if recipe not in known:
            known[recipe] = dict.fromkeys((11, 30), 0)
            for seed in SEEDS:
                config = quick_config(recipe, "train.groups_per_step=8", "train.group_size=4", seed=seed)
                scheduler = build_scheduler(config, (f"t{row}" for row in range(PROMPTS)))
                rows = play(scheduler, SimulatedPolicy(u_shaped(PROMPTS, seed)), 30 * PROMPTS)
                for visits in known[recipe]:
                    window = rows[(visits - WINDOW) * PROMPTS : visits * PROMPTS]
                    known[recipe][visits] += sum(one.outcome is Outcome.MIXED for one in window)
        return known[recipe]

    return count


TRIALS = len(SEEDS) * WINDOW * PROMPTS


@pytest.mark.parametrize("visits", [11, 30])
def test_in_turn_every_prompt_has_signal_at_its_own_chance(signals, visits):
    chances = np.concatenate([chance_of_signal(u_shaped(PROMPTS, seed)) for seed in SEEDS])
    spread = sqrt(WINDOW * (chances * (1 - chances)).sum())
    assert abs(signals("grpo")[visits] - WINDOW * chances.sum()) < SIGMAS * spread


@pytest.mark.parametrize("visits", [11, 30])
@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param("posterior_recycle", "grpo", marks=pytest.mark.slow),
        pytest.param("posterior_recycle", "recycle", marks=pytest.mark.slow),
        pytest.param("mopps", "grpo", marks=pytest.mark.slow),
        pytest.param("greso", "grpo", marks=pytest.mark.slow),
    ],
)
def test_more_groups_have_signal_however_often_prompts_are_visited(signals, better, worse, visits):
    more, less = signals(better)[visits], signals(worse)[visits]
    # The binomial spread of two counts at their common rate.
    assert more - less > SIGMAS * sqrt((more + less) * (1 - (more + less) / (2 * TRIALS)))


@pytest.mark.slow
def test_recycling_ages_and_posterior_recycling_does_not(signals):
    """Prompts with signal leave the recycling pool, so a long run draws the others; posteriors improve with visits."""
    assert signals("recycle")[30] < signals("posterior_recycle")[11]
    assert signals("posterior_recycle")[30] > signals("posterior_recycle")[11] - SIGMAS * sqrt(TRIALS) / 2


def test_mopps_draws_what_is_nearest_to_even_odds(scheduler_of):
    rates = np.repeat([0.0, 0.1, 0.5, 0.9, 1.0], 32)
    rows = play(scheduler_of("mopps", 160, "train.groups_per_step=8"), SimulatedPolicy(rates), 20 * 160)[-10 * 160 :]
    visits = np.bincount([one.request.row // 32 for one in rows], minlength=5)
    assert visits[2] > 3 * max(visits[1], visits[3])
    assert min(visits[1], visits[3]) > 1.3 * max(visits[0], visits[4])
    assert visits.min() > 0, "a Thompson sample gives every prompt a chance"


@pytest.mark.slow
def test_greso_visits_prompts_without_signal_ever_more_rarely(scheduler_of):
    rates = np.repeat([0.0, 0.5, 1.0], 40)
    scheduler = scheduler_of("greso", 120, "train.groups_per_step=8")
    rows = play(scheduler, SimulatedPolicy(rates), 3000)
    early, late = (
        np.bincount([one.request.row // 40 for one in part], minlength=3) for part in (rows[:240], rows[-240:])
    )
    assert early[1] < 0.5 * 240
    assert late[1] > 0.75 * 240
    assert min(late[0], late[2]) > 0
    assert scheduler.pool.metrics()["pool/skipped"] > 0


# -- how often they are rolled out ------------------------------------------------------------------------------------


def test_speed_spends_its_twenty_on_the_groups_that_its_screening_finds_mixed(scheduler_of):
    """p = 0.2: a screening of 4 is mixed with chance 1 - 0.2^4 - 0.8^4."""
    steps, size = 30, 50
    scheduler = scheduler_of("speed", 400, f"train.groups_per_step={size}")
    continued = 0
    for records, groups in islice(steps_of(scheduler, SimulatedPolicy([0.2] * 400)), steps):
        assert sorted({one.request.n for one in records}) == [4, 20]
        assert {len(group.rollouts) for group in groups} == {24}
        assert sum(one.request.n for one in records) == 4 * size + 20 * len(groups)
        continued += len(groups)
    assert_binomial(continued, steps * size, chance_of_signal(np.array(0.2)).item())


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.03])
def test_reinforce_ada_plays_as_many_rounds_as_it_takes(scheduler_of, rate):
    """Rounds of 8 until 4 are right and 4 wrong: after r of them with chance P(4 <= Bin(8 r, p) <= 8 r - 4)."""
    prompts = 300
    scheduler = scheduler_of("reinforce_ada", prompts, f"train.groups_per_step={prompts}", "train.gate=everything")
    _, groups = next(steps_of(scheduler, SimulatedPolicy([rate] * prompts)))
    assert len(groups) == prompts
    for rounds in (1, 2, 3):
        n = 8 * rounds
        enough = sum(comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(4, n - 3))
        assert_binomial(sum(len(group.rollouts) <= n for group in groups), prompts, enough)
    assert max(len(group.rollouts) for group in groups) <= 32


def test_knapsack_spends_the_same_budget_where_it_is_worth_more(scheduler_of):
    """The objective at the true rates, once they are known, against groups of one size."""
    rates = u_shaped(240, 1)
    scheduler = scheduler_of("knapsack", 240, "train.groups_per_step=60", "train.group_size=8")
    values = {"knapsack": 0.0, "equal": 0.0}
    for step, (records, _) in enumerate(islice(steps_of(scheduler, SimulatedPolicy(rates)), 24)):
        assert sum(one.request.n for one in records) == 60 * 8
        assert all(2 <= one.request.n <= 128 for one in records)
        if step >= 12:
            p = rates[[one.request.row for one in records]]
            gain = p * (1 - p) ** 2
            sizes = np.array([one.request.n for one in records])
            values["knapsack"] += float((chance_of_signal(p, sizes) * gain).sum())
            values["equal"] += float((chance_of_signal(p, 8) * gain).sum())
    assert values["knapsack"] > 1.03 * values["equal"]


# -- temperatures -----------------------------------------------------------------------------------------------------


def heat_after(visits, rate, size=4):
    """[visits + 1] chances of each count of heating steps: 1 up when all correct, to 0 when all wrong, else 1 down."""
    up, zero = rate**size, (1 - rate) ** size
    chances = np.eye(visits + 1)[0]
    for _ in range(visits):
        after = np.zeros(visits + 1)
        for step, chance in enumerate(chances):
            after[min(step + 1, visits)] += up * chance
            after[0] += zero * chance
            after[max(step - 1, 0)] += (1 - up - zero) * chance
        chances = after
    return chances


@pytest.mark.slow
def test_erpo_raises_temperatures_by_the_chain_of_visits(scheduler_of):
    """Every prompt is visited once per epoch; after six, heating steps have their exact distribution per rate."""
    rates, each, visits = (0.0, 0.5, 0.8, 0.95, 1.0), 200, 6
    scheduler = scheduler_of("erpo", 1000, "train.groups_per_step=100")
    policy = SimulatedPolicy(np.repeat(rates, each))
    for records, groups in islice(steps_of(scheduler, policy), 10 * visits):
        assert all(one.outcome is not Outcome.ALL_WRONG for one in groups)
        assert sum(one.outcome is Outcome.ALL_WRONG for one in records) == len(records) - len(groups)
    assert set(scheduler.history.visits.tolist()) == {visits}
    steps = scheduler.history.heating_steps.reshape(len(rates), each)
    assert set(steps[0].tolist()) == {0}
    assert set(steps[-1].tolist()) == {visits}
    for rate, found in zip(rates[1:-1], steps[1:-1], strict=True):
        expected = heat_after(visits, rate)
        for step in range(visits + 1):
            assert_binomial(int((found == step).sum()), each, expected[step])
    requests = list(iter(scheduler.ask, None))
    for request in requests:
        assert request.temperature == pytest.approx(min(1 + 0.05 * steps.ravel()[request.row], 1.2))
    assert max(request.temperature for request in requests) == 1.2
