"""Training pictures of the zoo: drawn once to disk by fishlib.phantom, then seen anew each time they are used."""

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from fishlib.photos import masks

HELD_OUT_SEED = 900_001  # the phantom's seed of the pictures that cards are measured on
BODY, FINS = 1, 2  # bits of a label


def _draw(job: tuple[int, int, float, int]) -> tuple[np.ndarray, np.ndarray]:
    """Every species in turn, a share without fish; 8 % are specimens and 8 % are cut off by the frame."""
    from fishlib import phantom

    cv2.setNumThreads(1)
    k, seed, fishless, side = job
    names, (empty, odd) = list(phantom.traits.load()), np.random.default_rng([seed, k]).uniform(size=2)
    species = None if empty < fishless else names[k % len(names)]
    style, cut = "specimen" if species and odd < 0.08 else "angler", bool(species and odd > 0.92)
    drawn = phantom.draw(species, seed, k, style=style, side=side, cut_off=cut)
    return drawn.photo, drawn.body * np.uint8(BODY) | drawn.fins * np.uint8(FINS)


def draw_all(folder: Path, count: int, seed: int, workers=2, fishless=0.2, side=320) -> Path:
    """Fills folder/photos.npy (N, side, side, 3), labels.npy (N, side, side), sizes.npy (N, 2: h, w).

    All but the sizes are uint8.

    A picture lies in the top left corner of its square. A finished folder is used again.
    """
    if (folder / "sizes.npy").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    open_array, shape = np.lib.format.open_memmap, (count, side, side)
    photos = open_array(folder / "photos.npy", "w+", np.uint8, (*shape, 3))
    labels, sizes = open_array(folder / "labels.npy", "w+", np.uint8, shape), np.zeros((count, 2), np.int32)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [(k, seed, fishless, side) for k in range(count)]
        for k, (photo, label) in enumerate(pool.map(_draw, jobs, chunksize=16)):
            h, w = sizes[k] = label.shape
            photos[k, :h, :w], labels[k, :h, :w] = photo, label
    np.save(folder / "part.npy", sizes)
    (folder / "part.npy").replace(folder / "sizes.npy")
    return folder


class Pictures:
    """A folder of draw_all: `[k] -> (photo uint8 (h, w, 3), label uint8 (h, w))`; `fishless` are numbers."""

    def __init__(self, folder: Path):
        names = ("photos", "labels", "sizes")
        self.photos, self.labels, self.sizes = (np.load(folder / f"{n}.npy", mmap_mode="r") for n in names)
        self.fishless = [k for k in range(len(self)) if not self.labels[k].any()]

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        h, w = self.sizes[k]
        return np.asarray(self.photos[k, :h, :w]), np.asarray(self.labels[k, :h, :w])


def box_of(mask: np.ndarray) -> np.ndarray:
    """masks.box_of, but zeros for an empty mask."""
    found = masks.box_of(mask)
    return np.zeros(4, np.float32) if found is None else found


def _view(rng, label: np.ndarray, h: int, w: int) -> np.ndarray:
    """Map (h, w, 2) float32 from a new picture's pixels to the old one's: turn, zoom on the fish, mirror, bend."""
    x0, y0, x1, y1 = box_of(label) if label.any() else (0, 0, *label.shape[::-1])
    extent, middle, long = max(x1 - x0, y1 - y0), np.array([x0 + x1, y0 + y1]) / 2, max(h, w)
    zoom = min(rng.uniform(*((0.3, 1.12) if label.any() else (1.0, 2.0))) * long / extent, 3.0)
    angle = rng.choice([0, 0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.15)
    angle = rng.uniform(-np.pi, np.pi) if rng.uniform() < 0.3 else angle
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = [[(1 + rng.normal(0, 0.12)) * rng.choice([-1, 1]), rng.normal(0, 0.08)], [0, 1]]
    free = np.maximum(np.array([w, h]) - zoom * extent * np.array([1, 0.6]), 0.15 * long) / 2
    centre = np.array([w, h]) / 2 + free * np.clip(rng.normal(0, 0.5, 2), -1.1, 1.1)
    grid = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1).astype(np.float32) - np.float32(centre)
    if rng.uniform() < 0.5:
        bend = rng.normal(0, 0.035 * long, (4, 4, 2)).astype(np.float32)
        grid += cv2.resize(bend, (w, h), interpolation=cv2.INTER_CUBIC)
    return np.float32(grid @ np.float32(turn @ shape / zoom).T + np.float32(middle))


def _field(rng, h: int, w: int, cells: int, spread: float) -> np.ndarray:
    """Smooth noise float32 (h, w)."""
    noise = rng.normal(0, spread, (cells, cells)).astype(np.float32)
    return cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)


@cache
def _noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((512, 512, 3), np.float32)


