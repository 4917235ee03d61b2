"""The segments stage (notebook 02): one method over all photos, resumable, one row and one mask file a photo."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.errors import NotRun, UserError
from fishlib.files import documents, paths, shards, writing
from fishlib.files.frames import write_frame
from fishlib.files.progress import Bar
from fishlib.photos import decode, masks
from fishlib.removal import segmenters, segments
from fishlib.removal.segmenters import OK, Segmentation, answers
from fishlib.study import Study, keep_notes, stage


class Loaded(NamedTuple):
    """What is known of a photo before the method sees it: one of the three is there."""

    kept: dict | None = None  # the artifact of an earlier run
    image: np.ndarray | None = None  # uint8 (h, w, 3) RGB at the working size
    lost: str = ""  # why there is neither: the photo changed or went after the scan


def compare(study: Study, manifest: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """All methods of the profile: (method -> frame, method -> why it did not run), the paper's order kept.

    A rival that meets a user's mistake (masks that cannot be read, say) has not run, and the others go on; the study's
    own method stops the run.
    """
    frames = {}
    not_run = {}
    for method in dict.fromkeys([*study.profile.compare, study.method]):
        try:
            frames[method] = run(study, method, manifest)
        except UserError as error:
            if method == study.method and not isinstance(error, NotRun):
                raise
            not_run[method] = str(error)
    keep_notes(study, "segments", [f"{method} was not run: {reason}" for method, reason in not_run.items()])
    return frames, not_run


def run(study: Study, method: str, manifest: pd.DataFrame) -> pd.DataFrame:
    """Segment every readable, not excluded photo; the frame has a row for each row of the manifest.

    Writes segments/<method>/: index.csv, masks as PNG in the species tree, why/ (what the method kept beside
    a mask: candidates, scores, the choice). Finished photos are found in the cache, also after a kill; a folder
    that holds this very answer already is read, not written again. A photo that is not the manifest's any more, or
    gone, is a row `unreadable` that says so; nothing is kept for it. Raises NotRun when the method cannot run here, or
    stops or answers with no mask in the middle (see segmenters.answers).
    """
    name = paths.part_of_a_name(method, "The method")
    segmenter = _build(study, method, manifest)
    if hasattr(segmenter, "notes"):  # of masks that were given: which are not used
        keep_notes(study, f"segments-{name}", segmenter.notes)
    folder = paths.own_folder(study.out, f"segments/{name}")
    photos = manifest[manifest.status == "ok"]
    entries = {row.photo_id: _entry(study, segmenter, row) for row in photos.itertuples()}
    made_of = _made_of(manifest, entries)

    with stage(study, f"segments-{name}") as record:
        seconds = _seconds_if_whole(folder, made_of)
        if seconds is not None:
            record["reused"] = len(photos)
            record["seconds_a_photo"] = seconds
            return segments.read_index(folder / segments.INDEX)

        (folder / segments.MADE_OF).unlink(missing_ok=True)  # what lies here is of another answer until all is written
        found = _lines(study, method, segmenter, photos, entries, folder, record)
        lines = dict(Bar(found, name, len(photos), leave=False))
        _write_index(manifest, lines, folder)

        taken = [line["seconds"] for line in lines.values() if "seconds" in line]
        # the median: the first photo waits for the packages and checkpoints
        record["seconds_a_photo"] = round(float(np.median(taken or [0])), 4)
        whole = len(taken) == len(photos)
        _write_made_of(folder, made_of if whole else "", record["seconds_a_photo"])
    return segments.read_index(folder / segments.INDEX)


def fill(study: Study, method: str, manifest: pd.DataFrame, shard: shards.Shard) -> dict[str, int]:
    """Segment a shard's photos into the run's cache, where `run` finds them on any machine; nothing else is written.

    Returns how many photos were `computed`, `reused` (kept already) and `unreadable`. Raises as `run`, and locks.InUse
    where another process works on the same shard.
    """
    segmenter = _build(study, method, manifest)
    photos = manifest[manifest.status == "ok"]
    ours = photos[photos.photo_id.map(lambda photo_id: shards.holds(shard, photo_id)).astype(bool)]
    entries = {row.photo_id: _entry(study, segmenter, row) for row in ours.itertuples()}
    absent = ours[ours.photo_id.map(lambda photo_id: cache.load(entries[photo_id]) is None).astype(bool)]
    counts = {"computed": 0, "reused": len(ours) - len(absent), "unreadable": 0}

    with shards.held(study.out, f"segment-{paths.part_of_a_name(method, 'The method')}", shard):
        looked_at = decode.ahead(list(absent.itertuples()), lambda row: _image(study, row))
        for row, loaded in Bar(looked_at, method, len(absent), leave=False):
            if loaded.lost:
                counts["unreadable"] += 1
                continue
            cache.save(entries[row.photo_id], **_compute(method, segmenter, loaded.image, row))
            counts["computed"] += 1
    return counts


def _build(study: Study, method: str, manifest: pd.DataFrame) -> segmenters.Segmenter:
    params = dict(study.profile.segmenters.get(method, {}))
    root = study.masks if method == "truth" else params.pop("masks", None)
    if root is None:
        return segmenters.build(method, params, study.device, study.offline)

    # masks made by another program stand in for any method; those of photos that were left out belong to a photo, too
    seen = manifest[manifest["height"] > 0]
    sizes = {row.photo_id: (int(row.height), int(row.width)) for row in seen.itertuples()}
    return segmenters.build("imported", {"root": root, "sizes": sizes})


def _entry(study: Study, segmenter: segmenters.Segmenter, row) -> Path:
    """Where the artifact of a photo lies."""
    own = segmenter.key_for(row.photo_id) if hasattr(segmenter, "key_for") else {}
    key = cache.key(photo=row.sha256, side=study.profile.working_side, segmenter=segmenter.key, own=own)
    return cache.entry(study.cache, "segments", key)


def _made_of(manifest: pd.DataFrame, entries: dict[str, Path]) -> str:
    """Key of an answer: the manifest it is about, and every artifact that it is written from."""
    listed = manifest[["photo_id", "species", "status", "reason"]].to_dict("list")
    keys = [path.stem for path in entries.values()]
    return cache.key(entries=keys, code=cache.code_version(__name__), **listed)


def _seconds_if_whole(folder: Path, made_of: str) -> float | None:
    """Seconds a photo of the answer that lies in the folder; None where it is another or a file was touched."""
    try:
        kept = documents.read_object(folder / segments.MADE_OF)
        if kept["key"] != made_of or kept["files"] != _hashes(folder):
            return None
        return float(kept["seconds_a_photo"])
    except (UserError, OSError, ValueError, KeyError, TypeError):
        return None


def _lines(
    study: Study, method: str, segmenter, photos: pd.DataFrame, entries: dict[str, Path], folder: Path, record: dict
) -> Iterator[tuple[str, dict]]:
    """(photo_id, line of the index) of every photo (see _write), its mask and details written; the next photo is read
    while the method works on one."""

    def load(row) -> Loaded:
        kept = cache.load(entries[row.photo_id])
        return Loaded(kept=kept) if kept is not None else _image(study, row)

    for row, loaded in decode.ahead(list(photos.itertuples()), load):
        if loaded.lost:
            _remove(folder, segments.mask_file(row.photo_id), segments.details_file(row.photo_id))
            yield row.photo_id, {"status": "unreadable", "reason": loaded.lost}
            continue

        kept = loaded.kept
        if kept is None:
            kept = _compute(method, segmenter, loaded.image, row)
            cache.save(entries[row.photo_id], **kept)
            record["computed"] += 1
        else:
            record["reused"] += 1
        yield row.photo_id, _write(folder, row.photo_id, kept)


def _compute(method: str, segmenter: segmenters.Segmenter, image: np.ndarray, row) -> dict[str, np.ndarray]:
    """Ask the method about a photo at the working size; what is kept of it (see _artifact)."""
    start = time.perf_counter()
    found = answers.ask(method, segmenter, image, row.photo_id)
    seconds = time.perf_counter() - start
    return _artifact(found, image.shape[:2], row, seconds)


def _image(study: Study, row) -> Loaded:
    """The photo at the working size, if it still is the one that was scanned."""
    try:
        photo = decode.read(paths.inside(study.photos, row.path), row.sha256)
    except UserError as error:
        return Loaded(lost=str(error))
    return Loaded(image=decode.working(photo.pixels, study.profile.working_side))


def _artifact(found: Segmentation, size: tuple[int, int], row, seconds: float) -> dict[str, np.ndarray]:
    """What is kept of a photo, box and mask scaled back to its own size; size: (height, width) they were found at."""
    height, width = int(row.height), int(row.width)
    box = np.empty(0, np.float32)
    if found.box is not None:
        scale = np.array([width / size[1], height / size[0]] * 2, np.float32)
        box = np.asarray(found.box, np.float32) * scale

    mask = np.zeros((0, 0), bool)
    if found.mask is not None:
        mask = masks.resize_mask(found.mask, (height, width))

    facts = {
        "status": found.status,
        "reason": found.reason,
        "score": float(found.score),
        "detail": found.detail,
        "seconds": seconds,
        "shape": mask.shape,
    }
    return {"packed": np.packbits(mask), "box": box, "facts": np.array(json.dumps(facts))}


def _write(folder: Path, photo_id: str, kept: dict[str, np.ndarray]) -> dict:
    """The photo's line of the index, and the seconds it took; its mask and its details as files."""
    facts = json.loads(str(kept["facts"]))
    line = {name: facts[name] for name in ("status", "reason", "score", "seconds")}
    if kept["box"].size:
        line.update(zip(("x0", "y0", "x1", "y1"), kept["box"].tolist(), strict=True))

    height, width = facts["shape"]
    mask_file = segments.mask_file(photo_id)
    if facts["status"] == OK and height:
        mask = np.unpackbits(kept["packed"], count=height * width).reshape(height, width).astype(bool)
        masks.write_mask(mask, paths.inside(folder, mask_file))
        line["mask_file"] = mask_file
        line["area"] = float(mask.mean())
    else:
        _remove(folder, mask_file)

    details_file = segments.details_file(photo_id)
    if facts["detail"]:
        writing.write_text(paths.inside(folder, details_file), json.dumps(facts["detail"], ensure_ascii=False))
    else:
        _remove(folder, details_file)
    return line


