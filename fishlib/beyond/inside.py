"""The mask inside the network: its last feature map pooled over the fish alone ("late masking", Aniraj et al. 2023,
"Masking Strategies for Background Bias Removal in Computer Vision Models"; the paper's future work).

A place of the map has already seen what lies around it: by convolutions its neighbourhood, by attention the whole
picture. Pooling under a mask therefore leaves background out of the mean, not out of the places themselves.
"""

import cv2
import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.beyond import looks
from fishlib.beyond.looks import Look
from fishlib.naming import features
from fishlib.photos import composite, decode, masks
from fishlib.photos.composite import Variant
from fishlib.removal import segments
from fishlib.study import Study

PLAIN, INSIDE = "_plain", "_inside"  # after the name of a variant: the mean over all places, over those of the fish


def compute(
    study: Study, photos: pd.DataFrame, found: pd.DataFrame, variants: list[Variant], source: str
) -> dict[str, np.ndarray]:
    """Name of a variant + PLAIN or INSIDE -> float32 (N, D), of every photo; one forward pass gives both.

    photos: rows of the manifest; found: a segments frame of study.method with a row for each; source: see
    naming.features. The answer to Original hangs on the mask as well. Where a network averages, PLAIN is what
    naming.features gives; where it reads a class token, the mean over its other tokens. A photo without a mask has the
    plain mean twice. Raises UserError for a network without a last feature map.
    """
    found = found.set_index("photo_id").loc[photos["photo_id"]]
    rows = zip(photos.itertuples(), found.itertuples(), strict=True)
    wanted = [_look(study, photo, mine, variants) for photo, mine in rows]
    code = cache.code_version(__name__, "fishlib.naming.maps")
    answers = looks.compute(study, wanted, source, code, ask)  # (N, V, 2, D)
    values = {}
    for at, variant in enumerate(variants):
        values[variant.name + PLAIN] = answers[:, at, 0]
        values[variant.name + INSIDE] = answers[:, at, 1]
    return values


def ask(namer, pictures: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Plain and masked mean of the last feature map, float32 (B, V, 2, D).

    pictures: uint8 (B, V, S, S, 3); shares: float32 (B, V, S, S), 0..1, how much of each pixel is fish.
    """
    from fishlib.naming import maps

    flat = maps.compute(namer, pictures.reshape(-1, *pictures.shape[2:]))  # (B * V, h, w, C)
    height, width = flat.shape[1:3]
    weights = np.stack([weigh(share, height, width) for share in shares.reshape(-1, *shares.shape[2:])])
    plain = maps.pool(namer, flat)
    inside = maps.pool(namer, flat, weights)
    return np.stack([plain, inside], axis=1).reshape(*pictures.shape[:2], 2, -1)


def weigh(share: np.ndarray, height: int, width: int) -> np.ndarray:
    """Float32 (height, width), how much of each place of a map is fish: the area average of share, float32 (S, S)."""
    return cv2.resize(share, (width, height), interpolation=cv2.INTER_AREA)


def share_of(
    mask: np.ndarray | None, box: np.ndarray | None, variant: Variant, shape: tuple[int, int], settings
) -> np.ndarray:
    """Float32 (S, S), how much of each pixel of a variant's picture is fish: the mask transformed as the picture.

    mask: bool (H, W) or None, which gives zeros; box: XYXY in the pixels of `shape` (H, W); settings: the profile's
    composite.
    """
    if mask is None:
        return np.zeros((settings.size, settings.size), np.float32)
    mask = masks.resize_mask(mask, shape)
    white = np.repeat(mask.astype(np.uint8)[..., None] * 255, 3, axis=2)
    window = Variant(crop=variant.crop)
    shown = composite.compose(white, None, box, window, settings.size, settings.fit, settings.crop_margin)
    return shown[..., 0].astype(np.float32) / 255


def _look(study: Study, photo, found, variants: list[Variant]) -> Look:
    """All variants of a photo, uint8 (V, S, S, 3), and the shares of each, float32 (V, S, S)."""
    settings = study.profile.composite
    drawn = [settings.size, settings.fit, settings.crop_margin, study.profile.working_side]
    stamp = features._stamp(study, photo, found)
    made_of = [*stamp, [variant.name for variant in variants], *drawn]

    def make() -> tuple[np.ndarray, np.ndarray]:
        shown = features.picture(study, photo, found, variants)
        mask = segments.read_mask(study, study.method, found)
        shape = decode.working_shape(photo.height, photo.width, study.profile.working_side)
        box = segments.box(found)
        box = None if box is None else box * (shape[1] / photo.width)
        shares = [share_of(mask, box, variant, shape, settings) for variant in variants]
        return np.stack([shown[variant] for variant in variants]), np.stack(shares)

    return Look(made_of, make)
