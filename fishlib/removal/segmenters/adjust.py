"""The paper's mask adjustment: pick the plausible mask near the centre among candidates, then clean it.

Small pure functions over arrays. Candidates are mask logits float32 (n, h, w), fish where above 0; boxes are
float32 (n, 4) XYXY in the pixels of those arrays. The paper (section 3) names the steps and no figure, so
every number here is ours unless its source is given.
"""

import hashlib

import cv2
import numpy as np

from fishlib.photos import masks

# What a candidate is scored by -> its weight. SAM's own estimate leads, and no term may pull towards a part of the
# fish: SAM answers a box with the whole, a part and a part of that, and a body without fins or tail is steadier and
# nearer the middle than the whole. So agreement is with what the other boxes found and centre is the box's own.
WEIGHTS = {"iou": 1.0, "agreement": 0.5, "centre": 0.25, "detector": 0.25, "share": 0.25}
USUAL_SHARE = 0.25  # a fish, also one that lies diagonally, covers at least this share of its box
FULL_SHARE = 0.95  # more is the box itself and no animal
VANISHED = 16  # pixels; a smaller mask is none
HUGS = 0.9  # share of the photo's rim under the mask from which it is the background that was cut out
DISAGREES = 0.3  # least IoU of the mask's own box with the detected one


def seeded(image: np.ndarray, seed: int) -> np.random.Generator:
    """A generator that depends on the photo's pixels and the seed, not on the order of photos."""
    digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def perturb(boxes, size, jitters: int, shift: float, grow: float, rng: np.random.Generator) -> np.ndarray:
    """float32 (n, 1 + jitters, 4): each box as it is, then moved by up to `shift` of its sides and enlarged by up to
    `grow`, both uniform, inside the photo of `size` (height, width), at least a pixel each way."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 1, 4)
    centre, side = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    draws = rng.uniform([[[[-1]]], [[[0]]]], 1, (2, len(boxes), jitters, 2)).astype(np.float32)
    centre, side = centre + shift * draws[0] * side, side * (1 + grow * draws[1])
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


def centrality(boxes: np.ndarray, size) -> np.ndarray:
    """(n,) 1 where the box's centre is that of the photo of `size` (height, width), 0 in its corners."""
    middle = np.array([size[1], size[0]]) / 2
    return 1 - np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - middle, axis=1) / np.linalg.norm(middle)


def agreement(candidates: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """(n,) how well the other boxes found the same: mean over them of the best IoU with one of their candidates; 1
    where there is no other. tried (n, 4): the box SAM was given for each candidate."""
    n, boxes, asked = len(candidates), *np.unique(tried, axis=0, return_inverse=True)
    flat, asked = candidates.reshape(n, -1).astype(np.float32), asked.reshape(-1)
    shared, area = flat @ flat.T, flat.sum(1)
    overlap = shared / np.maximum(area[:, None] + area[None] - shared, 1)
    best = np.stack([overlap[:, asked == k].max(1) for k in range(len(boxes))], 1)  # (n, boxes)
    best[np.arange(n), asked] = 0
    return best.sum(1) / (len(boxes) - 1) if len(boxes) > 1 else np.ones(n)


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


def score(logits, ious, boxes, tried, detector) -> dict[str, np.ndarray]:
    """name of WEIGHTS -> (n,), also "stability", which has no vote, and "total", their weighted mean.

    logits (n, h, w); ious (n,): SAM's predicted IoU, cut to 0..1; boxes, tried (n, 4): the detected box of each
    candidate and what it was processed to; detector (n,): the detected box's score.
    """
    candidates = logits > 0
    scores = {
        "iou": np.clip(ious, 0, 1),
        "agreement": agreement(candidates, tried),
        "centre": centrality(boxes, candidates.shape[1:]),
        "detector": np.asarray(detector, float),
        "share": box_share(candidates, tried),
        "stability": stability(logits),
    }
    total = sum(weight * scores[name] for name, weight in WEIGHTS.items()) / sum(WEIGHTS.values())
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


def clean(mask: np.ndarray, box: np.ndarray, opening: float, closing: float, hole: float) -> np.ndarray:
    """Opening, closing, largest piece, holes of at most `hole` of the mask filled. opening, closing: diameters of round
    kernels as kernel_side takes them. What would leave nothing of a small mask is not done."""
    opened = _morph(mask, cv2.MORPH_OPEN, kernel_side(box, opening))
    closed = _morph(opened if opened.any() else mask, cv2.MORPH_CLOSE, kernel_side(box, closing))
    piece = masks.largest_piece(closed)
    return masks.fill_holes(piece, hole * piece.sum())


def _morph(mask: np.ndarray, how: int, side: int) -> np.ndarray:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.morphologyEx(mask.astype(np.uint8), how, disc).astype(bool)


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
