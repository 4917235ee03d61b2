"""Which photo went wrong how: one table joined by photo_id from what the stages left in a run folder."""

import functools
from pathlib import Path

import pandas as pd

from fishlib.photos import composite
from fishlib.photos.composite import MASK, ORIGINAL
from fishlib.scores import evaluation
from fishlib.study import Study

SORTS = {  # what stands first -> column of `table`, ascending
    "confidence, highest first": ("confidence", False),
    "confidence, lowest first": ("confidence", True),
    "IoU, lowest first": ("iou", True),
    "IoU, highest first": ("iou", False),
}
NUMBERS = ("confidence", "correct", "counted", "iou", "precision", "recall", "fin_recall", "well_cut", "score", "area")
NUMBERS += ("x0", "y0", "x1", "y1")


def frame(study: Study, name: str, *columns: str) -> pd.DataFrame:
    """A CSV of the run folder, not to be changed (it is kept in memory until the file changes); without rows and
    with `columns` where its stage has not run. Names are text: a species called NA or 007 stays so."""
    path = study.out / name
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else pd.DataFrame(columns=list(columns))


@functools.lru_cache(64)
def _read(path: Path, changed: int) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    numbers = [c for c in NUMBERS if c in table]
    table[numbers] = table[numbers].apply(pd.to_numeric)
    return table


def index(study: Study, method: str) -> pd.DataFrame:
    """The method's rows of segments/<method>/index.csv, by photo_id."""
    rows = frame(study, f"segments/{method}/index.csv", "photo_id", "species", "status", "reason")
    return rows.set_index("photo_id", drop=False)


def methods(study: Study) -> list[str]:
    """The methods that left segments, first the one whose masks the classifier saw; truth only if it is that one."""
    found = {p.parent.name for p in (study.out / "segments").glob("*/index.csv")} - {"truth"} | {study.method}
    return sorted(found, key=lambda m: (m != study.method, m))


def variants(study: Study) -> list[str]:
    """The variants in predictions.csv, in its order."""
    return frame(study, "predictions.csv", "variant").variant.unique().tolist()


def label(variant: str) -> str:
    """crop_mask_d3 -> Crop & Mask, dilated ×3."""
    if variant in composite.LABELS or not variant.startswith("crop_mask_"):
        return composite.LABELS.get(variant, variant)
    how = variant.removeprefix("crop_mask_")
    return f"{composite.LABELS['crop_mask']}, {f'dilated ×{how[1:]}' if how[1:].isdigit() else how}"


def table(study: Study, method: str | None = None, variant: str = ORIGINAL.name) -> pd.DataFrame:
    """One row a counted photo: photo_id, species, status, reason, iou and kind (the method's mask against the truth),
    predicted, confidence and correct (the variant), before and after (original and masked right? 1/0; a variant
    without Mask is compared with "mask"). NaN or "" where the stages left nothing: some photos trained a head.
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
    for column, other in (("before", ORIGINAL.name), ("after", variant if "mask" in variant else MASK.name)):
        rows[column] = right.reindex(pd.MultiIndex.from_product([[other], rows.photo_id])).to_numpy(float)
    return rows.fillna({"kind": "", "predicted": ""}).astype({"iou": float, "confidence": float, "correct": float})


def kinds(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Kind of error -> which rows of `table` it is, bool. A mask's kinds are evaluation.failure_kind's."""
    found = {"wrong species": rows.correct == 0, "missed fish": (rows.kind == "missed") | (rows.status != "ok")}
    found |= {kind: rows.kind == kind for kind in ("extra region", "part only", "wrong region")}
    failed = pd.DataFrame(found).any(axis=1)
    found["fin lost"] = rows.kind == "fin lost"
    found["right → wrong by masking"] = (rows.before == 1) & (rows.after == 0)
    found["wrong → right by masking"] = (rows.before == 0) & (rows.after == 1)
    return {"any failure": failed, **found, "right species": rows.correct == 1, "all": rows.photo_id.notna()}


def pick(rows: pd.DataFrame, kind="all", true: str | None = None, named: str | None = None, sort="") -> pd.DataFrame:
    """The rows of `table` of one kind, true species and answer (None: any), in an order of SORTS or by photo_id."""
    wanted = kinds(rows)[kind] & (rows.species.eq(true) | (true is None)) & (rows.predicted.eq(named) | (named is None))
    column, ascending = SORTS.get(sort, ("photo_id", True))
    return rows[wanted].sort_values([column, "photo_id"], ascending=[ascending, True], kind="stable")
