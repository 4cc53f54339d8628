"""What counts say of success rates: a posterior over their distribution, and over the rate of each prompt.

The success rates of a pool are taken as a mixture: a share of prompts that are almost never solved (rates from 1 in
10,000 to 1 in 100, log-uniform), a share that are almost always solved (their failures the same), and the rest
Beta(a, b). With few samples a prompt that was never solved may belong to the first or be a rare success; the counts of
all prompts together say how likely each is (an empirical-Bayes prior), and how sure that is (its posterior, sampled).
Prior: shares ~ Dirichlet(1/2, 1/2, 1/2), log a and log b ~ Normal(0, 1).

Sampling: the affine-invariant stretch move of Goodman and Weare (2010).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rekindle.planning.pass_rates import Counts, Floats, PassRates

__all__ = ["DRAWS", "RateBelief", "believe"]

DRAWS = 200
"""Distributions that are drawn from the posterior."""
WALKERS, ROUNDS, THIN = 40, 900, 20
MOST_PROMPTS = 20_000
"""Counts of more prompts weigh as those of so many: more certainty about a simple shape would be false."""
EXTREMES: Floats = np.logspace(-4, -2, 9)
"""Rates of prompts that are almost never solved; of those that are almost always solved, the rates of failure."""
SHARES_PRIOR = np.array([0.5, 0.5, 0.5])
_STRETCH = 2.0


@dataclass(frozen=True, eq=False)
class RateBelief:
    """D draws from the posterior of the distribution of success rates, given the counts.

    Attributes:
        rates: The counts, of C cells.
        shares: [D, 3] shares of prompts that are almost never solved, almost always, and neither.
        a: [D] of the Beta distribution of those that are neither.
        b: [D].
    """

    rates: PassRates
    shares: Floats
    a: Floats
    b: Floats

    def __len__(self) -> int:
        return len(self.a)

    @cached_property
    def kinds(self) -> Floats:
        """[3, D, C] chance that a prompt of a cell is almost never solved, almost always, or neither."""
        weights = _weights(self.rates, self.shares, self.a, self.b)
        return np.asarray(weights / weights.sum(axis=0))

    @cached_property
    def extremes(self) -> Floats:
        """[2, E, C] chance of each rate of ``EXTREMES`` in a prompt of a cell that is almost never or always solved."""
        likely = _extreme_likelihoods(self.rates)
        total = likely.sum(axis=1, keepdims=True)
        chances: Floats = np.divide(likely, total, out=np.full(likely.shape, 1 / len(EXTREMES)), where=total > 0)
        return chances

    def all_alike(self, size: int) -> tuple[Floats, Floats]:
        """Chances that a group of ``size`` is all wrong, and all correct, by draw and cell: [D, C] each."""
        never, always, other = self.kinds
        right = self.rates.successes[None, :]
        a, b = self.a[:, None] + right, self.b[:, None] + self.rates.samples[None, :] - right
        rare, common = EXTREMES**size, (1 - EXTREMES) ** size
        rarely, mostly = self.extremes[0], self.extremes[1]
        wrong = never * (common @ rarely) + always * (rare @ mostly) + other * _moment(b, a, size)
        correct = never * (rare @ rarely) + always * (common @ mostly) + other * _moment(a, b, size)
        return wrong, correct

    def variance(self) -> Floats:
        """[D, C] expected p (1 - p) of a prompt of each cell."""
        right = self.rates.successes[None, :]
        a, b = self.a[:, None] + right, self.b[:, None] + self.rates.samples[None, :] - right
        never, always, other = self.kinds
        extreme = EXTREMES * (1 - EXTREMES)
        beta = a * b / ((a + b) * (a + b + 1))
        return np.asarray(never * (extreme @ self.extremes[0]) + always * (extreme @ self.extremes[1]) + other * beta)

    def drawn_cells(self, prompts: int, rng: np.random.Generator) -> Counts:
        """[prompts] the cell of each prompt of a pool, in any order.

        A pool as large as the profile has the cells of the profile. Of another size its cells are drawn from the
        Bayesian bootstrap of the profile.
        """
        number = self.rates.prompts
        if prompts != self.rates.measured:
            number = rng.multinomial(prompts, rng.dirichlet(number))
        return rng.permutation(np.repeat(np.arange(len(number)), number))

    def drawn_rates(self, draw: int, cells: Counts, rng: np.random.Generator) -> Floats:
        """[prompts] success rates of prompts of these cells, under one draw."""
        right = self.rates.successes[cells]
        found: Floats = rng.beta(self.a[draw] + right, self.b[draw] + self.rates.samples[cells] - right)
        never, always, _ = self.kinds[:, draw]
        kind, place = rng.random((2, len(cells)))
        for side, chosen in ((0, kind < never[cells]), (1, kind >= 1 - always[cells])):
            upto = np.cumsum(self.extremes[side], axis=0)[:, cells[chosen]]
            rate = EXTREMES[np.minimum((upto < place[chosen]).sum(axis=0), len(EXTREMES) - 1)]
            found[chosen] = 1 - rate if side else rate
        return found


def believe(rates: PassRates, seed: int = 0, draws: int = DRAWS) -> RateBelief:
    """The posterior of the distribution of success rates."""
    weight = min(1.0, MOST_PROMPTS / rates.measured) * rates.prompts

    def log_posterior(points: Floats) -> Floats:
        shares, a, b = _natural(points)
        prior = (SHARES_PRIOR * np.log(shares)).sum(axis=1) - 0.5 * (points[:, 2:] ** 2).sum(axis=1)
        with np.errstate(divide="ignore"):
            likely = np.log(_weights(rates, shares, a, b).sum(axis=0))
        return np.asarray(prior + likely @ weight)

    rng = np.random.default_rng((seed, 0xB1))
    points = _sampled(log_posterior, rng, draws)
    return RateBelief(rates, *_natural(points))


def _natural(points: Floats) -> tuple[Floats, Floats, Floats]:
    """Shares [P, 3], a [P] and b [P] of points [P, 4]."""
    logits = np.column_stack([points[:, :2], np.zeros(len(points))])
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = np.maximum(odds / odds.sum(axis=1, keepdims=True), 1e-12)
    return shares, np.exp(points[:, 2]), np.exp(points[:, 3])


def _weights(rates: PassRates, shares: Floats, a: Floats, b: Floats) -> Floats:
    """[3, P, C] likelihood of each cell's counts by kind of prompt, times the kind's share; the orders of the samples
    are not counted, because they are the same for all kinds."""
    right, wrong = rates.successes, rates.samples - rates.successes
    rising_a, rising_b = _log_rising(a, int(right.max())), _log_rising(b, int(wrong.max()))
    rising_both = _log_rising(a + b, rates.most_samples)
    beta = np.exp(rising_a[:, right] + rising_b[:, wrong] - rising_both[:, rates.samples])
    rarely, mostly = _extreme_likelihoods(rates).mean(axis=1)
    return np.stack([shares[:, :1] * rarely, shares[:, 1:2] * mostly, shares[:, 2:] * beta])


def _extreme_likelihoods(rates: PassRates) -> Floats:
    """[2, E, C] likelihood of each cell's counts where successes, or failures, have a rate of ``EXTREMES``."""
    right, wrong = rates.successes, rates.samples - rates.successes
    rare, common = np.log(EXTREMES)[:, None], np.log1p(-EXTREMES)[:, None]
    return np.asarray(np.exp(np.stack([right * rare + wrong * common, wrong * rare + right * common])))