def _remove(folder: Path, *names: str) -> None:
    """Remove what an earlier run with other settings may have left of a photo."""
    for name in names:
        paths.inside(folder, name).unlink(missing_ok=True)


def _write_index(manifest: pd.DataFrame, lines: dict[str, dict], folder: Path) -> None:
    """index.csv: a row for each of the manifest's, in its order; what was not segmented keeps its status."""
    rows = []
    for row in manifest.itertuples():
        listed = {"photo_id": row.photo_id, "species": row.species, "status": row.status, "reason": row.reason}
        rows.append(listed | lines.get(row.photo_id, {}))
    write_frame(pd.DataFrame(rows, columns=segments.COLUMNS), folder / segments.INDEX)


def _write_made_of(folder: Path, made_of: str, seconds: float) -> None:
    """Seal an answer; made_of "": photos are missing in it, so that the next run looks for them again."""
    kept = {"key": made_of, "files": _hashes(folder), "seconds_a_photo": seconds}
    writing.write_text(folder / segments.MADE_OF, json.dumps(kept, ensure_ascii=False))


def _hashes(folder: Path) -> dict[str, str]:
    """Hash of every file of an answer: its index, masks and what was kept beside them."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != segments.MADE_OF)
    return {file.relative_to(folder).as_posix(): cache.file_hash(file) for file in files}
