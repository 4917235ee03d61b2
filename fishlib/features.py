"""The features stage: one forward pass a photo and variant, in fixed blocks, cached.

Blocks are fixed because the size of a batch changes the last digits of a network's answer: a killed and
resumed run must give the same bytes as one that ran through.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from tqdm import tqdm

from fishlib import cache, checkpoints, composite, dataset, masks, segments
from fishlib.composite import Variant
from fishlib.study import Study, stage


def compute(
    study: Study, photos: pd.DataFrame, found: pd.DataFrame, variants: list[Variant], source: str
) -> dict[str, np.ndarray]:
    """Features of every photo in every variant: variant name -> float32 (N, D), rows in the order of `photos`.

    photos: rows of the manifest; found: the masks to use, a segments frame of `study.method` with a row for
    each; source: "none", "imagenet" or a checkpoint (see classifier.load). The network is only loaded when
    something is absent. A photo is decoded once a block, however many variants are wanted; the next block's
    pictures are made while the network works on this one's.
    """
    network = checkpoints.identity(source, study.profile.backbone, study.profile.seed)
    found = found.set_index("photo_id").loc[photos.photo_id]
    version = cache.code_version(
        "fishlib.composite", "fishlib.classifier", "fishlib.checkpoints", "fishlib.dataset", "fishlib.masks"
    )
    settings = study.profile.composite.model_dump(exclude={"backgrounds", "dilations"})
    stamps = [_stamp(study, row, mask) for row, mask in zip(photos.itertuples(), found.itertuples(), strict=True)]
    tasks = []  # (rows of the block, variant -> path of its artifact)
    for start in range(0, len(photos), study.profile.block):
        span = slice(start, start + study.profile.block)
        paths = {}
        for v in variants:
            # what a variant does not use does not change it: the original is shared by all methods
            used = [s if v.crop or v.mask else s[:1] for s in stamps[span]]
            key = cache.key(
                photos=used,
                side=study.profile.working_side,
                variant=v,
                **settings,
                network=network,
                code=version,
            )
            paths[v] = cache.entry(study.cache, "features", key)
        tasks.append((span, paths))

    values = {v: [] for v in variants}
    name = f"features-{'checkpoint' if source == study.classifier else source}"
    with stage(study, name) as record, ThreadPoolExecutor(1) as ahead:
        missing = [(span, {v: p for v, p in paths.items() if cache.load(p) is None}) for span, paths in tasks]
        work = [(span, paths) for span, paths in missing if paths]
        if work:
            from fishlib import classifier  # imports torch, which a cached run never needs

            model = classifier.load(source, study.profile.backbone, study.device, study.profile.seed)
            pending = ahead.submit(_pictures, study, photos, found, *work[0])
            for i, (_, paths) in enumerate(tqdm(work, desc=name, leave=False)):
                pictures = pending.result()
                if i + 1 < len(work):
                    pending = ahead.submit(_pictures, study, photos, found, *work[i + 1])
                for v, path in paths.items():
                    cache.save(path, features=classifier.features(model, pictures[v]))
                    record["computed"] += len(pictures[v])
        for _, paths in tasks:
            for v, path in paths.items():
                values[v].append(cache.load(path)["features"])
        record["reused"] = len(photos) * len(variants) - record["computed"]
    return {v.name: np.concatenate(parts) for v, parts in values.items()}


def picture(study: Study, photo, found, variants: list[Variant]) -> dict[Variant, np.ndarray]:
    """The pictures a classifier sees of one photo: variant -> uint8 (224, 224, 3); the photo is decoded once."""
    settings = study.profile.composite
    original = dataset.decode(study.photos / photo.path)
    image = dataset.working(original, study.profile.working_side)
    mask, box = segments.read_mask(study, study.method, found), segments.box(found)
    if mask is not None:
        mask = masks.resize_mask(mask, image.shape[:2])
    if box is not None:
        box = box * (image.shape[1] / original.shape[1])
    return {
        v: composite.compose(image, mask, box, v, settings.size, settings.fit, settings.crop_margin) for v in variants
    }


def _pictures(study, photos, found, span: slice, paths: dict) -> dict[Variant, np.ndarray]:
    """The pictures of a block: variant -> uint8 (B, 224, 224, 3)."""
    rows = zip(photos.iloc[span].itertuples(), found.iloc[span].itertuples(), strict=True)
    made = [picture(study, photo, row, list(paths)) for photo, row in rows]
    return {v: np.stack([m[v] for m in made]) for v in paths}


def _stamp(study: Study, photo, found) -> list:
    """What the pictures of a photo are made of: hashes of photo and mask, and the box."""
    mask = isinstance(found.mask_file, str) and found.mask_file
    path = study.out / "segments" / study.method / found.mask_file if mask else None
    box = segments.box(found)
    return [photo.sha256, cache.file_hash(path) if path else None, None if box is None else box.tolist()]
