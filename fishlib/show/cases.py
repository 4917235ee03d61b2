"""Which photo went wrong how: one table joined by photo_id from what the stages left in a run folder."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from fishlib.beyond import sureness
from fishlib.errors import UserError
from fishlib.files.frames import read_frame
from fishlib.files.reads import looked_for
from fishlib.photos import composite, curation
from fishlib.photos.composite import MASK, ORIGINAL
from fishlib.scores import evaluation
from fishlib.show import tags
from fishlib.study import Study

CHECK_FIRST, TO_CHECK = "check first", "to check by eye"
SORTS = {  # what stands first -> column of `table`, ascending
    "confidence, highest first": ("confidence", False),
    "confidence, lowest first": ("confidence", True),
    "IoU, lowest first": ("iou", True),
    "IoU, highest first": ("iou", False),
    CHECK_FIRST: ("sure", True),
}
NUMBERS = {"confidence", "correct", "counted", "iou", "precision", "recall", "fin_recall", "well_cut", "score", "area"}
NUMBERS |= {"x0", "y0", "x1", "y1", "check"}


def frame(study: Study, name: str, *columns: str) -> pd.DataFrame:
    """A CSV of the run folder, not to be changed (it is kept in memory until the file changes); without rows and
    with `columns` where its stage has not run. Names are text: a species called NA or 007 stays so. UserError where
    the file is damaged."""
    path = study.out / name
    if not looked_for(path).is_file():
        return pd.DataFrame(columns=list(columns))
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(64)
def _read(path: Path, changed: int) -> pd.DataFrame:
    table = read_frame(path)
    try:
        for name in NUMBERS & {*table}:
            table[name] = pd.to_numeric(table[name])
    except ValueError as error:
        raise UserError(f"{path} has no number where {name} should be one ({error}).") from error
    return table


def index(study: Study, method: str) -> pd.DataFrame:
    """The method's rows of segments/<method>/index.csv, by photo_id."""
    rows = frame(study, f"segments/{method}/index.csv", "photo_id", "species", "status", "reason")
    return rows.set_index("photo_id", drop=False)


def methods(study: Study) -> list[str]:
    """The methods that left segments, first the one whose masks the classifier saw; truth only if it is that one."""
    found = {path.parent.name for path in (study.out / "segments").glob("*/index.csv")}
    others = sorted(found - {"truth", study.method})
    return [study.method, *others]


def variants(study: Study) -> list[str]:
    """The variants in predictions.csv, in its order."""
    return frame(study, "predictions.csv", "variant").variant.unique().tolist()


def label(variant: str) -> str:
    """crop_mask_d3 -> Crop & Mask, dilated ×3."""
    if variant in composite.LABELS or not variant.startswith("crop_mask_"):
        return composite.LABELS.get(variant, variant)
    how = variant.removeprefix("crop_mask_")  # a background, or d and how often the mask is dilated
    if how[1:].isdigit():
        how = f"dilated ×{how[1:]}"
    return f"{composite.LABELS['crop_mask']}, {how}"


def table(study: Study, method: str | None = None, variant: str = ORIGINAL.name) -> pd.DataFrame:
    """One row a counted photo: photo_id, species, status, reason, iou and kind (the method's mask against the truth),
    predicted, confidence and correct (the variant), before and after (original and masked right? 1/0; a variant
    without Mask is compared with "mask"), sure and check (see `_sure`), tags (a tuple of those that a person gave).
    NaN or "" where the stages left nothing: some photos trained a head.
    """
    method = method or study.method
    rows = index(study, method).reset_index(drop=True)
    rows = rows.loc[rows.status.isin(evaluation.COUNTED), ["photo_id", "species", "status", "reason"]]

    scores = frame(study, "scores.csv", "photo_id", "method", "iou", "kind")
    rows = rows.merge(scores.loc[scores.method == method, ["photo_id", "iou", "kind"]], "left", "photo_id")

    answers = frame(study, "predictions.csv", "photo_id", "variant", "predicted", "confidence", "correct")
    own = answers.loc[answers.variant == variant, ["photo_id", "predicted", "confidence", "correct"]]
    rows = rows.merge(own, "left", "photo_id")

    right = answers.set_index(["variant", "photo_id"]).correct

    def right_in(other: str) -> np.ndarray:
        return right.reindex(pd.MultiIndex.from_product([[other], rows.photo_id])).to_numpy(float)

    rows["before"] = right_in(ORIGINAL.name)
    rows["after"] = right_in(variant if "mask" in variant else MASK.name)
    rows = rows.merge(_sure(study, variant), "left", "photo_id")
    rows["sure"] = rows["sure"].fillna(rows["confidence"])
    rows = rows.fillna({"kind": "", "predicted": ""})
    given = tags.of_photos(study)
    rows["tags"] = [given.get(curation.plain(photo_id), ()) for photo_id in rows["photo_id"]]
    return rows.astype({"iou": float, "confidence": float, "correct": float, "sure": float, "check": float})


def _sure(study: Study, variant: str) -> pd.DataFrame:
    """photo_id, sure (confidence at the temperature that was fitted) and check (1 where a person must look, so that of
    the rest the promised share is right) as notebook 05 left them; without rows where it did not run.

    That they are missing is not noted as read: an earlier notebook does not run again because 05 has run since.
    """
    if not (study.out / sureness.PHOTOS).is_file():
        return pd.DataFrame(columns=["photo_id", "sure", "check"])
    rows = frame(study, sureness.PHOTOS)
    rows = rows.loc[rows["variant"] == variant, ["photo_id", "confidence", "check"]]
    return rows.rename(columns={"confidence": "sure"})


def kinds(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Kind of error -> which rows of `table` it is, bool. A mask's kinds are evaluation.failure_kind's."""
    failures = {
        "wrong species": rows.correct == 0,
        "missed fish": (rows.kind == "missed") | (rows.status != "ok"),
        "extra region": rows.kind == "extra region",
        "part only": rows.kind == "part only",
        "wrong region": rows.kind == "wrong region",
    }
    return {
        "any failure": pd.DataFrame(failures).any(axis=1),
        **failures,
        "fin lost": rows.kind == "fin lost",
        TO_CHECK: rows.check == 1,
        "right → wrong by masking": (rows.before == 1) & (rows.after == 0),
        "wrong → right by masking": (rows.before == 0) & (rows.after == 1),
        "right species": rows.correct == 1,
        "all": rows.photo_id.notna(),
    }


def tagged(rows: pd.DataFrame, tag: str) -> pd.Series:
    """Which rows of `table` have a tag, bool; tags.UNTAGGED: which have none."""
    has_any = rows["tags"].map(bool).astype(bool)
    if tag == tags.UNTAGGED:
        return ~has_any
    return has_any & pd.Series([tag in given for given in rows["tags"]], index=rows.index, dtype=bool)


def pick(
    rows: pd.DataFrame,
    kind: str = "all",
    true: str | None = None,
    named: str | None = None,
    sort: str = "",
    tag: str | None = None,
    among: list[str] | None = None,
) -> pd.DataFrame:
    """The rows of `table` of one kind, true species, answer and tag (None: any) among these photo_ids (None: all), in
    an order of SORTS or by photo_id."""
    wanted = kinds(rows)[kind]
    if among is not None:
        wanted &= rows.photo_id.isin(among)
    if tag is not None:
        wanted &= tagged(rows, tag)
    if true is not None:
        wanted &= rows.species == true
    if named is not None:
        wanted &= rows.predicted == named
    column, ascending = SORTS.get(sort, ("photo_id", True))
    return rows[wanted].sort_values([column, "photo_id"], ascending=[ascending, True], kind="stable")
