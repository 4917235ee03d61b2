"""Intervals of a difference between two inputs, shown to the same photos: the bootstrap, over photos or over groups.

Shares of one input have evaluation.wilson; differences of K-shot draws have evaluation.two_way_interval.
"""

import numpy as np
from scipy import stats

FEWEST_GROUPS = 10  # ours: with fewer groups a bootstrap over them promises too much
CHUNK = 1 << 22  # resampled places at a time: some 100 MB whatever the number of photos


def codes(groups, n: int) -> np.ndarray:
    """int (N,), a number from 0 a group, in the order in which groups come; every photo its own where groups is None.

    groups: sequence of N names or None. ValueError where there are not as many names as photos.
    """
    if groups is None:
        return np.arange(n)
    names = list(groups)
    if len(names) != n:
        raise ValueError(f"{n} photos need as many names of groups, got {len(names)}.")
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=int)


def group_sums(values: np.ndarray, groups) -> np.ndarray:
    """Sums over the photos of each group, float (G, ...): values (N, ...), groups N names or None (see codes)."""
    place = codes(groups, len(values))
    sums = np.zeros((place.max(initial=-1) + 1, *values.shape[1:]))
    np.add.at(sums, place, values)
    return sums


def paired_bootstrap(
    differences: np.ndarray, groups=None, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(lo, hi), float (V,) in percentage points: interval of the mean difference of each of V pairs of inputs.

    As bootstrap_means and percentile_interval; NaN where there are too few photos or groups to tell (see too_few).
    """
    photos = np.asarray(differences, np.float32)
    n_groups = codes(groups, len(photos)).max(initial=-1) + 1
    if too_few(n_groups, groups is not None):
        nothing = np.full(photos.shape[1], np.nan)
        return nothing, nothing
    return percentile_interval(bootstrap_means(photos, groups, draws, seed), n_groups, level)


def too_few(n: int, grouped: bool) -> bool:
    """Whether n photos, or n groups where the photos are grouped, are too few for an interval."""
    return n < (FEWEST_GROUPS if grouped else 2)


def bootstrap_means(differences: np.ndarray, groups=None, draws: int = 10_000, seed: int = 0) -> np.ndarray:
    """Mean differences of resampled photos, float32 (draws, V), each between -1 and 1. All V share their draws.

    differences: (N, V), a row a photo: +1 where only the second input was named right, -1 where only the first was,
    else 0. groups: N names where photos of one group (a trip, say) are no independent evidence, or None; whole groups
    are then drawn.

    Two imaginary photos, one +1 and one -1, each a group of its own, join the draw, as Bonett and Price (2012) add
    them to the interval they compute; without them photos that never disagree would promise a difference of exactly 0.
    """
    photos = np.asarray(differences, np.float32)
    if photos.ndim != 2:
        raise ValueError(f"Differences have a row a photo and a column a pair of inputs, got shape {photos.shape}.")
    n, pairs = photos.shape
    imaginary = np.repeat([[1.0], [-1.0]], pairs, axis=1)
    sums = np.concatenate([group_sums(photos, groups), imaginary]).astype(np.float32)
    sizes = np.concatenate([group_sums(np.ones(n), groups), [1, 1]]).astype(np.float32)

    random = np.random.default_rng(seed)
    means = np.empty((draws, pairs), np.float32)
    step = max(1, CHUNK // len(sizes))
    for start in range(0, draws, step):
        times = _times_drawn(random, min(step, draws - start), len(sizes))  # (draws, groups)
        means[start : start + step] = (times @ sums) / (times @ sizes)[:, None]
    return means


def percentile_interval(means: np.ndarray, n: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """(lo, hi), float (V,) in percentage points, of bootstrap_means (draws, V) over n photos or groups.

    Percentiles and not BCa, which missed more often than it says on 30 photos. They lie as far out as Student's t
    would (Hesterberg 2015, "expanded percentile"), since draws from few groups scatter less than the groups do.
    """
    tail = tail_of_percentile(level, n)
    lo, hi = np.quantile(means, [tail, 1 - tail], axis=0)
    return 100 * lo.astype(float), 100 * hi.astype(float)


def tail_of_percentile(level: float, n: int) -> float:
    """Share of bootstrap means beyond each end of an expanded percentile interval over n photos or groups."""
    t = stats.t.isf((1 - level) / 2, n - 1)
    return float(stats.norm.sf(t * np.sqrt(n / (n - 1))))


def _times_drawn(random: np.random.Generator, draws: int, n: int) -> np.ndarray:
    """float32 (draws, n): how often each of n groups comes in draws of n with replacement."""
    drawn = random.integers(0, n, (draws, n))
    places = drawn + n * np.arange(draws)[:, None]
    return np.bincount(places.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float32)


def p_of_two_way(mean: float, lo: float, hi: float, draws: int) -> float:
    """p-value of "no difference" from evaluation.two_way_interval's mean and 95 % interval over so many draws.

    Student's t with draws - 1 degrees of freedom, as that interval. NaN where there is no interval, and where every
    draw and photo says the same (an interval without width): luck cannot be judged then, but that no difference at all
    was seen has p 1.
    """
    freedom = max(draws - 1, 1)
    error = (hi - lo) / 2 / stats.t.isf(0.025, freedom)
    if error == 0:
        return 1.0 if mean == 0 else float("nan")
    return float(2 * stats.t.sf(abs(mean) / error, freedom))
