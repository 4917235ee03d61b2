"""One answer to "does removing the background help?", from a run's own numbers: two sentences and what they rest on.

Whether a difference is shown is decided by the p-value corrected within its family (scores.contrasts); the interval
beside it tells how large the difference may be.
"""

import math
from dataclasses import dataclass, field

import pandas as pd

from fishlib.beyond import words
from fishlib.photos.composite import LABELS
from fishlib.scores import power
from fishlib.scores.contrasts import ALPHA
from fishlib.scores.intervals import FEWEST_GROUPS

QUESTION = "Does removing the background help a model name the fish?"
HELPS, COSTS, MIXED, NONE = "helps", "costs", "mixed", "no difference shown"
TOO_FEW, TOO_FEW_GROUPS = "too few photos", "too few groups"
CHOICE = "inputs to choose from"
HALF = "half"  # Asked.learnt_from where heads learnt from half of the photos
TOO_COARSE = 20.0  # points, ours: photos that would show larger differences only are too few to speak of "none"
WHAT_IT_DOES = {
    "crop": "Crop (cut to the fish's box)",
    "mask": "Mask (background painted over)",
    "crop_mask": "Crop & Mask (both)",
}


@dataclass(frozen=True)
class Contrast:
    """One input against the originals: percent right of each, and their difference with its 95 % interval in points.

    p_holm decides whether the difference is shown. lo and hi are NaN where no interval could be made. smallest: the
    smallest true difference that would have shown with 80 % chance, NaN where none would. needed: points -> how many
    photos (of groups, where there are groups) would show so small a difference with that chance.
    """

    variant: str
    percent: float
    percent_against: float
    difference: float
    lo: float
    hi: float
    p_holm: float
    smallest: float = math.nan
    needed: dict[int, int] = field(default_factory=dict)

    @property
    def shown(self) -> bool:
        return self.p_holm < ALPHA


@dataclass(frozen=True)
class Asked:
    """One way in which a model was asked, and what came out for every input.

    n: photos judged. groups: how many groups they fall into, None where every photo counts as independent. learnt_from:
    None without further training, a number of photos a species (K), or HALF; what was learnt from had its background
    removed, or left, as what was asked about. comparisons: how many the p-values are corrected for, these among them.
    """

    contrasts: tuple[Contrast, ...]
    n: int
    comparisons: int
    groups: int | None = None
    learnt_from: int | str | None = None


@dataclass(frozen=True)
class Sign:
    """The difference (points) of the verdict's input with one cutter and one namer of the run."""

    cutter: str
    namer: str
    difference: float


@dataclass(frozen=True)
class Run:
    """What a verdict needs to know of a run.

    without and trained: at least one; the first that there is gives the verdict's effect. drawn: the fish are drawn by
    fishlib. signs: of every cutter and namer in the run. seen: "may" where the namer's training may have had some of
    these photos, "had" where it had. unchecked: what nobody looked at, such as "the cut-outs" or "the species names".
    mismatched: the worst input of heads that learnt from originals alone, and were asked about what they never saw.
    apart: photos of a group with one that was learnt from were not judged. background: what of the accuracy is
    background, and fusion: whether two inputs together gain, a sentence each; "" where nobody asked.
    """

    cutter: str
    namer: str
    without: Asked | None = None
    trained: Asked | None = None
    drawn: bool = False
    signs: tuple[Sign, ...] = ()
    seen: str = ""
    unchecked: tuple[str, ...] = ()
    mismatched: Contrast | None = None
    apart: bool = False
    background: str = ""
    fusion: str = ""


@dataclass(frozen=True)
class Verdict:
    """An answer in two sentences, the effect it tells of (points) with its interval, and how many photos were judged.

    kind: HELPS, COSTS, MIXED, NONE, TOO_FEW, TOO_FEW_GROUPS or CHOICE. variant: the input that the effect is of.
    interval: None where there is none. rests_on and would_change: a sentence each.
    """

    question: str
    kind: str
    answer: str
    variant: str
    effect: float
    interval: tuple[float, float] | None
    n: int
    rests_on: tuple[str, ...]
    would_change: tuple[str, ...]


