"""The features stage: one forward pass a photo and variant, in fixed blocks, cached.

Blocks are fixed because the size of a batch changes the last digits of a network's answer: a killed and
resumed run must give the same bytes as one that ran through. A worker takes a block all the way from decoding
to features. On a CPU it does so on one thread: no core then waits for another, and the bytes depend neither on
the number of workers nor on that of cores.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fishlib import cache
from fishlib.naming import checkpoints
from fishlib.photos import composite, decode, masks
from fishlib.photos.composite import Variant
from fishlib.removal import segments
from fishlib.study import Study, stage

WORKERS = min(16, os.cpu_count() or 1)  # each holds the pictures of one block


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
    """
    found = found.set_index("photo_id").loc[photos.photo_id]
    parts = study.profile.composite.model_dump(exclude={"backgrounds", "dilations"})
    parts |= {"side": study.profile.working_side, "code": cache.code_version(__name__)}
    parts["network"] = checkpoints.identity(source, study.profile.backbone, study.profile.seed)
    name = f"features-{Path(source).stem}"
    stopped, answer = threading.Event(), {}

    def block(start: int) -> int:
        """Put the features of one block into the answer; how many were computed."""
        span = slice(start, start + study.profile.block)
        rows = list(zip(photos.iloc[span].itertuples(), found.iloc[span].itertuples(), strict=True))
        paths = _paths(study, rows, variants, parts)
        kept = {v: cache.load(path) for v, path in paths.items()}
        absent = [v for v in variants if kept[v] is None]
        shown = [picture(study, *row, absent) for row in rows] if absent else []
        for v in variants:
            if stopped.is_set():
                break
            if v in absent:
                kept[v] = {"features": network(np.stack([p.pop(v) for p in shown]))}
                cache.save(paths[v], compress=False, **kept[v])
            values = kept[v]["features"]
            answer.setdefault(v.name, np.empty((len(photos), values.shape[1]), np.float32))[span] = values
            bar.update(len(rows))
        return len(rows) * len(absent)

    n = len(photos) * len(variants)
    with stage(study, name) as record, tqdm(total=n, desc=name, leave=False) as bar:
        with _network(study, source) as network, ThreadPoolExecutor(workers) as pool:
            try:
                record["computed"] = sum(pool.map(block, range(0, len(photos), study.profile.block)))
            finally:
                stopped.set()  # an interrupted block ends after its variant; its finished ones are kept
        record["reused"] = n - record["computed"]
    return {v.name: answer[v.name] for v in variants}


def picture(study: Study, photo, found, variants: list[Variant]) -> dict[Variant, np.ndarray]:
    """The pictures a classifier sees of one photo: variant -> uint8 (224, 224, 3); photo and mask are read once."""
    settings = study.profile.composite
    original = decode.decode(study.photos / photo.path)
    image = decode.working(original, study.profile.working_side)
    mask = segments.read_mask(study, study.method, found) if any(v.mask for v in variants) else None
    box = segments.box(found)
    mask = None if mask is None else masks.resize_mask(mask, image.shape[:2])
    box = None if box is None else box * (image.shape[1] / original.shape[1])
    options = settings.size, settings.fit, settings.crop_margin
    return {v: composite.compose(image, mask, box, v, *options) for v in variants}


def pictures(study: Study, photos: pd.DataFrame, found: pd.DataFrame, variant: Variant) -> np.ndarray:
    """All photos in one variant, uint8 (N, 224, 224, 3): 150 kB each, for training the whole network."""
    rows = zip(photos.itertuples(), found.set_index("photo_id").loc[photos.photo_id].itertuples(), strict=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        return np.stack(list(pool.map(lambda row: picture(study, *row, [variant])[variant], rows)))


@contextmanager
def _network(study: Study, source: str):
    """A function pictures (B, 224, 224, 3) -> features (B, D) for many threads; its first call loads the network."""
    lock, loaded = threading.Lock(), []

    def answer(pictures: np.ndarray) -> np.ndarray:
        import torch  # which a cached run never needs

        from fishlib.naming import classifier

        with lock:
            if not loaded:
                loaded.append(classifier.load(source, study.profile.backbone, study.device, study.profile.seed))
        on_cpu = loaded[0].device.type == "cpu"
        if on_cpu and torch.get_num_threads() != 1:
            torch.set_num_threads(1)  # for this thread alone
        with nullcontext() if on_cpu else lock:  # a GPU takes one block at a time
            return classifier.features(loaded[0], pictures)

    try:
        yield answer
    finally:
        if loaded:
            import torch

            torch.set_num_threads(torch.get_num_threads())  # threads made later take what was set last


def _paths(study: Study, rows: list, variants: list[Variant], parts: dict) -> dict:
    """Variant -> path of a block's artifact."""
    stamps, paths = [_stamp(study, *row) for row in rows], {}
    for v in variants:
        # what a variant does not use does not change it: the original is shared by all methods
        used = [s if v.crop or v.mask else s[:1] for s in stamps]
        paths[v] = cache.entry(study.cache, "features", cache.key(photos=used, variant=v, **parts))
    return paths


def _stamp(study: Study, photo, found) -> list:
    """What the pictures of a photo are made of: hashes of photo and mask, and the box."""
    mask = isinstance(found.mask_file, str) and found.mask_file
    path = study.out / "segments" / study.method / found.mask_file if mask else None
    box = segments.box(found)
    return [photo.sha256, cache.file_hash(path) if path else None, None if box is None else box.tolist()]
