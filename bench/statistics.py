"""How often intervals, tests and verdicts are right, on made-up answers whose truth is known; the bootstrap's cost.

Every check takes `repetitions`, so that the tests run a short form of it.
"""

import subprocess
import sys

import numpy as np
import pandas as pd

from bench.rows import row
from fishlib.beyond import verdict
from fishlib.scores import contrasts, evaluation, intervals

PHOTOS = 200
SHARES = np.arange(0.3, 0.95, 0.1)  # of photos named right
REPETITIONS = 2000
DISCORDANT = 0.2  # of photos, where nothing else is said
GROUPS = (10, 12, 20, 50)
VARIANTS = ("crop", "mask", "crop_mask")
EASY, LUCKY = 1.5, 0.3  # standard deviations, in a logistic score, of how easy a photo and how lucky a draw is


def wilson_coverage(repetitions: int = REPETITIONS) -> dict[str, float]:
    """Share of Wilson intervals that hold the true share."""
    random = np.random.default_rng(1)
    covered = {}
    for share in SHARES:
        bounds = np.array([evaluation.wilson(k, PHOTOS) for k in range(PHOTOS + 1)])
        lo, hi = bounds[random.binomial(PHOTOS, share, repetitions)].T
        covered[f"p = {share:.1f}"] = float(np.mean((lo <= 100 * share) & (100 * share <= hi)))
    return covered


def bootstrap_coverage(repetitions: int = REPETITIONS, draws: int = 4000) -> dict[str, float]:
    """Share of paired bootstrap intervals that hold the true difference: none, and 5 points."""
    random = np.random.default_rng(2)
    covered = {}
    for share in SHARES:
        for gain in (0.0, 0.05):
            first, second = pairs(random, PHOTOS, share, gain, repetitions)
            lo, hi = intervals.paired_bootstrap(second - first, draws=draws)
            covered[f"p = {share:.1f}, {gain:+.2f}"] = float(np.mean((lo <= 100 * gain) & (100 * gain <= hi)))
    return covered


def group_coverage(repetitions: int = REPETITIONS, draws: int = 4000) -> dict[str, float]:
    """The same where photos of a group share an effect: groups of one size, and few large beside many small ones."""
    random = np.random.default_rng(3)
    covered = {}
    for n_groups in GROUPS:
        for skewed in (False, True):
            weights = 1 / np.arange(1, n_groups + 1) if skewed else np.ones(n_groups)
            sizes = np.maximum(1, np.rint(PHOTOS * weights / weights.sum())).astype(int)
            groups = np.repeat(np.arange(n_groups), sizes)
            differences = shared_effects(random, groups, repetitions)
            lo, hi = intervals.paired_bootstrap(differences, groups, draws=draws)
            covered[f"{n_groups} groups{', skewed' if skewed else ''}"] = float(np.mean((lo <= 0) & (hi >= 0)))
    return covered


def two_way_coverage(repetitions: int = REPETITIONS) -> dict[str, float]:
    """Share of two-way intervals that hold a true difference of 0, as ten K-shot draws and as five half-splits; where
    answers hang on photo and draw alike, and where luck is mostly the photos' or mostly the draws'."""
    random = np.random.default_rng(4)
    covered = {}
    for scatter, (of_photo, of_draw) in {"both": (0.5, 0.15), "photos": (3.0, 0.05), "draws": (0.2, 1.0)}.items():
        for share in SHARES:
            for draws, drawn in ((10, 0.1), (5, 0.5)):
                hits = []
                for _ in range(repetitions):
                    right = trained_answers(random, PHOTOS, share, 0.0, draws, drawn, of_photo, of_draw, ("mask",))
                    found = evaluation.two_way_interval(right["mask"] - right["original"])
                    hits.append(found["lo"] <= 0 <= found["hi"])
                covered[f"p = {share:.1f}, {draws} draws, luck of {scatter}"] = float(np.mean(hits))
    return covered


def verdict_kinds(gain: float, n: int, repetitions: int = REPETITIONS) -> dict[str, float]:
    """Kind of verdict -> share of repetitions, without further training: three inputs, each better by `gain`."""
    random = np.random.default_rng(5)
    kinds = []
    for share in random.choice(SHARES[:-1] if gain else SHARES, repetitions):
        answers = paired_answers(random, n, share, gain)
        frame = contrasts.from_predictions(answers, draws=200)["table 2"]
        kinds.append(verdict.kind(asked_quickly(frame)))
    return pd.Series(kinds).value_counts(normalize=True).to_dict()


def trained_verdict_kinds(gain: float, n: int, repetitions: int = REPETITIONS) -> dict[str, float]:
    """The same with further training: ten draws, three inputs that share their originals."""
    random = np.random.default_rng(6)
    kinds = []
    for share in random.choice(SHARES[:-1] if gain else SHARES, repetitions):
        right = trained_answers(random, n, share, gain, draws=10, drawn=0.1)
        kinds.append(verdict.kind(asked_quickly(contrasts.from_draws(right)["table 2"], learnt_from=5)))
    return pd.Series(kinds).value_counts(normalize=True).to_dict()


def asked_quickly(frame: pd.DataFrame, learnt_from=None) -> verdict.Asked:
    """verdict.asked without the search for photos that would be needed, which these checks do not read."""
    named = ["variant", "percent", "percent_against", "difference", "lo", "hi", "p_holm"]
    told = tuple(verdict.Contrast(**one, smallest=1.0) for one in frame[named].to_dict("records"))
    return verdict.Asked(told, int(frame["n"].iloc[0]), len(frame), None, learnt_from)