def asked(
    frame: pd.DataFrame, learnt_from: int | str | None = None, draws: int | None = None, comparisons: int | None = None
) -> Asked:
    """Asked of contrasts (rows of scores.contrasts.COLUMNS), with what their photos could have shown.

    draws: how many draws a two-way interval has, None for one answer a photo. comparisons: how many p_holm is corrected
    for, where these are not all of them (those of one K, say).
    """
    comparisons = comparisons or len(frame)
    alpha = ALPHA / comparisons  # what Holm asks of the smallest p of a family
    n = int(frame["n"].iloc[0])
    groups = int(frame["n_groups"].iloc[0]) if frame["n_groups"].notna().all() else None
    contrasts = []
    for row in frame.to_dict("records"):
        if groups is None and draws is None:
            discordance = (row["only_against"] + row["only_variant"]) / n
            smallest = power.smallest_difference(n, discordance, alpha)
            needed = {points: power.photos_for(points, discordance, alpha) for points in power.POINTS}
        else:
            smallest = power.smallest_by_interval(row["lo"], row["hi"], draws, alpha)
            needed = _needed_by_interval(smallest, groups or n)
        names = ["percent", "percent_against", "difference", "lo", "hi", "p_holm"]
        numbers = {name: float(row[name]) for name in names}
        contrasts.append(Contrast(row["variant"], **numbers, smallest=smallest, needed=needed))
    return Asked(tuple(contrasts), n, comparisons, groups, learnt_from)


def _needed_by_interval(smallest: float, at_hand: int) -> dict[int, int]:
    if math.isnan(smallest):
        return {}
    return {points: math.ceil(at_hand * power.times_as_many(points, smallest)) for points in power.POINTS}


def verdict(run: Run) -> Verdict:
    """The answer of a run. ValueError where the run asked nothing."""
    ways = [way for way in (run.without, run.trained) if way is not None and way.contrasts]
    if not ways:
        raise ValueError("A verdict needs answers without further training, or with it.")
    first = ways[0]
    told = headline(first)
    sentences = [f"{words.capital(_finding(first, run.drawn))}{_doubts(run, first)}."]
    if len(ways) > 1:
        sentences.append(f"{words.capital(_finding(ways[1], run.drawn))}.")
    else:
        sentences.append(_weight(first, run.drawn))
    return Verdict(
        question=QUESTION,
        kind=kind(first),
        answer=" ".join(sentences),
        variant=told.variant,
        effect=told.difference,
        interval=None if math.isnan(told.lo) else (told.lo, told.hi),
        n=first.n,
        rests_on=tuple(_rests_on(run, ways)),
        would_change=tuple(_would_change(run, first)),
    )


def text(given: Verdict) -> str:
    """A verdict as plain text, the one template of it: question, answer, what it rests on, what would change it."""
    lines = [given.question, "", given.answer]
    for title, sentences in (("It rests on:", given.rests_on), ("What would change it:", given.would_change)):
        if sentences:
            lines += ["", title, *(f"- {sentence}" for sentence in sentences)]
    return "\n".join([*lines, ""])


def kind(way: Asked) -> str:
    """HELPS where an input is shown to be better and none to be worse, COSTS the other way round, MIXED for both; else
    NONE, unless the groups or photos are TOO_FEW_GROUPS or TOO_FEW to speak of it."""
    if way.groups is not None and way.groups < FEWEST_GROUPS:
        return TOO_FEW_GROUPS
    better = any(one.shown and one.difference > 0 for one in way.contrasts)
    worse = any(one.shown and one.difference < 0 for one in way.contrasts)
    if better and worse:
        return MIXED
    if better or worse:
        return HELPS if better else COSTS
    smallest = headline(way).smallest
    return TOO_FEW if math.isnan(smallest) or smallest > TOO_COARSE else NONE


def headline(way: Asked) -> Contrast:
    """The contrast an answer tells of: the largest of those that are shown, else the largest of all."""
    shown = [one for one in way.contrasts if one.shown]
    return max(shown or way.contrasts, key=lambda one: abs(one.difference))


def _setting(way: Asked) -> str:
    if way.learnt_from is None:
        return "without further training"
    if way.learnt_from == HALF:
        return "with half of the photos of each species to learn from"
    return f"with {words.counted(way.learnt_from, 'photo')} of each species to learn from"


def _finding(way: Asked, drawn: bool) -> str:
    """What came out of one way of asking: a sentence without its capital and full stop."""
    told = headline(way)
    variant = LABELS[told.variant]
    photos = words.things(way.n, drawn, way.groups)
    numbers = f"({words.points(told.difference)} points, {words.interval(told.lo, told.hi)})"
    right = f"right with {variant}, {told.percent_against:.1f} % with the originals {numbers}"
    setting = _setting(way)
    found = kind(way)
    if found == HELPS:
        return f"{setting}, removing the background helped: the model named {told.percent:.1f} % of {photos} {right}"
    if found == COSTS:
        return f"{setting}, removing the background did harm: the model named {told.percent:.1f} % of {photos} {right}"
    if found == MIXED:
        return f"{setting}, it depends on how the background is removed: of {photos} the model named {_both_ways(way)}"
    if found == TOO_FEW_GROUPS:
        photos = words.things(way.n, drawn)
        few = f"{words.counted(way.groups, 'group')} of photos are too few to tell an effect from luck"
        seen = f"of these {photos} the model named {words.more(told.difference)} right with {variant}"
        return f"{setting}, it cannot be said: {few}, though {seen}"
    if found == TOO_FEW:
        return f"{setting}, {photos} are too few to tell: the model named {told.percent:.1f} % {right}"
    size = f"{words.points(told.difference)} points with {variant} ({words.interval(told.lo, told.hi)})"
    return f"{setting}, {photos} show no difference: the largest, {size}, can be luck{_of_many(way, told)}"


