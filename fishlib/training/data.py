"""Training pictures of the zoo: drawn once to disk by fishlib.phantom, then seen anew each time they are used."""

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from fishlib.photos import masks

HELD_OUT_SEED = 900_001  # the phantom's seed of the pictures that cards are measured on
BODY = 1  # bits of a label
FINS = 2
NOISE = 512  # px, side of the noise that pictures take a window of


def _draw(job: tuple[int, int, float, int]) -> tuple[np.ndarray, np.ndarray]:
    """(photo, label) of picture k: every species in turn, a share without fish; of those with fish 8 % are specimens
    and 8 % are cut off by the frame."""
    from fishlib import phantom

    cv2.setNumThreads(1)
    k, seed, fishless, side = job
    empty, odd = np.random.default_rng([seed, k]).uniform(size=2)
    if empty < fishless:
        drawn = phantom.draw(None, seed, k, style="angler", side=side, cut_off=False)
    else:
        names = list(phantom.traits.load())
        style = "specimen" if odd < 0.08 else "angler"
        drawn = phantom.draw(names[k % len(names)], seed, k, style=style, side=side, cut_off=bool(odd > 0.92))
    label = drawn.body * np.uint8(BODY) | drawn.fins * np.uint8(FINS)
    return drawn.photo, label


def draw_all(folder: Path, count: int, seed: int, workers=2, fishless=0.2, side=320) -> Path:
    """Fills a folder with drawn pictures; a finished one is used again.

    photos.npy uint8 (N, side, side, 3) and labels.npy uint8 (N, side, side): a picture lies in the top left corner of
    its square. sizes.npy int32 (N, 2): its height and width.
    """
    if (folder / "sizes.npy").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    photos = np.lib.format.open_memmap(folder / "photos.npy", "w+", np.uint8, (count, side, side, 3))
    labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.uint8, (count, side, side))
    sizes = np.zeros((count, 2), np.int32)

    jobs = [(k, seed, fishless, side) for k in range(count)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for k, (photo, label) in enumerate(pool.map(_draw, jobs, chunksize=16)):
            height, width = label.shape
            photos[k, :height, :width] = photo
            labels[k, :height, :width] = label
            sizes[k] = height, width

    np.save(folder / "part.npy", sizes)
    (folder / "part.npy").replace(folder / "sizes.npy")
    return folder


class Pictures:
    """A folder of draw_all: `[k] -> (photo uint8 (h, w, 3), label uint8 (h, w))`; `fishless` are numbers."""

    def __init__(self, folder: Path):
        self.photos = np.load(folder / "photos.npy", mmap_mode="r")
        self.labels = np.load(folder / "labels.npy", mmap_mode="r")
        self.sizes = np.load(folder / "sizes.npy", mmap_mode="r")
        self.fishless = [k for k in range(len(self)) if not self.labels[k].any()]

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        height, width = self.sizes[k]
        return np.asarray(self.photos[k, :height, :width]), np.asarray(self.labels[k, :height, :width])


def box_of(mask: np.ndarray) -> np.ndarray:
    """masks.box_of, but zeros for an empty mask."""
    found = masks.box_of(mask)
    return np.zeros(4, np.float32) if found is None else found


def _view(rng, label: np.ndarray, h: int, w: int) -> np.ndarray:
    """Map (h, w, 2) float32 from a new picture's pixels to the old one's: turn, zoom on the fish, mirror, bend."""
    has_fish = label.any()
    x0, y0, x1, y1 = box_of(label) if has_fish else (0, 0, *label.shape[::-1])
    middle = np.array([x0 + x1, y0 + y1]) / 2  # of what is looked at, in the old picture
    extent = max(x1 - x0, y1 - y0)
    long = max(h, w)

    least, most = (0.3, 1.12) if has_fish else (1.0, 2.0)  # share of the new picture it fills
    zoom = min(rng.uniform(least, most) * long / extent, 3.0)

    angle = rng.choice([0, 0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.15)
    if rng.uniform() < 0.3:
        angle = rng.uniform(-np.pi, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    stretch = (1 + rng.normal(0, 0.12)) * rng.choice([-1, 1])  # or a mirror image
    shear = rng.normal(0, 0.08)
    shape = [[stretch, shear], [0, 1]]

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
    """A camera's noise float32 (NOISE, NOISE, 3), deviation 1; pictures take a window of it, as drawing it is slow."""
    return np.random.default_rng(0).standard_normal((NOISE, NOISE, 3), np.float32)


def _light(rng, image: np.ndarray) -> np.ndarray:
    """Another light, lens and camera: float32 (h, w, 3) to the same, cut to 0..1. h and w are at most NOISE - 1."""
    h, w = image.shape[:2]
    if max(h, w) >= NOISE:
        raise ValueError(f"a picture of {w} x {h} px is larger than the noise, {NOISE} px")
    swaps, greys, shades, glares, sharpness, noises = rng.uniform(size=6)  # below its share each is done

    mix = np.eye(3) * np.exp(rng.normal(0, 0.18, 3)) + rng.normal(0, 0.07, (3, 3))
    if swaps < 0.1:
        mix = mix[rng.permutation(3)]
    grey = rng.uniform(-0.3, 0.8) if greys < 0.4 else 0.0
    mix = ((1 - grey) * mix + grey / 3) * np.exp(rng.normal(0, 0.15))
    coloured = np.clip(cv2.transform(image, np.float32(mix)), 0, 1)
    image = cv2.pow(coloured, np.exp(rng.normal(0, 0.3)))

    if shades < 0.5:
        cells = int(rng.integers(2, 6))
        image *= cv2.exp(_field(rng, h, w, cells, 0.25))[..., None]
    if glares < 0.3:  # wet shine and glare
        cells = int(rng.integers(4, 24))
        glare = np.clip(_field(rng, h, w, cells, 1) - rng.uniform(0.8, 2), 0, 1)
        image += np.float32(rng.uniform(0.3, 1) * glare)[..., None]

    contrast = np.float32(np.exp(rng.normal(0, 0.15)))
    image = image * contrast + (1 - contrast) / 2
    if sharpness < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6))
    elif sharpness < 0.5:
        much = rng.uniform(0.3, 1.5)
        image = cv2.addWeighted(image, 1 + much, cv2.GaussianBlur(image, (0, 0), 1.0), -much, 0)
    if noises < 0.4:
        y, x = rng.integers(0, NOISE - h), rng.integers(0, NOISE - w)
        image += _noise()[y : y + h, x : x + w] * np.float32(rng.uniform(0, 0.08))
    return np.clip(image, 0, 1)


def augment(rng, photo, label, h: int, w: int, ground=None) -> tuple[np.ndarray, np.ndarray]:
    """One new look at a picture: photo float32 (h, w, 3), label uint8 (h, w); h and w at most NOISE - 1.

    The photo is cut to 0..1 in three of four looks; where the light stays as it was, shine on a fish may exceed 1.
    ground: a fish-free picture (uint8 RGB) to cut the fish out onto, or None.
    """
    view = _view(rng, label, h, w)
    replicates, fills, skins, things, dates, lights, shapes = rng.uniform(size=7)  # below its share each is done

    border = cv2.BORDER_REPLICATE if replicates < 0.5 else cv2.BORDER_CONSTANT
    fill = tuple(rng.uniform(0, 255, 3)) if fills < 0.5 else (0, 0, 0)
    image = np.float32(cv2.remap(photo, view, None, cv2.INTER_LINEAR, borderMode=border, borderValue=fill)) / 255
    label = cv2.remap(label, view, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    has_fish = label.any()
    fish = cv2.GaussianBlur((label > 0).astype(np.float32), (3, 3), 0.7)[..., None]  # (h, w, 1), soft edges

    if ground is not None and has_fish:
        image = _onto(rng, image, fish, ground)
        if shapes < 0.4:
            image = _in_colours_of(rng, image, fish, ground, view)
    if has_fish and skins < 0.5:
        image = _another_skin(rng, image, fish)
    if things < 0.15:
        for _ in range(rng.integers(1, 4)):
            _cover(rng, image, label)
    if dates < 0.15:
        _stamp(rng, image)
    if lights < 0.75:
        image = _light(rng, image)
    return image, label


def _onto(rng, image: np.ndarray, fish: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """The fish, soft mask (h, w, 1), on another ground (uint8 RGB), mostly with its shadow."""
    h, w = fish.shape[:2]
    view = _view(rng, np.zeros(ground.shape[:2], bool), h, w)
    other = cv2.remap(ground, view, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    other = _light(rng, np.float32(other) / 255)
    if rng.uniform() < 0.6:
        drop = np.float32([[1, 0, rng.normal(0, 0.02 * w)], [0, 1, rng.normal(0, 0.02 * h)]])
        shadow = cv2.warpAffine(cv2.GaussianBlur(fish, (0, 0), rng.uniform(1, 6)), drop, (w, h))
        other = other * (1 - np.float32(rng.uniform(0.2, 0.8)) * shadow[..., None])
    return fish * image + (1 - fish) * other


def _in_colours_of(rng, image: np.ndarray, fish: np.ndarray, ground: np.ndarray, view: np.ndarray) -> np.ndarray:
    """A fish known by its shape alone, in the colours of the ground."""
    skin = cv2.remap(ground, view, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    skin = _light(rng, np.float32(skin) / 255) * (0.4 + image.mean(2, keepdims=True))
    return image + fish * np.float32(rng.uniform(0.5, 1)) * (skin - image)


def _another_skin(rng, image: np.ndarray, fish: np.ndarray) -> np.ndarray:
    """Another fish: colour, blotches, shine, but the same outline."""
    h, w = fish.shape[:2]
    cells = int(rng.integers(3, 40))
    skin = image * np.exp(_field(rng, h, w, cells, rng.uniform(0, 0.4)))[..., None]
    if rng.uniform() < 0.5:
        skin = _light(rng, np.clip(skin, 0, 1))
    return fish * skin + (1 - fish) * image


def _cover(rng, image: np.ndarray, label: np.ndarray) -> None:
    """A thing of one colour in front, in place; the picture has more than 5 pixels a side."""
    h, w = label.shape
    height, width = rng.integers(4, max(5, h // 8)), rng.integers(4, max(5, w // 8))
    y, x = rng.integers(0, h - height), rng.integers(0, w - width)
    image[y : y + height, x : x + width] = rng.uniform(0, 1, 3)
    label[y : y + height, x : x + width] = 0


def _stamp(rng, image: np.ndarray) -> None:
    """The date that a camera writes, in place."""
    h, w = image.shape[:2]
    ink = np.zeros((h, w), np.uint8)
    at = (int(rng.uniform(0, 0.75) * w), int(rng.uniform(0.05, 1) * h))
    text = f"{rng.integers(1, 32):02d}/{rng.integers(1, 13):02d}/{rng.integers(1998, 2026)}"
    font = int(rng.integers(0, 4))
    size = rng.uniform(0.3, 0.6)
    cv2.putText(ink, text, at, font, size, 255, 1, cv2.LINE_AA)
    image += (np.float32(rng.uniform(0, 1, 3)) - image) * (ink[..., None] / np.float32(255))


def sample(rng, pictures: Pictures, h: int, w: int, fish_only=False) -> tuple[np.ndarray, np.ndarray]:
    """A random picture, augmented; a third of the fish are moved to another ground. fish_only: one with a fish, which
    the pictures must have."""
    photo, label = pictures[rng.integers(len(pictures))]
    while fish_only and not label.any():
        photo, label = pictures[rng.integers(len(pictures))]
    ground = None
    if pictures.fishless and rng.uniform() < 0.35:
        ground, _ = pictures[rng.choice(pictures.fishless)]
    return augment(rng, photo, label, h, w, ground)


def normalised(images: list[np.ndarray]) -> np.ndarray:
    """Pictures float (h, w, 3) in 0..1 of one size -> float32 (B, 3, h, w), ImageNet's mean and deviation."""
    mean = np.float32([0.485, 0.456, 0.406])
    std = np.float32([0.229, 0.224, 0.225])
    pixels = (np.stack(images) - mean) / std
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
