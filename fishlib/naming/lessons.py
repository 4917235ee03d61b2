"""What pre-training sees: which photos train and which are held out, and their pictures in batches."""

import itertools
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from fishlib.errors import UnreadablePhoto, UserError
from fishlib.naming import finetune
from fishlib.photos import decode
from fishlib.photos.composite import to_square

AHEAD = 3  # batches decoded while the network works
COLUMNS = ["photo_id", "species", "status", "reason"]


def split(manifest: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """(training rows, held-out rows, notes) of a manifest: a seeded share of each species is held out.

    Copies of a file count once; a species with one photo trains but is not held out; notes name it, and every
    species without a readable photo. Raises UserError for fewer than two species or nothing to hold out.
    """
    readable = manifest[manifest.status == "ok"]
    usable = readable.drop_duplicates("sha256")
    train, test = [], []
    for _, rows in usable.groupby("species"):
        rows = rows.sort_values("sha256").sample(frac=1, random_state=seed)
        n_held_out = min(max(1, round(share * len(rows))), len(rows) - 1)
        test.append(rows[:n_held_out])
        train.append(rows[n_held_out:])
    if len(train) < 2 or not any(len(rows) for rows in test):
        raise UserError("Pretraining needs two species with a readable photo, one of them with two; add photos.")

    notes = []
    lost = sorted(set(manifest.species) - set(usable.species) - {""})
    if lost:
        notes.append(f"Species left out, without a photo of their own that can be read: {', '.join(lost)}.")
    alone = [rows.species.iloc[0] for rows, held_out in zip(train, test, strict=True) if held_out.empty]
    if alone:
        notes.append(f"Species trained on their only photo, none held out: {', '.join(alone)}.")
    copies = len(readable) - len(usable)
    if copies:
        notes.append(f"Photos left out as copies of another: {copies}.")
    return pd.concat(train), pd.concat(test), notes


def roles(manifest: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame, changed: dict[str, str]) -> pd.DataFrame:
    """COLUMNS, a row a file of the manifest. status: train, held_out, copy, or why it takes no part: changed,
    unreadable, excluded.

    changed: photo_id -> reason of photos that were other than at the scan when an epoch wanted them.
    """
    frame = manifest[COLUMNS].copy()
    frame.loc[frame.status == "ok", "status"] = "copy"
    frame.loc[frame.photo_id.isin(train.photo_id), "status"] = "train"
    frame.loc[frame.photo_id.isin(test.photo_id), "status"] = "held_out"
    for photo_id, reason in changed.items():
        frame.loc[frame.photo_id == photo_id, ["status", "reason"]] = ["changed", reason]
    return frame


def batches(
    pool: ThreadPoolExecutor,
    photos: Path,
    rows: pd.DataFrame,
    classes: list[str],
    settings: dict,
    changed: dict[str, str],
    seeds: list[int] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches (uint8 (B, size, size, 3), class indices int (B,)) of a manifest's rows; seeds, [seed, epoch], shuffle
    and augment, for training.

    A photo that is no longer what the manifest says (changed, gone) is left out and put into `changed`, photo_id ->
    reason. Raises UserError when not one of a batch can be read.
    """
    labels = np.array([classes.index(species) for species in rows.species])
    order = np.arange(len(rows))
    if seeds:
        order = _shuffled(labels, settings["balanced"], seeds)

    def picture(place: int) -> np.ndarray | None:
        """The picture at a place in the order; None where the photo is not what it was."""
        row = rows.iloc[order[place]]
        try:
            image = decode.read(photos / row.path, row.sha256).pixels
        except UnreadablePhoto as error:
            changed[row.photo_id] = str(error)
            return None
        if seeds is None:
            return to_square(image, settings["size"])
        return augment(image, np.random.default_rng([*seeds, place]), settings)

    def begin(places: np.ndarray):
        return [pool.submit(picture, place) for place in places], labels[order[places]]

    # parts of nearly one size: batch norm suffers from a last batch of two photos
    parts = iter(np.array_split(np.arange(len(order)), finetune.steps_of(len(rows), settings)))
    waiting = deque(begin(places) for places in itertools.islice(parts, AHEAD))
    while waiting:
        pending, target = waiting.popleft()
        waiting.extend(begin(places) for places in itertools.islice(parts, 1))
        images = [future.result() for future in pending]
        there = [image is not None for image in images]
        if not any(there):
            raise UserError(
                f"Not one of {len(images)} photos of {photos} can be read any more; once the folder is there again the "
                "same command goes on."
            )
        yield np.stack([image for image in images if image is not None]), target[there]


def augment(image: np.ndarray, random: np.random.Generator, settings: dict) -> np.ndarray:
    """A training view, uint8 (size, size, 3), of uint8 (H, W, 3): a window, maybe mirrored, colours shifted.

    Windows are squashed to the square like whole photos in evaluation; they keep at least `least_area`.
    """
    height, width = image.shape[:2]
    area = random.uniform(settings["least_area"], 1)
    stretch = math.exp(random.uniform(-0.1, 0.1))
    h = min(height, max(1, round(height * math.sqrt(area) * stretch)))
    w = min(width, max(1, round(width * math.sqrt(area) / stretch)))
    top = random.integers(height - h + 1)
    left = random.integers(width - w + 1)
    view = to_square(image[top : top + h, left : left + w], settings["size"]).astype(np.float32)

    if random.random() < 0.5:
        view = view[:, ::-1]

    brightness, contrast, saturation = 1 + settings["colour"] * random.uniform(-1, 1, 3)
    grey = view.mean(2, keepdims=True)
    view = grey + saturation * (view - grey)
    view = brightness * (view.mean() + contrast * (view - view.mean()))
    return np.clip(np.rint(view), 0, 255).astype(np.uint8)


def _shuffled(labels: np.ndarray, balanced: bool, seeds: list[int]) -> np.ndarray:
    """Every row once in a seeded order; balanced: as many draws, each species equally often."""
    random = np.random.default_rng(seeds)
    if not balanced:
        return random.choice(np.arange(len(labels)), len(labels), replace=False)
    n_species = len(set(labels))
    share = 1 / (np.bincount(labels)[labels] * n_species)
    return random.choice(np.arange(len(labels)), len(labels), replace=True, p=share)