def _both_ways(way: Asked) -> str:
    shown = [one for one in way.contrasts if one.shown]
    best = max(shown, key=lambda one: one.difference)
    worst = min(shown, key=lambda one: one.difference)
    parts = []
    for one in (best, worst):
        size = words.more(one.difference)
        parts.append(f"{size} right with {LABELS[one.variant]} ({words.interval(one.lo, one.hi)})")
    return words.listed(parts)


def _of_many(way: Asked, told: Contrast) -> str:
    """Why what is told can be luck although its own interval leaves 0 out."""
    if way.comparisons == 1 or math.isnan(told.lo) or told.lo <= 0 <= told.hi:
        return ""
    return f" among {way.comparisons} comparisons"


def _doubts(run: Run, first: Asked) -> str:
    """What a reader must know before believing the first sentence. Where no difference is shown no sign is."""
    doubts = []
    if run.seen == "had":
        doubts.append("the model was trained on some of these very photos, so that this is no test of it")
    elif run.seen:
        doubts.append("the model may have seen some of these photos in its training")
    if kind(first) in (HELPS, COSTS) and _signs_differ(run.signs):
        doubts.append("the sign is not the same with every cutter and namer")
    return f"; but {', and '.join(doubts)}" if doubts else ""


def _signs_differ(signs: tuple[Sign, ...]) -> bool:
    return len({sign.difference > 0 for sign in signs if sign.difference}) > 1


def _weight(way: Asked, drawn: bool) -> str:
    """The second sentence where there is one way of asking: how much the first one weighs."""
    told = headline(way)
    found = kind(way)
    if found in (HELPS, COSTS, MIXED):
        p_value = told.p_holm
        what = "a difference as large as this"
        if found == MIXED:
            p_value = max(one.p_holm for one in way.contrasts if one.shown)
            what = "differences as large as these"
        rarely = words.how_rarely(p_value)
        return f"If removing the background did nothing, {what} would still come up by luck {rarely} such studies."
    if found == TOO_FEW_GROUPS:
        return _more_groups()
    if math.isnan(told.smallest):
        return f"With so few {_unit(way, drawn)} no difference, however large, would show reliably."
    shown = _could_have_shown(told)
    if found == TOO_FEW:
        shown = f"Only {shown[0].lower()}{shown[1:]}"
    needs = _needs(way)
    if not needs:
        return f"{shown}."
    points, number = needs[0]
    return f"{shown}; {words.counted(points, 'point')} would take about {number} {_unit(way, drawn)}."


def _could_have_shown(told: Contrast) -> str:
    return f"A true difference of {told.smallest:.1f} points would have shown with 80 % chance"


def _more_groups() -> str:
    return f"From {FEWEST_GROUPS} groups on (trips, observers or cameras) an interval can be given."


def _unit(way: Asked, drawn: bool) -> str:
    if way.groups is not None:
        return "groups"
    return "drawn fish" if drawn else "photos"


def _needs(way: Asked) -> list[tuple[int, str]]:
    """(points, about how many photos or groups show so small a difference) of what these do not show, largest first."""
    told = headline(way)
    smaller = sorted((points for points in told.needed if points < told.smallest), reverse=True)
    return [(points, words.roughly(told.needed[points])) for points in smaller]


def _rests_on(run: Run, ways: list[Asked]) -> list[str]:
    sentences = [_inputs(way) for way in ways]
    sentences.append(f"The fish were cut out by {run.cutter} and named by {run.namer}.")
    if len(run.signs) > 1:
        sentences.append(_signs(run.signs))
    sentences.append(_independence(ways[0], run.drawn))
    if run.apart and any(way.learnt_from is not None for way in ways):
        sentences.append("What shares a group with a photo that a model learnt from was not judged by it.")
    told = headline(ways[0])
    if not math.isnan(told.smallest):
        sentences.append(f"{_could_have_shown(told)}.")
    if run.mismatched is not None:
        lost = run.mismatched
        change = f"{'loses' if lost.difference < 0 else 'gains'} {abs(lost.difference):.1f} points"
        asked_about = f"A model that learnt from originals alone {change} when it is asked about {LABELS[lost.variant]}"
        sentences.append(f"{asked_about}; that tells what it never saw, not what a background is worth.")
    sentences += [sentence for sentence in (run.background, run.fusion) if sentence]
    if run.drawn:
        sentences.append("The fish are drawn: this shows that the machinery works, and nothing about real fish.")
    if run.unchecked:
        sentences.append(f"Nobody has checked {words.listed(run.unchecked)} by eye.")
    return sentences