def pairs(random, n: int, share: float, gain: float, repetitions: int) -> tuple[np.ndarray, np.ndarray]:
    """Two inputs' answers, 1/0, each (n, repetitions), right with chances share and share + gain; they disagree on
    DISCORDANT of the photos, or as few and many as the shares allow."""
    most = min(2 * share + gain, 2 - 2 * share - gain)
    discordant = np.clip(DISCORDANT, abs(gain), most)
    only_first, only_second = (discordant - gain) / 2, (discordant + gain) / 2
    cell = random.random((n, repetitions))
    both = share - only_first
    first = cell < share  # both, then the first alone
    second = (cell < both) | ((cell >= share) & (cell < share + only_second))
    return first.astype(float), second.astype(float)


def shared_effects(random, groups: np.ndarray, repetitions: int) -> np.ndarray:
    """Differences (N, repetitions) of +1, 0 and -1 with no difference on the whole; groups lean to one side."""
    n_groups = groups.max() + 1
    lean = np.clip(random.normal(0, 0.15, (n_groups, repetitions)), -0.25, 0.25)[groups]
    cell = random.random((len(groups), repetitions))
    better = cell < 0.15 + lean / 2
    worse = cell > 0.85 + lean / 2
    return better.astype(float) - worse


def paired_answers(random, n: int, share: float, gain: float) -> pd.DataFrame:
    """Predictions of the original and three inputs, each of which disagrees with it as `pairs` does."""
    original = random.random(n) < share
    columns = {"original": original}
    discordant = np.clip(DISCORDANT, gain, min(2 * share + gain, 2 - 2 * share - gain))
    for variant in VARIANTS:
        loses = random.random(n) < (discordant - gain) / 2 / share
        wins = random.random(n) < (discordant + gain) / 2 / (1 - share)
        columns[variant] = np.where(original, ~loses, wins)
    wide = pd.DataFrame(columns).rename_axis("photo_id")
    long = wide.reset_index().melt("photo_id", var_name="variant", value_name="correct")
    return long.astype({"correct": int}).assign(counted=1)


def trained_answers(
    random,
    n: int,
    share: float,
    gain: float,
    draws: int,
    drawn: float,
    of_photo: float = 0.5,
    of_draw: float = 0.15,
    variants: tuple[str, ...] = VARIANTS,
) -> dict[str, np.ndarray]:
    """Variant -> right, float (draws, n), NaN where a draw learnt from the photo, which has the chance `drawn`.

    The chance to be right is logistic in how easy the photo is, how lucky the draw, and what each input changes for
    each photo and for each draw (standard deviations of_photo and of_draw); inputs beside the original gain `gain`.
    """
    easy = random.normal(0, EASY, n)
    lucky = random.normal(0, LUCKY, (draws, 1))
    flat = np.sqrt(1 + (EASY**2 + LUCKY**2 + of_photo**2 + of_draw**2) * np.pi / 8)  # what scatter does to the slope
    learnt = random.random((draws, n)) < drawn
    right = {}
    for variant in ("original", *variants):
        chance = share if variant == "original" else share + gain
        score = flat * np.log(chance / (1 - chance)) + easy + lucky
        score = score + random.normal(0, of_photo, n) + random.normal(0, of_draw, (draws, 1))
        answers = (random.random((draws, n)) < 1 / (1 + np.exp(-score))).astype(float)
        answers[learnt] = np.nan
        right[variant] = answers
    return right


def coverages():
    checks = {
        "wilson": (wilson_coverage(), f"{PHOTOS} photos, p = 0.3 to 0.9, {REPETITIONS} repetitions"),
        "paired_bootstrap": (bootstrap_coverage(), f"{PHOTOS} photos, p = 0.3 to 0.9, true difference 0 and 5 points"),
    }
    for name, (covered, how) in checks.items():
        worst, widest = min(covered, key=covered.get), max(covered, key=covered.get)
        yield row(f"coverage_{name}_least", covered[worst], ">= 0.93", f"{how}: least at {worst}")
        yield row(f"coverage_{name}_most", covered[widest], "<= 0.97", f"{how}: most at {widest}")
    for name, covered in {"groups": group_coverage(), "two_way": two_way_coverage()}.items():
        worst = min(covered, key=covered.get)
        how = f"{PHOTOS} photos, {REPETITIONS} repetitions: least at {worst}, most {max(covered.values()):.3f}"
        yield row(f"coverage_{name}_least", covered[worst], ">= 0.93", how)


def verdicts():
    for name, kinds_of in {"without_training": verdict_kinds, "trained": trained_verdict_kinds}.items():
        none = kinds_of(0.0, PHOTOS).get(verdict.NONE, 0.0)
        helps = kinds_of(0.1, 600).get(verdict.HELPS, 0.0)
        how = f"three inputs, {REPETITIONS} repetitions"
        yield row(f"verdict_{name}_no_difference_under_none", none, ">= 0.93", f"{how}, {PHOTOS} photos")
        yield row(f"verdict_{name}_helps_under_10_points", helps, ">= 0.9", f"{how}, 600 photos")


def bootstrap_cost():
    """10,000 draws over 601 photos and 20 variants, in a process of its own."""
    code = (
        "import numpy as np, resource, time; from fishlib.scores import intervals;"
        "d = np.random.default_rng(0).integers(-1, 2, (601, 20)); start = time.perf_counter();"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; intervals.paired_bootstrap(d);"
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, before / 2**20)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seconds, peak, before = map(float, said.split())
    how = f"10,000 draws over 601 photos and 20 variants; imports alone take {before:.2f} GB"
    yield row("bootstrap_seconds", seconds, "<= 5", how)
    yield row("bootstrap_gigabytes", peak, "<= 1", how)


MEASURES = [coverages, verdicts, bootstrap_cost]
