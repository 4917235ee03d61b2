"""The features stage: one forward pass a photo and variant, in fixed blocks, cached.

Blocks are fixed because the size of a batch changes the last digits of a network's answer: a killed and
resumed run must give the same bytes as one that ran through. A worker takes a block all the way from decoding
to features. On a CPU it does so on one thread: no core then waits for another, and the bytes depend neither on
the number of workers nor on that of cores.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.errors import UnreadablePhoto, UserError
from fishlib.files import paths, shards
from fishlib.files.progress import Bar
from fishlib.naming import checkpoints
from fishlib.naming.threads import network as _network
from fishlib.naming.threads import opencv_on_one_thread as _opencv_on_one_thread
from fishlib.photos import composite, decode, masks
from fishlib.photos.composite import Variant
from fishlib.removal import segments
from fishlib.scores import evaluation
from fishlib.study import Study, stage

WORKERS = min(16, os.cpu_count() or 1)  # each holds the pictures of one block
Answer = TypeVar("Answer")


class Changed(UserError):
    """Photos are not those of the manifest any more; reasons: photo_id -> what became of it."""

    def __init__(self, reasons: dict[str, str]):
        first, reason = next(iter(reasons.items()))
        others = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        super().__init__(f"{first}: {reason}{others}; run notebook 01 again.")
        self.reasons = reasons


def compute(
    study: Study,
    photos: pd.DataFrame,
    found: pd.DataFrame,
    variants: list[Variant],
    source: str,
    workers: int = WORKERS,
) -> dict[str, np.ndarray]:
    """Features of every photo in every variant: variant name -> float32 (N, D), rows in the order of `photos`.

    photos: rows of the manifest; found: the masks to use, a segments frame of `study.method` with a row for
    each; source: "none", "imagenet" or a checkpoint (see classifier.load).
    The network is only loaded when something is absent. A photo is decoded and its mask read once, however
    many variants are wanted. Beside the answer, memory holds a block a worker, however many photos there are.
    Raises Changed for photos that must be decoded and are not the manifest's, UserError for a full disk.
    """
    wanted = len(photos) * len(variants)
    answer: dict[str, np.ndarray] = {}

    def put(variant: Variant, span: slice, values: np.ndarray) -> None:
        _put(study, answer, variant, span, values, len(photos))

    with stage(study, f"features-{checkpoints.short(source)}") as record:
        starts = range(0, len(photos), study.profile.block)
        record["computed"] = _through(study, photos, found, variants, source, workers, starts, put)
        record["reused"] = wanted - record["computed"]
    return {variant.name: answer[variant.name] for variant in variants}


def fill(
    study: Study,
    photos: pd.DataFrame,
    found: pd.DataFrame,
    variants: list[Variant],
    source: str,
    shard: shards.Shard,
    workers: int = WORKERS,
) -> dict[str, int]:
    """Put a shard's blocks into the run's cache, where `compute` of the same photos finds them on any machine.

    A block belongs to a shard by its first photo. Returns how many pictures were `computed` and how many `reused`,
    kept already. Parameters and errors as of `compute`; locks.InUse where another process works on the same shard.
    """
    starts = range(0, len(photos), study.profile.block)
    ours = [start for start in starts if shards.holds(shard, photos.photo_id.iloc[start])]
    rows = sum(min(study.profile.block, len(photos) - start) for start in ours)
    wanted = rows * len(variants)
    with shards.held(study.out, "features", shard):
        computed = _through(study, photos, found, variants, source, workers, ours, lambda *of_a_block: None)
    return {"computed": computed, "reused": wanted - computed}


def _through(
    study: Study,
    photos: pd.DataFrame,
    found: pd.DataFrame,
    variants: list[Variant],
    source: str,
    workers: int,
    starts: Sequence[int],
    put: Callable[[Variant, slice, np.ndarray], None],
) -> int:
    """Take the blocks that begin at these rows to their features, kept or computed; how many pictures were computed.

    put: given the variant, the block's rows and their features, float32 (B, D), as each block comes, from any thread.
    """
    found = found.set_index("photo_id").loc[photos.photo_id]
    made_of = _made_of(study, source)
    wanted = len(variants) * sum(min(study.profile.block, len(photos) - start) for start in starts)
    stopped = threading.Event()

    def block(start: int) -> int:
        """Put the features of one block; how many were computed."""
        if stopped.is_set():
            return 0
        span = slice(start, start + study.profile.block)
        rows = list(zip(photos.iloc[span].itertuples(), found.iloc[span].itertuples(), strict=True))
        stamps = [_stamp(study, *row) for row in rows]
        entries = {variant: _entry(study, variant, stamps, made_of) for variant in variants}
        kept = {variant: _kept(entry, len(rows)) for variant, entry in entries.items()}
        absent = [variant for variant in variants if kept[variant] is None]
        shown = _shown(study, rows, stamps, absent) if absent else []

        for variant in variants:
            if stopped.is_set():
                break
            values = kept[variant]
            if values is None:
                values = network(np.stack([pictures.pop(variant) for pictures in shown]))
                cache.save(entries[variant], compress=False, features=values)
            put(variant, span, values)
            bar.update(len(rows))
        return len(rows) * len(absent)

    with (
        Bar(total=wanted, desc=f"features-{checkpoints.short(source)}", unit="picture", leave=False) as bar,
        _network(study, source) as network,
        _opencv_on_one_thread(),
        ThreadPoolExecutor(workers) as pool,
    ):
        try:
            return sum(pool.map(block, starts))
        except Changed as error:
            stopped.set()
            raise Changed(_changed(study, photos) | error.reasons) from error
        finally:
            stopped.set()  # an interrupted block ends after its variant; its finished ones are kept


def picture(study: Study, photo, found, variants: list[Variant]) -> dict[Variant, np.ndarray]:
    """The pictures a classifier sees of one photo: variant -> uint8 (224, 224, 3); photo and mask are read once.

    photo: its row of the manifest; found: its row of a segments frame of `study.method`. Raises Changed where the
    file is not the manifest's any more.
    """
    settings = study.profile.composite
    try:
        original = decode.read(paths.inside(study.photos, photo.path), photo.sha256)
    except UnreadablePhoto as error:
        reason, _, _ = str(error).partition(";")  # what to do is said once, by Changed
        raise Changed({photo.photo_id: reason}) from error
    image = decode.working(original.pixels, study.profile.working_side)

    mask = None
    if any(variant.mask for variant in variants):
        mask = segments.read_mask(study, study.method, found)
    if mask is not None:
        mask = masks.resize_mask(mask, image.shape[:2])

    box = segments.box(found)
    if box is not None:
        box = box * (image.shape[1] / original.width)

    shown = {}
    for variant in variants:
        shown[variant] = composite.compose(image, mask, box, variant, settings.size, settings.fit, settings.crop_margin)
    return shown


def pictures(study: Study, photos: pd.DataFrame, found: pd.DataFrame, variant: Variant) -> np.ndarray:
    """All photos in one variant, uint8 (N, 224, 224, 3): 150 kB each, for training the whole network."""
    found = found.set_index("photo_id").loc[photos.photo_id]
    rows = zip(photos.itertuples(), found.itertuples(), strict=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            return np.stack(list(pool.map(lambda row: picture(study, *row, [variant])[variant], rows)))
        except Changed as error:
            pool.shutdown(cancel_futures=True)
            raise Changed(_changed(study, photos) | error.reasons) from error


def usable(manifest: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """(rows of the manifest whose photos count, photo_id -> reason of those that did until they were cut)."""
    photos = manifest[manifest.status == "ok"]
    rows = found.set_index("photo_id").loc[photos.photo_id]
    counted = rows.status.isin(evaluation.COUNTED)
    return photos[counted.to_numpy()].reset_index(drop=True), rows.reason[~counted].to_dict()


def without_changed(
    study: Study, photos: pd.DataFrame, work: Callable[[pd.DataFrame], Answer]
) -> tuple[Answer, dict[str, str]]:
    """(work(photos), photo_id -> reason of the photos it had to do without, since they changed after the scan).

    work is begun anew without them; what it kept of blocks of the same photos is found again.
    """
    reasons: dict[str, str] = {}
    while True:
        there = photos[~photos.photo_id.isin(reasons)].reset_index(drop=True)
        if there.empty:
            raise UserError(f"No photo of {study.photos} is what the manifest says any more; run notebook 01 again.")
        try:
            return work(there), reasons
        except Changed as error:
            reasons |= error.reasons


def told(reasons: dict[str, str]) -> list[str]:
    """Notes on the photos that a stage had to do without."""
    if not reasons:
        return []
    named = "; ".join(f"{photo_id} ({reason})" for photo_id, reason in list(reasons.items())[:3])
    more = "; ..." if len(reasons) > 3 else ""
    return [f"Photos not counted, since they changed after the scan: {len(reasons)} ({named}{more}). Scan them again."]


def _made_of(study: Study, source: str) -> dict:
    """What features are made of beside photos, masks and variants, for their key."""
    return {
        **study.profile.composite.model_dump(exclude={"backgrounds", "dilations"}),
        "side": study.profile.working_side,
        "code": cache.code_version(__name__),
        "network": checkpoints.identity(source, study.profile.backbone, study.profile.seed),
    }


def _stamp(study: Study, photo, found) -> list:
    """What the pictures of a photo are made of: [hash of the photo, hash of its mask or None, box or None]."""
    mask_hash = None
    if isinstance(found.mask_file, str) and found.mask_file:
        folder = study.out / "segments" / study.method
        try:
            mask_hash = cache.file_hash(paths.inside(folder, found.mask_file))
        except OSError as error:
            raise UserError(
                f"{folder / found.mask_file} cannot be read ({error.strerror}); run notebook 02."
            ) from error
    box = segments.box(found)
    return [photo.sha256, mask_hash, None if box is None else box.tolist()]


def _entry(study: Study, variant: Variant, stamps: list[list], made_of: dict) -> Path:
    """Where the features of a block in one variant lie."""
    # what a variant does not use does not change it: the original is shared by all methods
    used = stamps if variant.crop or variant.mask else [stamp[:1] for stamp in stamps]
    return cache.entry(study.cache, "features", cache.key(photos=used, variant=variant, **made_of))


def _kept(entry: Path, n_photos: int) -> np.ndarray | None:
    """The features of a block, float32 (n_photos, D), as they were kept; None where nothing usable was."""
    arrays = cache.load(entry) or {}
    values = arrays.get("features")
    if values is None or values.dtype != np.float32 or values.ndim != 2 or len(values) != n_photos:
        return None
    return values


def _shown(study: Study, rows: list[tuple], stamps: list[list], variants: list[Variant]) -> list[dict]:
    """The pictures of a block: for each photo variant -> uint8 (224, 224, 3)."""
    shown = [picture(study, *row, variants) for row in rows]
    if stamps != [_stamp(study, *row) for row in rows]:
        raise UserError(f"Masks of {study.out / 'segments' / study.method} changed while they were read; run again.")
    return shown


def _put(study: Study, answer: dict, variant: Variant, span: slice, values: np.ndarray, n_photos: int) -> None:
    """Copy the features of a block into those of all photos, which are made by the first."""
    width = values.shape[1]
    every = answer.setdefault(variant.name, np.empty((n_photos, width), np.float32))
    if every.shape[1] != width:
        raise UserError(f"{study.cache / 'features'} is damaged; delete it, then run again.")
    every[span] = values


def _changed(study: Study, photos: pd.DataFrame) -> dict[str, str]:
    """photo_id -> reason of every photo that is not the manifest's any more."""
    reasons = {}
    for photo in photos.itertuples():
        try:
            if cache.file_hash(paths.inside(study.photos, photo.path)) != photo.sha256:
                reasons[photo.photo_id] = "changed since the scan"
        except OSError as error:
            reasons[photo.photo_id] = f"gone since the scan: {error.strerror or error}"
    return reasons
