"""What a run could have shown: the smallest difference its photos tell from luck, and how many photos would tell more.

Never the power "of the difference seen", which only says the p-value again.
"""

import numpy as np
from scipy import stats

ALPHA = 0.05
CHANCE = 0.8  # the usual 80 %
POINTS = (1, 2, 5)
SPREADS = 9.0  # standard deviations of the number of discordant photos that are summed; beyond lies less than 1e-17


def mcnemar_power(n: int, discordance: float, difference: float, alpha: float = ALPHA) -> float:
    """Chance that exact McNemar gives p < alpha, two-sided, on n photos.

    discordance: share (0..1) of photos that only one of the two inputs names right; difference: share by which one
    input is truly better, at most the discordance. Exact: the number D of discordant photos is Binomial(n,
    discordance), and of them Binomial(D, (1 + difference / discordance) / 2) speak for the better input. ValueError
    for shares that cannot be.
    """
    if not 0 <= difference <= discordance <= 1:
        raise ValueError(f"A difference of {difference} cannot come from a discordance of {discordance}.")
    if n < 1 or discordance == 0:
        return 0.0
    middle = n * discordance
    reach = SPREADS * np.sqrt(n * discordance * (1 - discordance)) + SPREADS
    discordant = np.arange(max(0, int(middle - reach)), min(n, int(middle + reach) + 1) + 1)  # (D,)

    limit = stats.binom.ppf(alpha / 2, discordant, 0.5)  # at most so many speak for one side where p < alpha
    limit -= 2 * stats.binom.cdf(limit, discordant, 0.5) >= alpha
    for_better = (1 + difference / discordance) / 2
    shown = stats.binom.cdf(limit, discordant, for_better) + stats.binom.sf(
        discordant - limit - 1, discordant, for_better
    )
    shown = np.where(limit < 0, 0.0, shown)
    return float((stats.binom.pmf(discordant, n, discordance) * shown).sum())


def smallest_difference(n: int, discordance: float, alpha: float = ALPHA, chance: float = CHANCE) -> float:
    """The smallest true difference, in percentage points, that exact McNemar shows on n photos with this chance.

    discordance: share (0..1), as this run's; a difference larger than it is taken to bring as much discordance. NaN
    where n photos show no difference at all with this chance (5 photos, say, never give p < 0.05).
    """
    if _power(n, discordance, 1.0, alpha) < chance:
        return float("nan")
    too_small, enough = 0.0, 1.0
    while enough - too_small > 1e-5:
        middle = (too_small + enough) / 2
        if _power(n, discordance, middle, alpha) < chance:
            too_small = middle
        else:
            enough = middle
    return 100 * enough


def photos_for(points: float, discordance: float, alpha: float = ALPHA, chance: float = CHANCE) -> int:
    """How many photos let exact McNemar show a true difference of so many percentage points with this chance.

    discordance: as smallest_difference. The power of an exact test rises in small steps back and forth, so that a few
    photos more or fewer may do as well. ValueError unless 0 < points <= 100.
    """
    if not 0 < points <= 100:
        raise ValueError(f"A difference of {points} points cannot be looked for.")
    difference = points / 100
    too_few, enough = 0, 8
    while _power(enough, discordance, difference, alpha) < chance:
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if _power(middle, discordance, difference, alpha) < chance:
            too_few = middle
        else:
            enough = middle
    return enough


def smallest_by_interval(
    lo: float, hi: float, draws: int | None = None, alpha: float = ALPHA, chance: float = CHANCE
) -> float:
    """The smallest true difference, in percentage points, that would give p < alpha with this chance where a 95 %
    interval is as wide as this one: the sum of two quantiles times the standard error, a normal approximation.

    draws: how many K-shot draws made the interval (Student's t with draws - 1 degrees of freedom), None for an
    interval over photos or groups. NaN without an interval, and for one of no width: where every draw agrees, nothing
    tells how much another would differ.
    """
    if not hi > lo:
        return float("nan")
    law = stats.norm() if draws is None else stats.t(max(draws - 1, 1))
    error = (hi - lo) / 2 / law.isf(0.025)
    return float((law.isf(alpha / 2) + law.ppf(chance)) * error)


def times_as_many(points: float, smallest: float) -> float:
    """How many times as many photos (or groups) show a difference of so many points where the ones at hand show
    `smallest`: standard errors fall with the square root of their number. At least so many where draws add luck of
    their own, which further photos do not take away."""
    return max(1.0, (smallest / points) ** 2)


def _power(n: int, discordance: float, difference: float, alpha: float) -> float:
    return mcnemar_power(n, max(discordance, difference), difference, alpha)