def _light(rng, image: np.ndarray) -> np.ndarray:
    """Another light, lens and camera: float32 (h, w, 3) in 0..1 to the same."""
    (h, w), chance = image.shape[:2], rng.uniform(size=6)
    mix = np.eye(3) * np.exp(rng.normal(0, 0.18, 3)) + rng.normal(0, 0.07, (3, 3))
    mix = mix[rng.permutation(3)] if chance[0] < 0.1 else mix
    grey = rng.uniform(-0.3, 0.8) if chance[1] < 0.4 else 0.0
    mix = ((1 - grey) * mix + grey / 3) * np.exp(rng.normal(0, 0.15))
    image = cv2.pow(np.clip(cv2.transform(image, np.float32(mix)), 0, 1), np.exp(rng.normal(0, 0.3)))
    if chance[2] < 0.5:
        image *= cv2.exp(_field(rng, h, w, int(rng.integers(2, 6)), 0.25))[..., None]
    if chance[3] < 0.3:  # wet shine and glare
        glare = np.clip(_field(rng, h, w, int(rng.integers(4, 24)), 1) - rng.uniform(0.8, 2), 0, 1)
        image += np.float32(rng.uniform(0.3, 1) * glare)[..., None]
    contrast = np.float32(np.exp(rng.normal(0, 0.15)))
    image = image * contrast + (1 - contrast) / 2
    if chance[4] < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6))
    elif chance[4] < 0.5:
        much = rng.uniform(0.3, 1.5)
        image = cv2.addWeighted(image, 1 + much, cv2.GaussianBlur(image, (0, 0), 1.0), -much, 0)
    if chance[5] < 0.4:
        y, x = rng.integers(0, 512 - h), rng.integers(0, 512 - w)
        image += _noise()[y : y + h, x : x + w] * np.float32(rng.uniform(0, 0.08))
    return np.clip(image, 0, 1)


def augment(rng, photo, label, h: int, w: int, ground=None) -> tuple[np.ndarray, np.ndarray]:
    """One new look at a picture: photo float32 (h, w, 3) in 0..1, label uint8 (h, w).

    ground: a fish-free picture (uint8 RGB) to cut the fish out onto, or None.
    """
    view, chance = _view(rng, label, h, w), rng.uniform(size=7)
    border = cv2.BORDER_REPLICATE if chance[0] < 0.5 else cv2.BORDER_CONSTANT
    fill = tuple(rng.uniform(0, 255, 3)) if chance[1] < 0.5 else (0, 0, 0)
    image = np.float32(cv2.remap(photo, view, None, cv2.INTER_LINEAR, borderMode=border, borderValue=fill)) / 255
    label = cv2.remap(label, view, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    fish = cv2.GaussianBlur((label > 0).astype(np.float32), (3, 3), 0.7)[..., None]
    if ground is not None and label.any():
        other = _view(rng, np.zeros(ground.shape[:2], bool), h, w)
        other = cv2.remap(ground, other, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        other = _light(rng, np.float32(other) / 255)
        if rng.uniform() < 0.6:  # the fish's shadow
            drop = np.float32([[1, 0, rng.normal(0, 0.02 * w)], [0, 1, rng.normal(0, 0.02 * h)]])
            shadow = cv2.warpAffine(cv2.GaussianBlur(fish, (0, 0), rng.uniform(1, 6)), drop, (w, h))
            other = other * (1 - np.float32(rng.uniform(0.2, 0.8)) * shadow[..., None])
        image = fish * image + (1 - fish) * other
        if chance[6] < 0.4:  # a fish known by its shape alone, in the colours of another ground
            skin = cv2.remap(ground, view, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            skin = _light(rng, np.float32(skin) / 255) * (0.4 + image.mean(2, keepdims=True))
            image = image + fish * np.float32(rng.uniform(0.5, 1)) * (skin - image)
    if label.any() and chance[2] < 0.5:  # another fish: colour, blotches, shine, but the same outline
        skin = image * np.exp(_field(rng, h, w, int(rng.integers(3, 40)), rng.uniform(0, 0.4)))[..., None]
        skin = _light(rng, np.clip(skin, 0, 1)) if rng.uniform() < 0.5 else skin
        image = fish * skin + (1 - fish) * image
    for _ in range(rng.integers(1, 4) if chance[3] < 0.15 else 0):  # things in front
        bh, bw = rng.integers(4, max(5, h // 8)), rng.integers(4, max(5, w // 8))
        y, x = rng.integers(0, h - bh), rng.integers(0, w - bw)
        image[y : y + bh, x : x + bw], label[y : y + bh, x : x + bw] = rng.uniform(0, 1, 3), 0
    if chance[4] < 0.15:  # the date that a camera writes
        ink, at = np.zeros((h, w), np.uint8), (int(rng.uniform(0, 0.75) * w), int(rng.uniform(0.05, 1) * h))
        text = f"{rng.integers(1, 32):02d}/{rng.integers(1, 13):02d}/{rng.integers(1998, 2026)}"
        cv2.putText(ink, text, at, int(rng.integers(0, 4)), rng.uniform(0.3, 0.6), 255, 1, cv2.LINE_AA)
        image += (np.float32(rng.uniform(0, 1, 3)) - image) * (ink[..., None] / np.float32(255))
    return (_light(rng, image) if chance[5] < 0.75 else image), label


def sample(rng, pictures: Pictures, h: int, w: int, fish_only=False) -> tuple[np.ndarray, np.ndarray]:
    """A random picture, augmented; a third of the fish are moved to another ground."""
    photo, label = pictures[rng.integers(len(pictures))]
    while fish_only and not label.any():
        photo, label = pictures[rng.integers(len(pictures))]
    ground = pictures[rng.choice(pictures.fishless)][0] if pictures.fishless and rng.uniform() < 0.35 else None
    return augment(rng, photo, label, h, w, ground)


def normalised(images: list[np.ndarray]) -> np.ndarray:
    """Pictures float (h, w, 3) in 0..1 of one size -> float32 (B, 3, h, w), ImageNet's mean and deviation."""
    mean, std = np.float32([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    return np.ascontiguousarray(((np.stack(images) - mean) / std).transpose(0, 3, 1, 2), np.float32)
