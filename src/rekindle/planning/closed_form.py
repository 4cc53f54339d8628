"""Expected totals of recipes that roll out every prompt in turn with groups of one size, step by step.

With a frozen policy this is a formula: E[p^n] and E[(1 - p)^n] over the posterior of each prompt. With a policy that
learns, these expectations are taken at the ability of each step, under the same item-response model as a simulation:
the ability rises with the square root of the share of an update that has signal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from zlib import crc32

import numpy as np

from rekindle.config import Config
from rekindle.planning.belief import RateBelief
from rekindle.planning.pass_rates import Floats
from rekindle.planning.plan_recipes import is_single
from rekindle.planning.signal import expected_step
from rekindle.planning.simulated_policy import UNEVENNESS, rate_of, rise, step_odds
from rekindle.planning.totals import Horizon, Totals

__all__ = ["Shares", "closed_form_totals", "shares_by_ability"]

SAMPLED_RATES = 2_048
"""Rates that stand for a pool where expectations have no formula, as with a raised ability."""
ABILITIES = 17
SHARES = 65
MOST_STRIDES = 2_000


@dataclass(frozen=True, eq=False)
class Shares:
    """Expectations for a pool at rising abilities, by draw: [D, ABILITIES] each.

    Attributes:
        abilities: [D, ABILITIES].
        wrong: Chance that a group is all wrong.
        correct: Chance that a group is all correct.
        variance: p (1 - p).
    """

    abilities: Floats
    wrong: Floats
    correct: Floats
    variance: Floats

    def at(self, ability: Floats) -> tuple[Floats, Floats, Floats]:
        """The three at an ability of each draw, [D] each, interpolated."""
        top = np.maximum(self.abilities[:, -1], 1e-300)
        place = np.clip(ability / top, 0.0, 1.0) * (ABILITIES - 1)
        low = np.minimum(place.astype(int), ABILITIES - 2)
        part, row = place - low, np.arange(len(place))

        def between(column: Floats) -> Floats:
            return np.asarray((1 - part) * column[row, low] + part * column[row, low + 1])

        return between(self.wrong), between(self.correct), between(self.variance)


def shares_by_ability(belief: RateBelief, size: int, highest: Floats, prompts: int, seed: int) -> Shares:
    """Expectations of groups of ``size`` for abilities from 0 to ``highest`` [D].

    At ability 0 they are exact. Further up they are taken over sampled rates, less the error of the same sample at 0.
    """
    rng = np.random.default_rng((seed, 0x5A))
    weights = _weights(belief, prompts, rng)
    exact = [(part * weights).sum(axis=1) for part in (*belief.all_alike(size), belief.variance())]
    abilities = highest[:, None] * np.linspace(0.0, 1.0, ABILITIES)
    columns = np.empty((3, len(belief), ABILITIES))
    normal = NormalDist()
    ways = np.array([normal.inv_cdf(place) for place in ((np.arange(SAMPLED_RATES) + 0.5) / SAMPLED_RATES).tolist()])
    for draw in range(len(belief)):
        cells = np.searchsorted(np.cumsum(weights[draw]), (np.arange(SAMPLED_RATES) + 0.5) / SAMPLED_RATES)
        rates = belief.drawn_rates(draw, np.minimum(cells, weights.shape[1] - 1), rng)
        risen = abilities[draw][:, None]
        raised = rate_of(step_odds(rates) + risen + UNEVENNESS * np.sqrt(risen) * rng.permutation(ways))
        columns[:, draw] = (((1 - raised) ** size).mean(1), (raised**size).mean(1), (raised * (1 - raised)).mean(1))
    corrected = [np.clip(exact[kind][:, None] + columns[kind] - columns[kind][:, :1], 0.0, 1.0) for kind in range(3)]
    return Shares(abilities, *corrected)


def _weights(belief: RateBelief, prompts: int, rng: np.random.Generator) -> Floats:
    """[D, C] share of a pool's prompts in each cell: those of the profile, or of its Bayesian bootstrap."""
    number = belief.rates.prompts
    if prompts == belief.rates.measured:
        return np.broadcast_to(number / number.sum(), (len(belief), len(number)))
    return rng.dirichlet(number, len(belief))


