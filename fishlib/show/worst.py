"""Which species is named worst in any of the four inputs, whom it is taken for, and what is to blame.

In: the answers of predictions.csv and which cut-outs are good. Out: one Worst a species, the worst first; the report's
first page and notebook 03 show them.
"""

from dataclasses import dataclass

import pandas as pd

from fishlib.photos import species
from fishlib.photos.composite import BASIC, LABELS, ORIGINAL
from fishlib.photos.composite import MASK as MASK_INPUT
from fishlib.scores import evaluation

FEWEST = 5  # photos asked, ours: fewer say nothing of a species, where others have as many
LOOK, BACKGROUND, FRAME = "look", "background", "frame"
MASK, REMOVAL, UNJUDGED = "mask", "removal", "not judged"
BLAMED = {  # what is to blame for most of the wrong answers -> how that is said
    LOOK: "Neither the mask nor the background is to blame for most of them",
    BACKGROUND: "The background is to blame for most of them",
    FRAME: "Cutting to the fish's box is to blame for most of them, neither mask nor background",
    MASK: "The mask is to blame for most of them",
    REMOVAL: "Painting the background over is to blame for most of them, not the mask",
    UNJUDGED: "Cutting out is to blame for most of them; whether the mask was bad, nobody has judged",
}
SEEN = {  # what is to blame -> what was seen on a photo
    LOOK: "wrong in all four inputs",
    BACKGROUND: "wrong as taken and right with less background",
    FRAME: "right in the whole frame, with and without background, and wrong once cut to the box",
    MASK: "right as taken, wrong with the background painted over, and badly cut out",
    REMOVAL: "right as taken and wrong with the background painted over, though well cut out",
    UNJUDGED: "right as taken and wrong with the background painted over, the cut-out not judged",
}


@dataclass(frozen=True)
class Worst:
    """One species. variant: the input in which fewest of its n photos are named right.

    right: variant -> photos named right, of every input. taken_for: species -> photos, in the worst input, most first.
    causes: LOOK and so on -> photos, of those that are wrong in any input, most first. photos: the ids of those that
    are wrong in the worst input, the surest answer first.
    """

    species: str
    variant: str
    n: int
    right: dict[str, int]
    taken_for: dict[str, int]
    causes: dict[str, int]
    photos: tuple[str, ...]

    @property
    def recall(self) -> float:
        """Percent right in the worst input."""
        return 100 * self.right[self.variant] / self.n

    @property
    def spread(self) -> float:
        """Points between the input that suits the species best and the one that suits it worst."""
        return 100 * (max(self.right.values()) - min(self.right.values())) / self.n

    @property
    def best(self) -> str:
        """The input in which most of its photos are named right; the simplest of them."""
        return max(self.right, key=self.right.get)


def ranked(answers: pd.DataFrame, well_cut: pd.Series) -> list[Worst]:
    """Every species that was asked about, the lowest recall in any input first; of equals the one with more photos.

    answers: predictions.csv (photo_id, species, variant, predicted, confidence, correct; counted rows count). well_cut:
    photo_id -> 1, 0 or NaN where nobody judged. Species of fewer than FEWEST photos come last.
    """
    asked = evaluation.counted(answers)
    asked = asked[asked["variant"].isin(BASIC)]
    found = [_of_species(name, rows, well_cut) for name, rows in asked.groupby("species") if name]
    order = {name: place for place, name in enumerate(species.ordered(one.species for one in found))}
    return sorted(found, key=lambda one: (one.n < FEWEST, one.recall, -one.n, order[one.species]))


def said(one: Worst) -> str:
    """How it is named in its worst input, with the interval of so few photos."""
    right = one.right[one.variant]
    lo, hi = evaluation.wilson(right, one.n)
    return f"{right} of {one.n} right with {LABELS[one.variant]} (95 % interval {lo:.0f} to {hi:.0f} %)"


def why(one: Worst) -> str:
    """Whether the mask or the background is to blame, in a sentence with the photos it rests on."""
    wrong = sum(one.causes.values())
    if not wrong:
        return "No photo of it is named wrong."
    first, *others = one.causes
    rest = "".join(f"; {one.causes[cause]} {SEEN[cause]}" for cause in others)
    blamed = BLAMED[first]
    if 2 * one.causes[first] <= wrong:
        blamed = blamed.replace("most", "the largest part")
    of = f"Of {wrong} photos named wrong in any input"
    return f"{blamed}. {of}, {one.causes[first]} are {SEEN[first]}{rest}."


def apart(found: list[Worst]) -> Worst | None:
    """The species on which the inputs part most; None without any, or where they agree on all."""
    known = [one for one in found if one.n >= FEWEST] or found
    most = max(known, key=lambda one: one.spread, default=None)
    return most if most is not None and most.spread > 0 else None


def _of_species(name: str, rows: pd.DataFrame, well_cut: pd.Series) -> Worst:
    wide = rows.pivot(index="photo_id", columns="variant", values="correct").dropna()
    variants = [variant for variant in BASIC if variant in wide]
    right = {variant: int(wide[variant].sum()) for variant in variants}
    variant = min(right, key=right.get)

    wrong = rows[(rows["variant"] == variant) & (rows["correct"] == 0)]
    wrong = wrong.sort_values(["confidence", "photo_id"], ascending=[False, True], kind="stable")
    causes = pd.Series(
        [_cause(row, well_cut.get(photo_id)) for photo_id, row in wide[variants].iterrows()], dtype=object
    )
    return Worst(
        species=name,
        variant=variant,
        n=len(wide),
        right=right,
        taken_for=wrong["predicted"].value_counts().to_dict(),
        causes=pd.Series(causes, dtype=object).dropna().value_counts().to_dict(),
        photos=tuple(wrong["photo_id"]),
    )


def _cause(correct: pd.Series, well_cut: float | None) -> str | None:
    """What is to blame for one photo; None where every input names it right. correct: variant -> 1 or 0."""
    if correct.all():
        return None
    if not correct.any():
        return LOOK
    if not correct.get(ORIGINAL.name, 0):
        return BACKGROUND
    if correct.get(MASK_INPUT.name, 1):
        return FRAME
    if well_cut is None or pd.isna(well_cut):
        return UNJUDGED
    return REMOVAL if well_cut else MASK
