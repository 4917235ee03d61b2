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
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2  # (n, 1, 2), as side
    side = boxes[..., 2:] - boxes[..., :2]

    least = [[[[-1]]], [[[0]]]]  # a box moves both ways and only grows
    moves, growths = rng.uniform(least, 1, (2, len(boxes), jitters, 2)).astype(np.float32)
    new_centre = centre + shift * moves * side  # (n, jitters, 2)
    new_side = side * (1 + grow * growths)
    jittered = np.concatenate([new_centre - new_side / 2, new_centre + new_side / 2], -1)

    corner = np.array([size[1], size[0]], np.float32)
    tried = np.clip(np.concatenate([boxes, jittered], 1), 0, np.tile(corner, 2))
    tried[..., :2] = np.minimum(tried[..., :2], corner - 1)
    tried[..., 2:] = np.maximum(tried[..., 2:], tried[..., :2] + 1)
    return tried


def stability(logits: np.ndarray, offset: float = 1.0) -> np.ndarray:
    """(n,) IoU of the masks cut at +offset and at -offset (segment-anything's stability score and offset)."""
    inner = (logits > offset).sum((1, 2))
    outer = (logits > -offset).sum((1, 2))
    return inner / np.maximum(outer, 1)


def centrality(boxes: np.ndarray, size) -> np.ndarray:
    """(n,) 1 where the box's centre is that of the photo of `size` (height, width), 0 in its corners."""
    middle = np.array([size[1], size[0]]) / 2
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return 1 - np.linalg.norm(centres - middle, axis=1) / np.linalg.norm(middle)


def agreement(candidates: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """(n,) how well the other boxes found the same: mean over them of the best IoU with one of their candidates; 1
    where there is no other. tried (n, 4): the box SAM was given for each candidate."""
    n = len(candidates)
    boxes, box_of = np.unique(tried, axis=0, return_inverse=True)
    box_of = box_of.reshape(-1)  # some releases of numpy give it a second axis
    if len(boxes) == 1:
        return np.ones(n)

    flat = candidates.reshape(n, -1).astype(np.float32)
    area = flat.sum(1)
    shared = flat @ flat.T
    iou = shared / np.maximum(area[:, None] + area[None] - shared, 1)  # (n, n)

    best = np.stack([iou[:, box_of == k].max(1) for k in range(len(boxes))], 1)  # (n, boxes)
    best[np.arange(n), box_of] = 0  # a candidate's own box has no say
    return best.sum(1) / (len(boxes) - 1)


def box_share(candidates: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(n,) share of the mask inside its box, less where it covers too little of the box or all of it."""
    shares = np.zeros(len(candidates))
    for i, (mask, box) in enumerate(zip(candidates, boxes, strict=True)):
        x0, y0, x1, y1 = np.rint(box).astype(int)
        inside = mask[max(y0, 0) : max(y1, y0 + 1), max(x0, 0) : max(x1, x0 + 1)]
        fill = inside.mean() if inside.size else 0.0

        too_little = min(1.0, fill / USUAL_SHARE)
        too_much = min(1.0, (1 - fill) / (1 - FULL_SHARE))
        shares[i] = too_little * too_much * inside.sum() / max(mask.sum(), 1)
    return shares


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
    scores["total"] = total(scores, candidates)
    return scores


def total(scores: dict[str, np.ndarray], candidates: np.ndarray) -> np.ndarray:
    """(n,) weighted mean of those scores that WEIGHTS names; 0 for an empty mask, which never wins.

    candidates: bool (n, h, w).
    """
    weights = {name: weight for name, weight in WEIGHTS.items() if name in scores}
    mean = sum(weight * scores[name] for name, weight in weights.items()) / sum(weights.values())
    return np.where(candidates.any((1, 2)), mean, 0.0)


def why(scores: dict[str, np.ndarray], best: int) -> str:
    """One phrase for the reader: how good the chosen candidate is and what speaks for it most."""
    voting = [name for name in WEIGHTS if name in scores]
    lead = {name: WEIGHTS[name] * (scores[name][best] - scores[name].mean()) for name in voting}
    strongest = max(lead, key=lead.get)
    totals = scores["total"]
    how = f"score {totals[best]:.2f} (mean {totals.mean():.2f}), ahead most in {strongest}"
    return f"best of {len(totals)} candidates, {how}"


def kernel_side(box: np.ndarray, share: float) -> int:
    """Odd diameter (px) of the opening's or closing's disc: a share of the box's longer side, at least 1."""
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
    if _box_iou(masks.box_of(mask), box) < DISAGREES:
        return "the mask disagrees with its box"
    return ""


def _box_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boxes XYXY; a box whose sides are the wrong way round has no area, and none is smaller than a pixel."""
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    area_a = (a[2:] - a[:2]).prod()
    area_b = np.clip(b[2:] - b[:2], 0, None).prod()
    return shared / max(area_a + area_b - shared, 1)
