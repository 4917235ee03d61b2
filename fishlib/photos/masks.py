"""Masks: bool (H, W), True = fish. Reading, writing and small pure functions; none changes its input."""

from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco

from fishlib.errors import UnreadablePhoto
from fishlib.files import writing
from fishlib.photos import decode

# What tells a mask made elsewhere from a photo or a cut-out (see `read_given`); measured on 168 masks, as PNG, as JPEG
# of quality 20 to 90, shrunk, enlarged 8 times and blurred by 1 % of the long side: at most 1.7 % of the fish had a
# grey of its own; in cut-outs made with them on black, white and grey, and in the photos, at least 4.8 %.
DARK, LIGHT = 64, 192  # a grey from here to there is neither
EDGE = 0.01  # of the long side: so far from the edge a pixel may be grey
MAX_GREY = 0.03  # of the fish or of the background, whichever is smaller

LARGE = 50_000_000  # pixels from which masks are resized in whole numbers, at a quarter of the memory


def read_mask(path: Path) -> np.ndarray:
    """Bool (H, W) of a mask of our own: 128 and up is fish, transparent is not; UnreadablePhoto names the file."""
    try:
        grey, alpha = decode.read_grey(path)
    except UnreadablePhoto as error:
        raise UnreadablePhoto(f"{path} is no readable mask ({error}); remove it and run again.") from error
    if alpha is not None:
        grey = np.where(alpha >= 128, grey, np.uint8(0))
    return grey >= 128


def read_given(path: Path) -> np.ndarray:
    """Bool (H, W) of a mask picture that somebody made: white is fish; of a cut-out, what is not transparent.

    A mask has two values. Of exactly two the brighter is fish (0 and 1, say); edges may be soft, as JPEG, resizing and
    networks leave them. UnreadablePhoto, the reason alone, where greys fill the fish or its surroundings: a photo, a
    cut-out on a plain ground, a map of classes.
    """
    grey, alpha = decode.read_grey(path)
    if alpha is not None and _has_both(alpha):
        is_mask = _is_black_and_white(grey[alpha >= 128])
        grey = np.where(alpha >= 128, grey, np.uint8(0)) if is_mask else alpha  # else it is a cut-out
    darkest, brightest = int(grey.min()), int(grey.max())
    if darkest < brightest and np.count_nonzero(grey == darkest) + np.count_nonzero(grey == brightest) == grey.size:
        return grey == brightest
    if brightest < 128:
        raise UnreadablePhoto(f"mask is all black, its brightest pixel is {brightest} (fish is 128 and up)")
    fish = grey >= 128
    if _grey_inside(grey, fish) > MAX_GREY:
        raise UnreadablePhoto("this is no mask of black and white (is it a cut-out, a photo, a map of classes?)")
    return fish


def write_mask(mask: np.ndarray, path: Path) -> None:
    """Write a lossless one-channel PNG of 0 and 255, atomically; UserError where that cannot be done."""
    _, code = cv2.imencode(".png", mask.astype(np.uint8) * 255)
    writing.write_bytes(path, code.tobytes())


def to_rle(mask: np.ndarray) -> dict:
    """COCO's compressed RLE, ready for JSON: size [H, W] and counts as text."""
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    height, width = rle["size"]
    return {"size": [int(height), int(width)], "counts": rle["counts"].decode("ascii")}


