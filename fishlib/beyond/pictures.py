"""Pictures that ask what a network looks at: backgrounds alone, fish alone, fish on other backgrounds, outlines, fills.

The first six are those of Xiao et al. 2020, "Noise or Signal: The Role of Image Backgrounds in Object Recognition",
under their names; the paper's boxes are ImageNet's, ours are those of the masks. All are uint8 (S, S, 3), of Parts of
one size.
"""

import hashlib

import cv2
import numpy as np

from fishlib.beyond import fills
from fishlib.beyond.looks import Look
from fishlib.beyond.parts import Parts
from fishlib.beyond.shelf import Shelf
from fishlib.profiles import BACKGROUNDS

BLUR = 0.06  # of the side, sigma; ours: a background of which colours are left and no thing
ON = "mask_"  # Mask on a flat colour: mask_red
LABELS = {
    "original": "Original",
    "mask": "Only-FG (= Mask, black)",
    "only_bg_b": "Only-BG-B (box black)",
    "only_bg_t": "Only-BG-T (box filled)",
    "no_fg": "No-FG (silhouette black)",
    "background": "background alone (fish filled)",
    "mixed_same": "Mixed-Same",
    "mixed_rand": "Mixed-Rand",
    "silhouette": "silhouette alone",
    "other_mask": "photo under another's mask",
    "mean": "Mask on the mean colour",
    "blur": "Mask on a blurred background",
    "noise": "Mask on noise",
}
ALONE = ("original", "mask", "only_bg_b", "only_bg_t", "no_fg", "background", "silhouette", "mean", "blur", "noise")
WITH_ANOTHER = ("mixed", "other_mask")


def look(shelf: Shelf, name: str, photo_id: str, other: str | None = None) -> Look:
    """The picture of that name (ALONE, WITH_ANOTHER, or ON and a colour) of a photo, and of another one's background or
    mask."""
    made_of = [name, shelf.stamp(photo_id), None if other is None else shelf.stamp(other)]

    def make() -> np.ndarray:
        return draw(name, shelf.parts(photo_id), None if other is None else shelf.parts(other), _seed(photo_id))

    return Look(made_of if name != "noise" else [*made_of, photo_id], make)


def draw(name: str, parts: Parts, other: Parts | None = None, seed: int = 0) -> np.ndarray:
    """The picture of that name, see `look`; seed: of the noise."""
    if name == "original":
        return parts.photo
    if name == "mask":
        return parts.fish
    if name == "background":
        return parts.background
    if name == "noise":
        return on_noise(parts, seed)
    if name.startswith(ON):
        return on(parts, np.array(BACKGROUNDS[name.removeprefix(ON)], float))
    if name in WITH_ANOTHER:
        return {"mixed": mixed, "other_mask": other_mask}[name](parts, other)
    alone = {
        "only_bg_b": only_bg_b,
        "only_bg_t": only_bg_t,
        "no_fg": no_fg,
        "silhouette": silhouette,
        "mean": on_mean,
        "blur": on_blur,
    }
    return alone[name](parts)


def label(name: str) -> str:
    """A picture's name in words."""
    return f"Mask on {name.removeprefix(ON)}" if name.startswith(ON) else LABELS[name]


def _seed(photo_id: str) -> int:
    return int.from_bytes(hashlib.sha256(photo_id.encode()).digest()[:4], "big")


def only_bg_b(parts: Parts) -> np.ndarray:
    """The photo, the fish's box black."""
    return np.where(parts.box[..., None], np.uint8(0), parts.photo)


def only_bg_t(parts: Parts) -> np.ndarray:
    """The photo, the fish's box filled from the rest of it."""
    return fills.fill(parts.photo, parts.box)


def no_fg(parts: Parts) -> np.ndarray:
    """The photo, the fish black: its outline is left."""
    rest = parts.photo.astype(np.float32) - parts.fish
    touched = parts.share > 0  # elsewhere the photo is as it is
    return np.where(touched[..., None], np.clip(rest, 0, 255).astype(np.uint8), parts.photo)


def on(parts: Parts, background: np.ndarray) -> np.ndarray:
    """The fish where it lies, on another background, uint8 (S, S, 3) or a colour (3,); none of its own is left."""
    rest = (1 - parts.share)[..., None] * background
    return np.clip(np.rint(parts.fish + rest), 0, 255).astype(np.uint8)


def mixed(host: Parts, donor: Parts) -> np.ndarray:
    """The host's fish on the background of the donor, whose own fish is filled."""
    return on(host, donor.background)


def silhouette(parts: Parts) -> np.ndarray:
    """The outline alone: white on black."""
    white = np.rint(255 * parts.share).astype(np.uint8)
    return np.repeat(white[..., None], 3, axis=2)


def other_mask(parts: Parts, other: Parts) -> np.ndarray:
    """The photo under another photo's mask, black around it: an outline that is not the fish's."""
    return np.rint(other.share[..., None] * parts.photo).astype(np.uint8)


def on_mean(parts: Parts) -> np.ndarray:
    """The fish on the mean colour of its own background."""
    weight = (1 - parts.share)[..., None]
    total = max(float(weight.sum()), 1.0)
    mean = (weight * parts.background).sum(axis=(0, 1)) / total
    return on(parts, mean)


def on_blur(parts: Parts) -> np.ndarray:
    """The fish on its own background, blurred; the fish was taken out before, so that it does not smear."""
    sigma = BLUR * len(parts.background)
    return on(parts, cv2.GaussianBlur(parts.background, (0, 0), sigma))


def on_noise(parts: Parts, seed: int) -> np.ndarray:
    """The fish on noise: every pixel and channel a number of its own, 0 to 255."""
    noise = np.random.default_rng(seed).integers(0, 256, parts.fish.shape, np.uint8)
    return on(parts, noise)
