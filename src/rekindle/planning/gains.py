"""How fast the policy learns: the gain that is assumed, its spread, and the one that a run shows.

The gain is the rise of the ability (see ``simulated_policy``) in an update whose groups all have signal.
"""

from statistics import NormalDist

import numpy as np

from rekindle.planning.belief import believe
from rekindle.planning.pass_rates import Counts, Floats, PassRates, grouped_rates
from rekindle.planning.simulated_policy import UNEVENNESS, rate_of, step_odds

__all__ = ["GAIN", "MOVED", "drawn_gains", "fitted_gain"]

GAIN = 0.08
"""The gain where no run says it."""
SPREAD = float(np.log(1.6))
"""Standard deviation of its logarithm."""
FITTED_SPREAD = float(np.log(2.5))
"""The same before a run is looked at: runs may be of other models and learning rates."""
MOVED = 0.5
"""Ability until which visits count as those of the start policy."""
FEWEST_VISITS = 100
"""Visits from which a gain is fitted."""
DRAWS, RATES, ABILITIES, MOST_ABILITY = 20, 200, 60, 8.0
"""Of the fit: draws of the rates at the start, prompts of each, abilities that are tabulated, and the last of them."""
TRIED = GAIN * np.geomspace(1 / 100, 20, 161)


def drawn_gains(gain: float, draws: int, *, known: bool) -> Floats:
    """[draws] plausible gains: any first few of them are spread over the distribution, and the first is its median."""
    if known:
        return np.full(draws, gain)
    places = [_place(number) for number in range(1, draws + 1)]
    return np.asarray(gain * np.exp(SPREAD * np.array([NormalDist().inv_cdf(place) for place in places])))


def _place(number: int) -> float:
    """The number-th place of van der Corput's sequence: 1/2, 1/4, 3/4, 1/8, ..."""
    return int(f"{number:b}"[::-1], 2) / (1 << number.bit_length())


def fitted_gain(amounts: Floats, successes: Counts, samples: Counts) -> float | None:
    """The most likely gain of a run whose mean success rate rose as it did; None with too little to see.

    Visits at different steps are of alike prompts, so their mean rate rises with the ability alone. The rates at the
    start are those of the first visits, until the policy has moved a little by a rough gain. The prior is log-normal
    around ``GAIN``, so that few visits say little.

    Args:
        amounts: [N] rises of the ability before each visit, in gains.
        successes: [N].
        samples: [N] at least 2 in the visits that say something of p (1 - p).
    """
    several = samples > 1
    if np.count_nonzero(several) < FEWEST_VISITS or amounts.max() - amounts.min() < 1:
        return None
    rough = _rough_gain(amounts, successes / samples, successes[several], samples[several])
    if rough is None:
        return None
    early = amounts * rough <= MOVED
    odds = _odds_at_start(successes[early], samples[early])
    abilities = np.linspace(-MOVED, MOST_ABILITY, ABILITIES)[:, None]
    ways = np.sqrt(np.maximum(abilities, 0)) * UNEVENNESS * np.random.default_rng(0).standard_normal(len(odds))
    means = rate_of(odds + abilities + ways).mean(axis=1)
    expected = np.interp(TRIED[:, None] * (amounts - amounts[early].mean()), abilities[:, 0], means)
    misses = (samples * (successes / samples - expected) ** 2).sum(axis=1)
    unlikely = misses / misses.min() * len(samples) + (np.log(TRIED / GAIN) / FITTED_SPREAD) ** 2
    return float(TRIED[unlikely.argmin()])


def _odds_at_start(successes: Counts, samples: Counts) -> Floats:
    """Log-odds of a step, of prompts like these."""
    right, asked, prompts, lengths = grouped_rates(successes, samples, where="first visits")
    belief = believe(PassRates(successes=right, samples=asked, prompts=prompts, sampled_tokens=lengths), draws=DRAWS)
    rng = np.random.default_rng(0)
    cells = np.repeat(np.arange(len(prompts)), prompts)
    return step_odds(np.concatenate([belief.drawn_rates(one, rng.choice(cells, RATES), rng) for one in range(DRAWS)]))


def _rough_gain(amounts: Floats, rates: Floats, successes: Counts, samples: Counts) -> float | None:
    """Slope of the success rates by E[p (1 - p)], at least 0; None where no prompt is between."""
    slope, _ = np.polyfit(amounts, rates, 1)
    within = float(np.mean(successes * (samples - successes) / (samples * (samples - 1))))
    return max(0.0, float(slope) / within) if within else None