def from_rle(rle: dict, size: tuple[int, int] | None = None) -> np.ndarray:
    """Bool (H, W) of a COCO RLE, compressed or not.

    size: the (height, width) it must have. ValueError where it has another, where it is larger than any photo, and
    where its runs do not add up to H * W: all of it before anything of that size is made.
    """
    if not isinstance(rle, dict) or not {"size", "counts"} <= {*rle}:
        raise ValueError("an outline is neither a polygon nor an RLE of size and counts")
    stated, counts = rle["size"], rle["counts"]
    if not isinstance(stated, list | tuple) or [type(side) for side in stated] != [int, int]:
        raise ValueError("the size of a mask is no [height, width]")
    height, width = stated
    if size is not None and (height, width) != tuple(size):
        raise ValueError(f"mask is {width} x {height}, photo {size[1]} x {size[0]} pixels")
    if min(height, width) < 1 or height * width > decode.MAX_PIXELS:
        raise ValueError(f"a mask of {width} x {height} pixels")
    runs = counts if isinstance(counts, list) else _runs(counts)
    if any(type(run) is not int or run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError("the runs of a mask do not add up to its size")
    fish = np.arange(len(runs)) % 2 == 1  # background first, down the columns
    return np.repeat(fish, runs).reshape(width, height).T.copy()


def dilate(mask: np.ndarray, n: int, kernel: int = 3) -> np.ndarray:
    """n dilations with a square of kernel pixels (paper, table 4; 3 x 3 is ours, the paper names none)."""
    square = np.ones((kernel, kernel), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square, iterations=n).astype(bool)


def box_of(mask: np.ndarray) -> np.ndarray | None:
    """Float32 (4,) XYXY round the mask, x1 and y1 one past its last column and row; None if it is empty."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    if len(columns) == 0:
        return None
    return np.float32([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask at size (height, width); a pixel is fish where at least half of it is (enlarged: linear)."""
    height, width = size
    if mask.shape == (height, width):
        return mask.copy()
    shrinks = height * width < mask.size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    if max(height * width, mask.size) > LARGE:
        share = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=how)
        return share >= 128
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=how)
    return share >= 0.5


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union; NaN when both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else float("nan")


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected piece; an empty mask stays empty."""
    count, labels, areas = _labelled(mask)
    if count == 0:
        return mask.copy()
    return labels == 1 + areas.argmax()


def fill_holes(mask: np.ndarray, max_area: float) -> np.ndarray:
    """The mask with its holes of at most max_area pixels filled; what reaches the border is no hole."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    hole = stats[:, cv2.CC_STAT_AREA] <= max_area
    at_border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    hole[at_border] = False
    return mask | (hole[labels] & ~mask)


def pieces(mask: np.ndarray, min_share: float = 0.0) -> int:
    """How many 8-connected pieces hold at least min_share of the mask's pixels."""
    _, _, areas = _labelled(mask)
    return int(np.count_nonzero(areas >= min_share * mask.sum()))


def touches_border(mask: np.ndarray) -> bool:
    """Does the mask reach the first or last row or column?"""
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def _labelled(mask: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """(how many 8-connected pieces, labels int32 (H, W) with 0 for no piece, areas of the pieces 1, 2, ...)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return count - 1, labels, stats[1:, cv2.CC_STAT_AREA]


def _runs(counts: str | bytes) -> list[int]:
    """The runs that COCO's text stands for (maskApi.c, rleFrString; read here, since pycocotools trusts what it reads).

    Each number is a few characters of 6 bits above "0", lowest first: 5 bits of it and whether another follows; the
    fifth of the last is its sign. From the fourth number on each is the difference from the one before the last.
    """
    if not isinstance(counts, str | bytes):
        raise ValueError("the runs of a mask are neither text nor a list")
    text = counts.encode("latin-1", "replace") if isinstance(counts, str) else counts
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    last = codes & 32 == 0
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or not last[-1]:
        raise ValueError("the runs of a mask are no text of COCO")
    starts = np.flatnonzero(np.append(True, last[:-1]))
    lengths = np.diff(np.append(starts, codes.size))
    if lengths.max() > 7:  # 35 bits
        raise ValueError("a run of a mask is longer than any photo")
    places = np.arange(codes.size) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 31) << (5 * places), starts)
    values -= np.where(codes[last] & 16, 1 << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values.tolist()


def _has_both(alpha: np.ndarray) -> bool:
    """Is something transparent, and something not?"""
    return bool(alpha.min() < 128 <= alpha.max())


def _is_black_and_white(grey: np.ndarray) -> bool:
    """Do these pixels hold black and white, and next to nothing else?"""
    black, white = np.count_nonzero(grey < 32), np.count_nonzero(grey >= 224)
    return min(black, white) > 0 and black + white >= 0.98 * grey.size


def _grey_inside(grey: np.ndarray, fish: np.ndarray) -> float:
    """Pixels neither dark nor light further from the mask's edge than EDGE, as a share of its smaller side."""
    reach = max(2, round(EDGE * max(fish.shape)))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    inside = fish.astype(np.uint8)
    edge = cv2.dilate(inside, square) != cv2.erode(inside, square)
    between = (grey >= DARK) & (grey < LIGHT) & ~edge
    smaller = min(np.count_nonzero(fish), np.count_nonzero(~fish)) or fish.size
    return np.count_nonzero(between) / smaller