def closed_form_totals(
    config: Config, belief: RateBelief, gains: Floats, horizon: Horizon, prompts: int, seed: int
) -> Totals:
    """Expected totals by draw [D], with the noise of as many groups.

    Args:
        config: A recipe with ``has_closed_form``.
        belief: Of the pool's success rates.
        gains: [D] rise of the ability in an update full of signal.
        horizon: Where it ends.
        prompts: Of the pool.
        seed: Of the rates and the noise.
    """
    size, batch = config.train.group_size, config.train.groups_per_step
    asked_of, trained_of, rise_of = _step_tables(config)
    steps = _most_steps(config, horizon)
    shares = shares_by_ability(belief, size, gains * steps, prompts, seed)
    stride = max(1, -(-steps // MOST_STRIDES))
    totals = Totals.zeros(len(belief))
    going = np.ones(len(belief), bool)
    while going.any():
        wrong, correct, variance = shares.at(totals.ability)
        mixed = np.maximum(1 - wrong - correct, 0.0)
        asked, trained = stride * asked_of(mixed), stride * trained_of(mixed)
        raised = rise_of(mixed) if size > 1 else rise(4 * variance)
        used = np.divide(trained, asked * mixed, out=np.zeros_like(trained), where=asked * mixed > 0)
        spread = (size - 1) * asked * variance * used if size > 1 else stride * batch * variance
        part = going.astype(float)
        totals.steps += part * stride
        totals.groups += part * asked
        totals.all_wrong += part * asked * wrong
        totals.all_correct += part * asked * correct
        totals.trained += part * trained
        totals.rollouts += part * asked * size
        totals.rows += part * _rows(config, asked, trained)
        totals.variance += part * spread
        totals.ability += part * stride * gains * raised
        going = horizon.part(totals.groups, totals.rollouts, 0) < 1
        going &= totals.steps < (horizon.steps or np.inf)
    totals.sampled_tokens = totals.rollouts * belief.rates.mean_tokens
    return _with_noise(totals, np.random.default_rng((seed, crc32(f"{config.recipe} {size}".encode()))))


def _rows(config: Config, asked: Floats, trained: Floats) -> Floats:
    """Rollouts with an advantage."""
    everything = is_single(config) or config.advantage.zero_variance_scale > 0
    return (asked if everything else trained) * config.train.group_size


def _step_tables(config: Config) -> list[Callable[[Floats], Floats]]:
    """Groups asked and trained in a step, and how much it raises the ability, by the share of groups with signal."""
    train = config.train
    grid = np.linspace(0.0, 1.0, SHARES) ** 2  # finer where little has signal
    steps = [
        expected_step(
            train.groups_per_step, share, oversample=train.oversample, further_rounds=config.refill.max_rounds
        )
        for share in grid.tolist()
    ]
    columns = np.array([(one.asked, one.trained, one.rise) for one in steps]).T
    return [lambda share, column=column: np.interp(share, grid, column) for column in columns]  # type: ignore[misc]


def _most_steps(config: Config, horizon: Horizon) -> int:
    """Steps until the end where no step draws again."""
    drawn = config.train.groups_per_step * config.train.oversample
    ends = [
        horizon.steps,
        None if horizon.groups is None else -(-horizon.groups // drawn),
        None if horizon.rollouts is None else -(-horizon.rollouts // (drawn * config.train.group_size)),
    ]
    return min(end for end in ends if end is not None)


def _with_noise(totals: Totals, rng: np.random.Generator) -> Totals:
    """Totals of one run each: outcomes of whole groups, drawn with the expected shares."""
    groups = np.maximum(totals.groups, 1)
    chances = (
        np.column_stack([totals.all_wrong, totals.all_correct, np.maximum(totals.with_signal, 0.0)]) / groups[:, None]
    )
    drawn = rng.multinomial(np.rint(groups).astype(int), chances / chances.sum(axis=1, keepdims=True))
    scale = totals.groups / np.rint(groups)
    expected = totals.with_signal
    totals.all_wrong, totals.all_correct = drawn[:, 0] * scale, drawn[:, 1] * scale
    totals.trained *= np.divide(totals.with_signal, expected, out=np.ones_like(expected), where=expected > 0.5)
    return totals