def _log_rising(start: Floats, most: int) -> Floats:
    """[P, most + 1] log of start (start + 1) ... (start + k - 1)."""
    steps = np.log(start[:, None] + np.arange(most))
    return np.concatenate([np.zeros((len(start), 1)), np.cumsum(steps, axis=1)], axis=1)


def _moment(a: Floats, b: Floats, order: int) -> Floats:
    """E[p^order] of Beta(a, b), elementwise."""
    logs = np.zeros(np.broadcast_shapes(a.shape, b.shape))
    for k in range(order):
        logs += np.log((a + k) / (a + b + k))
    return np.asarray(np.exp(logs))


def _sampled(log_density: Callable[[Floats], Floats], rng: np.random.Generator, draws: int) -> Floats:
    """[draws, 4] points of a density, from walkers that move along the lines between them."""
    points = rng.normal(0.0, 1.0, (WALKERS, 4))
    density = log_density(points)
    half, kept = WALKERS // 2, []
    for number in range(ROUNDS):
        for first in (0, half):
            movers, others = slice(first, first + half), points[half - first : WALKERS - first]
            stretch = ((_STRETCH - 1) * rng.random(half) + 1) ** 2 / _STRETCH
            anchors = others[rng.integers(0, half, half)]
            proposed = anchors + stretch[:, None] * (points[movers] - anchors)
            found = log_density(proposed)
            accepted = np.log(rng.random(half)) < 3 * np.log(stretch) + found - density[movers]
            points[movers] = np.where(accepted[:, None], proposed, points[movers])
            density[movers] = np.where(accepted, found, density[movers])
        if number >= ROUNDS // 2 and number % THIN == 0:
            kept.append(points.copy())
    every = np.concatenate(kept)
    return np.asarray(every[np.linspace(0, len(every) - 1, draws).astype(int)])
