"""Masks: bool (H, W), True = fish. Reading, writing and small pure functions; none changes its input."""

from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco

from fishlib.files import writing
from fishlib.photos import decode


def read_mask(path: Path) -> np.ndarray:
    """Bool (H, W) of a mask picture: 128 and up is fish, transparent is not; errors as decode.decode."""
    return cv2.cvtColor(decode.decode(path, background="black"), cv2.COLOR_RGB2GRAY) >= 128


def write_mask(mask: np.ndarray, path: Path) -> None:
    """Write a lossless one-channel PNG of 0 and 255, atomically; UserError where that cannot be done."""
    with writing.atomic(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes())


def to_rle(mask: np.ndarray) -> dict:
    """COCO's compressed RLE, ready for JSON: size [H, W] and counts as text."""
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def from_rle(rle: dict) -> np.ndarray:
    """Bool (H, W) of a COCO RLE, compressed or not; ValueError where its runs do not add up to H * W."""
    rle = coco.frPyObjects(rle, *rle["size"]) if isinstance(rle["counts"], list) else rle
    counts = to_rle(mask := coco.decode(rle).astype(bool))["counts"]
    if rle["counts"] not in (counts, counts.encode()):  # pycocotools fills up short runs with chance memory
        raise ValueError("the runs of a mask do not add up to its size")
    return mask


def dilate(mask: np.ndarray, n: int, kernel: int = 3) -> np.ndarray:
    """n dilations with a square of kernel pixels (paper, table 4; 3 x 3 is ours, the paper names none)."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((kernel, kernel), np.uint8), iterations=n).astype(bool)


def box_of(mask: np.ndarray) -> np.ndarray | None:
    """Float32 (4,) XYXY round the mask, x1 and y1 one past its last column and row; None if it is empty."""
    x, y = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return np.float32([x[0], y[0], x[-1] + 1, y[-1] + 1]) if len(x) else None


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask at size (height, width); a pixel is fish where at least half of it is (enlarged: linear)."""
    if mask.shape == tuple(size):
        return mask.copy()
    how = cv2.INTER_AREA if size[0] * size[1] < mask.size else cv2.INTER_LINEAR
    return cv2.resize(mask.astype(np.float32), size[::-1], interpolation=how) >= 0.5


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union; NaN when both are empty."""
    return np.count_nonzero(a & b) / union if (union := np.count_nonzero(a | b)) else float("nan")


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected piece; an empty mask stays empty."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax() if count > 1 else mask.copy()


def fill_holes(mask: np.ndarray, max_area: float) -> np.ndarray:
    """The mask with its holes of at most max_area pixels filled; what reaches the border is no hole."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    hole = stats[:, cv2.CC_STAT_AREA] <= max_area
    hole[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = False
    return mask | (hole[labels] & ~mask)


def pieces(mask: np.ndarray, min_share: float = 0.0) -> int:
    """How many 8-connected pieces hold at least min_share of the mask's pixels."""
    stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2][1:]
    return int(np.count_nonzero(stats[:, cv2.CC_STAT_AREA] >= min_share * mask.sum()))


def touches_border(mask: np.ndarray) -> bool:
    """Does the mask reach the first or last row or column?"""
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
