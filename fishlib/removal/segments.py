"""The segments stage: one method over all photos, resumable, one row and one mask file a photo."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fishlib import cache
from fishlib.errors import NotRun
from fishlib.files import writing
from fishlib.files.frames import write_frame
from fishlib.photos import decode, masks
from fishlib.removal import reviews, segmenters
from fishlib.removal.segmenters import OK, Segmentation
from fishlib.scores import evaluation
from fishlib.study import Study, keep_notes, stage

COLUMNS = ["photo_id", "species", "status", "reason", "x0", "y0", "x1", "y1", "score", "area", "mask_file"]
NUMBERS = ["x0", "y0", "x1", "y1", "score", "area"]
SCORES = ["photo_id", "species", "method", "status", "iou", "precision", "recall", "fin_recall", "kind", "well_cut"]


def run(study: Study, method: str, manifest: pd.DataFrame) -> pd.DataFrame:
    """Segment every readable, not excluded photo; the frame has a row for each row of the manifest.

    Writes segments/<method>/: index.csv, masks as PNG in the species tree, why/ (what the method kept beside
    a mask: candidates, scores, the choice). Finished photos are found in the cache, also after a kill; a folder
    that holds this very answer already is read, not written again. Raises NotRun when the method cannot run here.
    """
    segmenter = _build(study, method, manifest)
    folder = study.out / "segments" / method
    photos = manifest[manifest.status == "ok"]
    paths = {row.photo_id: _entry(study, segmenter, row) for row in photos.itertuples()}
    listed = manifest[["photo_id", "species", "status", "reason"]].to_dict("list")
    made_of = cache.key(entries=[p.stem for p in paths.values()], code=cache.code_version(__name__), **listed)
    with stage(study, f"segments-{method}") as record:
        if (seconds := _written(folder, made_of)) is not None:
            record |= {"reused": len(photos), "seconds_a_photo": seconds}
            return read_index(folder / "index.csv")
        (folder / "made_of.json").unlink(missing_ok=True)  # what lies here is of another answer until all is written
        found, block = {}, study.profile.block
        with tqdm(total=len(photos), desc=method, leave=False) as bar:
            for start in range(0, len(photos), block):
                rows = list(photos.iloc[start : start + block].itertuples())
                _compute(study, segmenter, rows, paths, record)
                for row in rows:
                    found[row.photo_id] = _write(folder, row, cache.load(paths[row.photo_id]))
                    bar.update()
        # the median: the first photo waits for the packages and checkpoints
        record["seconds_a_photo"] = round(float(np.median([r["seconds"] for r in found.values()] or [0])), 4)
        rows = [{**_blank(row), **found.get(row.photo_id, {})} for row in manifest.itertuples()]
        write_frame(pd.DataFrame(rows, columns=COLUMNS), folder / "index.csv")
        kept = {"key": made_of, "files": _hashes(folder), "seconds_a_photo": record["seconds_a_photo"]}
        writing.write_text(folder / "made_of.json", json.dumps(kept, ensure_ascii=False))
    return read_index(folder / "index.csv")


def read_index(path: Path) -> pd.DataFrame:
    """The frame of a method that has run: COLUMNS; text that is not there is empty, a NUMBER is NaN."""
    kinds = {column: float if column in NUMBERS else str for column in COLUMNS}
    return pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values={c: [""] for c in NUMBERS})[COLUMNS]


def seconds_a_photo(study: Study, methods) -> pd.Series:
    """Median seconds each method took for a photo, on the machine that cut it."""
    kept = {m: json.loads((study.out / "segments" / m / "made_of.json").read_text(encoding="utf-8")) for m in methods}
    return pd.Series({m: facts["seconds_a_photo"] for m, facts in kept.items()}, dtype=float)


def compare(study: Study, manifest: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """All methods of the profile: (method -> frame, method -> why it did not run), the paper's order kept."""
    frames, not_run = {}, {}
    for method in dict.fromkeys([*study.profile.compare, study.method]):
        try:
            frames[method] = run(study, method, manifest)
        except NotRun as error:
            not_run[method] = str(error)
    keep_notes(study, "segments", [f"{method} was not run: {reason}" for method, reason in not_run.items()])
    return frames, not_run


def read_mask(study: Study, method: str, row) -> np.ndarray | None:
    """bool (H, W) of the original photo's size, or None when the row of the frame names no mask."""
    if not isinstance(row.mask_file, str) or not row.mask_file:
        return None
    return masks.read_mask(study.out / "segments" / method / row.mask_file)


def reader(study: Study, method: str):
    """photo_id -> mask or None, for functions that want masks but know no run folder."""
    index = read_index(study.out / "segments" / method / "index.csv").set_index("photo_id")
    return lambda photo_id: read_mask(study, method, index.loc[photo_id])


def why(study: Study, method: str, photo_id: str) -> dict:
    """What the method kept beside its mask of a photo (candidates, scores, the choice); empty when nothing."""
    path = study.out / "segments" / method / "why" / Path(photo_id).with_suffix(".json")
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def candidates(study: Study, method: str, photo_id: str) -> list[np.ndarray]:
    """The masks the method chose from, each bool (h, w), the whole photo on a grid of the method's; empty when none."""
    return [masks.from_rle(c["rle"]) for c in why(study, method, photo_id).get("candidates", [])]


def box(row) -> np.ndarray | None:
    """float32 (4,) XYXY in pixels of the original photo, or None."""
    values = np.array([row.x0, row.y0, row.x1, row.y1], np.float32)
    return None if np.isnan(values).any() else values