def _inputs(way: Asked) -> str:
    """Every input's difference, and whether it is shown."""
    parts = []
    for one in way.contrasts:
        luck = ", more than luck" if one.shown and kind(way) != TOO_FEW_GROUPS else ""
        name = WHAT_IT_DOES.get(one.variant, LABELS.get(one.variant, one.variant))
        parts.append(f"{name} {words.points(one.difference)}{luck}")
    corrected = ""
    if way.comparisons > 1 and kind(way) != TOO_FEW_GROUPS:
        corrected = f"; luck is judged with a correction for {way.comparisons} comparisons"
    return f"Points gained over the originals {_setting(way)}: {'; '.join(parts)}{corrected}."


def _signs(signs: tuple[Sign, ...]) -> str:
    by_namer: dict[str, list[str]] = {}
    for sign in signs:
        by_namer.setdefault(sign.namer, []).append(f"{words.points(sign.difference)} with {sign.cutter}")
    told = "; ".join(f"named by {namer}, {words.listed(differences)}" for namer, differences in by_namer.items())
    same = "not the same" if _signs_differ(signs) else "the same"
    return f"The sign is {same} with every cutter and namer. In points: {told}."


def _independence(way: Asked, drawn: bool) -> str:
    if way.groups is None:
        return f"Each of the {words.things(way.n, drawn)} counts as independent evidence."
    photos = words.things(way.n, drawn, way.groups)
    return f"Of the {photos} a group, not a photo, counts as one piece of evidence."


def _would_change(run: Run, first: Asked) -> list[str]:
    sentences = []
    if kind(first) == TOO_FEW_GROUPS:
        sentences.append(f"Photos from more groups. {_more_groups()}")
    needs = [f"about {number} to show {words.counted(points, 'point')}" for points, number in _needs(first)]
    if needs:
        sentences.append(f"More {_unit(first, run.drawn)}: {words.listed(needs)}.")
    if run.drawn:
        sentences.append("Real photos: only they can answer the question for real fish.")
    elif first.groups is None and not run.apart:
        trips = "where several photos come from one trip, observer or camera, the interval is too narrow"
        sentences.append(f"Groups of photos (groups.csv): {trips}.")
    if run.seen:
        sentences.append("Photos that the model cannot have seen, or a model whose training photos are known.")
    if run.unchecked:
        sentences.append(f"A person's look at {words.listed(run.unchecked)}.")
    if len({sign.cutter for sign in run.signs}) < 2:
        sentences.append("A second way of cutting out: what one loses, fins above all, another may keep.")
    return sentences


def choice(shots: int, inputs: pd.DataFrame, n: int, drawn: bool = False) -> Verdict:
    """Which inputs to learn from with `shots` photos a species: all that cannot be told from the best, not the best of
    many on its own photos.

    inputs: as scores.contrasts.against_best, the simplest input first. n: photos judged. effect and interval are of the
    simplest of those that are left, against the best.
    """
    rows = inputs.to_dict("records")
    [best] = [row for row in rows if row["best"]]
    worse = [row for row in rows if row["p_holm"] < ALPHA]
    left = [row for row in rows if row not in worse]
    simplest = left[0]
    alone = simplest is best
    return Verdict(
        question=f"Which pictures should a model learn from, with {words.counted(shots, 'photo')} of each species?",
        kind=CHOICE,
        answer=f"{_left(left, words.things(n, drawn))} {_lost(worse, best)}",
        variant=simplest["variant"],
        effect=0.0 if alone else -simplest["difference"],
        interval=None if alone or math.isnan(simplest["lo"]) else (-simplest["hi"], -simplest["lo"]),
        n=n,
        rests_on=(
            "In each draw every input was learnt from the same photos and asked about the same others.",
            "All pairs of inputs were compared, and luck is judged with a correction for their number.",
        ),
        would_change=("More photos to ask about, more draws, or other photos to learn from.",),
    )


def _left(left: list[dict], photos: str) -> str:
    names = words.listed([LABELS[row["variant"]] for row in left])
    percents = words.listed([f"{row['percent']:.1f}" for row in left])
    if len(left) == 1:
        return f"{names}: the model named {percents} % of {photos} right with it, and fewer with every other input."
    simplest = LABELS[left[0]["variant"]]
    return f"{names} cannot be told apart by {photos} ({percents} % right); the simplest of them is {simplest}."


def _lost(worse: list[dict], best: dict) -> str:
    if not worse:
        return "No input is worse than the best by more than luck."
    parts = []
    for row in worse:
        size = f"{row['difference']:.1f} points ({words.interval(row['lo'], row['hi'])})"
        parts.append(f"{LABELS[row['variant']]} by {size}")
    return f"Worse than {LABELS[best['variant']]}, the best here: {words.listed(parts)}."
