"""The paper's mask adjustment: pick the plausible mask near the centre among candidates, then clean it.

Small pure functions over arrays. Candidates are mask logits float32 (n, h, w), fish where above 0; boxes are
float32 (n, 4) XYXY in the pixels of those arrays. The paper (section 3) names the steps and no figure, so
every number here is ours unless its source is given.
"""

import hashlib

import cv2
import numpy as np

from fishlib import masks

# what a candidate is scored by -> its weight; SAM's own estimate and the other candidates count most
WEIGHTS = {"iou": 1.0, "stability": 0.5, "centre": 0.5, "agreement": 1.0, "share": 0.5, "detector": 0.5}
USUAL_SHARE = 0.25  # a fish, also one that lies diagonally, covers at least this share of its box
FULL_SHARE = 0.95  # more is the box itself and no animal
VANISHED = 16  # pixels; a smaller mask is none
HUGS = 0.9  # share of the photo's rim under the mask from which it is the background that was cut out
DISAGREES = 0.3  # least IoU of the mask's own box with the detected one


def seeded(image: np.ndarray, seed: int) -> np.random.Generator:
    """A generator that depends on the photo's pixels and the seed, not on the order of photos."""
    digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def perturb(boxes, size, jitters: int, shift: float, scale: float, rng: np.random.Generator) -> np.ndarray:
    """float32 (n, 1 + jitters, 4): each box as it is, then moved by up to `shift` of its sides and resized by
    up to `scale`, both uniform, inside the photo of `size` (height, width), at least a pixel each way."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 1, 4)
    centre, side = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    draws = rng.uniform(-1, 1, (2, len(boxes), jitters, 2)).astype(np.float32)
    centre, side = centre + shift * draws[0] * side, side * (1 + scale * draws[1])
    moved = np.concatenate([centre - side / 2, centre + side / 2], -1)
    high = np.array([size[1], size[0]] * 2, np.float32)
    moved = np.clip(np.concatenate([boxes, moved], 1), 0, high)
    moved[..., :2] = np.minimum(moved[..., :2], high[:2] - 1)
    moved[..., 2:] = np.maximum(moved[..., 2:], moved[..., :2] + 1)
    return moved


def stability(logits: np.ndarray, offset: float = 1.0) -> np.ndarray:
    """(n,) IoU of the masks cut at +offset and at -offset (segment-anything's stability score and offset)."""
    inner, outer = (logits > offset).sum((1, 2)), (logits > -offset).sum((1, 2))
    return inner / np.maximum(outer, 1)


def centrality(candidates: np.ndarray) -> np.ndarray:
    """(n,) 1 where the mask's centre of mass is the photo's centre, 0 in its corners and if empty."""
    _, h, w = candidates.shape
    area = candidates.sum((1, 2))
    y = candidates.sum(2) @ (np.arange(h) + 0.5) / np.maximum(area, 1)
    x = candidates.sum(1) @ (np.arange(w) + 0.5) / np.maximum(area, 1)
    return np.where(area > 0, 1 - np.hypot(x - w / 2, y - h / 2) / np.hypot(w / 2, h / 2), 0.0)


def agreement(candidates: np.ndarray) -> np.ndarray:
    """(n,) mean IoU with the other candidates; 1 for a single one."""
    n = len(candidates)
    flat = candidates.reshape(n, -1).astype(np.float32)
    shared, area = flat @ flat.T, flat.sum(1)
    overlap = shared / np.maximum(area[:, None] + area[None] - shared, 1)
    return (overlap.sum(1) - overlap.diagonal()) / (n - 1) if n > 1 else np.ones(n)


def box_share(candidates: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(n,) share of the mask inside its box, less where it covers too little of the box or all of it."""
    fit = np.zeros(len(candidates))
    for i, (mask, box) in enumerate(zip(candidates, boxes, strict=True)):
        x0, y0, x1, y1 = np.rint(box).astype(int)
        inside = mask[max(y0, 0) : max(y1, y0 + 1), max(x0, 0) : max(x1, x0 + 1)]
        fill, hit = (inside.mean() if inside.size else 0.0), inside.sum()
        fullness = min(1.0, fill / USUAL_SHARE) * min(1.0, (1 - fill) / (1 - FULL_SHARE))
        fit[i] = fullness * hit / max(mask.sum(), 1)
    return fit


def score(logits: np.ndarray, ious: np.ndarray, boxes: np.ndarray, detector: np.ndarray) -> dict[str, np.ndarray]:
    """name of WEIGHTS -> (n,), and "total", their weighted mean. ious: SAM's predicted IoU, cut to 0..1."""
    candidates = logits > 0
    scores = {
        "iou": np.clip(ious, 0, 1),
        "stability": stability(logits),
        "centre": centrality(candidates),
        "agreement": agreement(candidates),
        "share": box_share(candidates, boxes),
        "detector": np.asarray(detector, float),
    }
    total = sum(WEIGHTS[name] * values for name, values in scores.items()) / sum(WEIGHTS.values())
    return {**scores, "total": np.where(candidates.any((1, 2)), total, 0.0)}


def why(scores: dict[str, np.ndarray], best: int) -> str:
    """One phrase for the reader: how good the chosen candidate is and what speaks for it most."""
    lead = {name: WEIGHTS[name] * (scores[name][best] - scores[name].mean()) for name in WEIGHTS}
    strongest = max(lead, key=lead.get)
    total = scores["total"]
    how = f"score {total[best]:.2f} (mean {total.mean():.2f}), ahead most in {strongest}"
    return f"best of {len(total)} candidates, {how}"


def kernel_side(box: np.ndarray, share: float) -> int:
    """Odd side (px) of the opening's and closing's square: a share of the box's longer side, at least 1."""
    long = max(box[2] - box[0], box[3] - box[1])
    return 2 * int(share * long / 2) + 1


def clean(mask: np.ndarray, box: np.ndarray, kernel: float, hole: float) -> np.ndarray:
    """Opening, closing, largest piece, holes of at most `hole` of the mask filled. kernel: as kernel_side.

    What would leave nothing of a small mask is not done.
    """
    square = np.ones((kernel_side(box, kernel),) * 2, np.uint8)
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, square)
    closed = cv2.morphologyEx(opened if opened.any() else mask.astype(np.uint8), cv2.MORPH_CLOSE, square)
    piece = masks.largest_piece(closed.astype(bool))
    return masks.fill_holes(piece, hole * piece.sum())


def fault(mask: np.ndarray, box: np.ndarray) -> str:
    """Why a mask is not usable: it vanished, hugs the whole frame, or disagrees with its box; "" if it is."""
    if mask.sum() < VANISHED:
        return "the mask vanished"
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if rim.mean() >= HUGS:
        return "the mask hugs the whole frame"
    (x0, y0, x1, y1), own = box, masks.box_of(mask)
    cross = np.clip(np.minimum(own[2:], [x1, y1]) - np.maximum(own[:2], [x0, y0]), 0, None).prod()
    union = (own[2:] - own[:2]).prod() + max(x1 - x0, 0) * max(y1 - y0, 0) - cross
    return "" if cross / max(union, 1) >= DISAGREES else "the mask disagrees with its box"