def score(study: Study, frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every method against the truth: photo_id, species, method, status, iou, precision, recall, fin_recall,
    kind of failure and well_cut (1/0; without a true mask by the verdicts of reviews.csv, NaN where these do not
    decide). Also writes scores.csv."""
    truth = frames.get("truth")
    rows = []
    for method, frame in frames.items():
        if method == "truth":
            continue
        true_rows = truth.set_index("photo_id") if truth is not None else None
        for row in frame.itertuples():
            line = {"photo_id": row.photo_id, "species": row.species, "method": method, "status": row.status}
            true_mask = read_mask(study, "truth", true_rows.loc[row.photo_id]) if true_rows is not None else None
            if row.status in evaluation.COUNTED and true_mask is not None:
                mask = read_mask(study, method, row)
                mask = np.zeros_like(true_mask) if mask is None else mask
                scores = evaluation.mask_scores(mask, true_mask, _fins(study, row.photo_id))
                kind = evaluation.failure_kind(scores, study.profile.good_iou)
                line |= scores | {"kind": kind, "well_cut": int(scores["iou"] >= study.profile.good_iou)}
            rows.append(line)
    frame = reviews.apply(pd.DataFrame(rows, columns=SCORES), reviews.read(study.out / reviews.FILE))
    write_frame(frame, study.out / "scores.csv")
    return frame


def _fins(study: Study, photo_id: str) -> np.ndarray | None:
    path = study.fins / Path(photo_id).with_suffix(".png") if study.fins else None
    return masks.read_mask(path) if path is not None and path.is_file() else None


def _build(study: Study, method: str, manifest: pd.DataFrame) -> segmenters.Segmenter:
    params = dict(study.profile.segmenters.get(method, {}))
    root = study.masks if method == "truth" else params.pop("masks", None)
    if root is not None:  # masks made by another program stand in for any method
        sizes = {r.photo_id: (int(r.height), int(r.width)) for r in manifest[manifest.status == "ok"].itertuples()}
        return segmenters.build("imported", {"root": root, "sizes": sizes})
    return segmenters.build(method, params, study.device, study.offline)


def _entry(study: Study, segmenter, row) -> Path:
    """Where the artifact of a photo lies."""
    own = segmenter.key_for(row.photo_id) if hasattr(segmenter, "key_for") else {}
    key = cache.key(photo=row.sha256, side=study.profile.working_side, segmenter=segmenter.key, own=own)
    return cache.entry(study.cache, "segments", key)


def _written(folder: Path, made_of: str) -> float | None:
    """Seconds a photo of the answer that lies in the folder; None where it is another or a file was touched."""
    try:
        kept = json.loads((folder / "made_of.json").read_text(encoding="utf-8"))
        same = kept["key"] == made_of and kept["files"] == _hashes(folder)
        return float(kept["seconds_a_photo"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hashes(folder: Path) -> dict[str, str]:
    """Hash of every file of an answer: its index, masks and what was kept beside them."""
    files = (f for f in folder.rglob("*") if f.is_file() and f.name != "made_of.json")
    return {f.relative_to(folder).as_posix(): cache.file_hash(f) for f in files}


def _compute(study: Study, segmenter, rows: list, paths: dict[str, Path], record: dict) -> None:
    """Put the absent artifacts of a block's photos into the cache."""
    absent = [row for row in rows if cache.load(paths[row.photo_id]) is None]
    record["reused"] += len(rows) - len(absent)

    def load(row) -> np.ndarray:
        return decode.working(decode.decode(study.photos / row.path), study.profile.working_side)

    for row, image in decode.ahead(absent, load):
        start = time.perf_counter()
        [found] = segmenter.segment([image], [row.photo_id])
        _keep(paths[row.photo_id], found, image.shape[:2], row, time.perf_counter() - start)
        record["computed"] += 1


def _keep(path: Path, found: Segmentation, size: tuple[int, int], row, seconds: float) -> None:
    """Scale box and mask back to the original photo and store them."""
    height, width = int(row.height), int(row.width)
    scale = np.array([width / size[1], height / size[0]] * 2, np.float32)
    box = np.empty(0, np.float32) if found.box is None else np.asarray(found.box, np.float32) * scale
    mask = np.zeros((0, 0), bool) if found.mask is None else masks.resize_mask(found.mask, (height, width))
    facts = {"status": found.status, "reason": found.reason, "score": float(found.score), "detail": found.detail}
    facts |= {"seconds": seconds, "shape": mask.shape}
    cache.save(path, packed=np.packbits(mask), box=box, facts=np.array(json.dumps(facts)))


def _write(folder: Path, row, kept: dict) -> dict:
    """The photo's row; its mask and its details as files."""
    facts = json.loads(str(kept["facts"]))
    height, width = facts["shape"]
    line = {k: facts[k] for k in ("status", "reason", "seconds")}
    line["score"] = facts["score"]
    if kept["box"].size:
        line |= dict(zip(("x0", "y0", "x1", "y1"), kept["box"].tolist(), strict=True))
    name = Path(row.photo_id).with_suffix(".png")
    if facts["status"] == OK and height:
        mask = np.unpackbits(kept["packed"], count=height * width).reshape(height, width).astype(bool)
        masks.write_mask(mask, folder / name)
        line |= {"mask_file": name.as_posix(), "area": float(mask.mean())}
    else:
        (folder / name).unlink(missing_ok=True)  # an earlier run with other settings may have left one
    details = folder / "why" / Path(row.photo_id).with_suffix(".json")
    if facts["detail"]:
        writing.write_text(details, json.dumps(facts["detail"], ensure_ascii=False))
    else:
        details.unlink(missing_ok=True)
    return line


def _blank(row) -> dict:
    """A row for a photo that was not segmented: unreadable or excluded."""
    return {"photo_id": row.photo_id, "species": row.species, "status": row.status, "reason": row.reason}
