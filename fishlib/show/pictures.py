"""Pictures of one photo's way through a method, beside the study's figures in `figures`; the same rules hold."""

import textwrap

import numpy as np
from matplotlib.figure import Figure

from fishlib.photos import masks
from fishlib.removal.segmenters import adjust
from fishlib.show.figures import BLUE, GREY, ORANGE, RED, outline, sheet, styled

NAMES = {"iou": "SAM's IoU", "centre": "near the centre", "share": "share of its box"}  # else adjust's own names


def distinct(candidates: list[dict], first: int, alike: float = 0.95) -> list[tuple[dict, int]]:
    """(candidate, how many look like it), the chosen one and then the highest total first; those with an IoU of at
    least `alike` stand for one. candidates: as gdino_sam keeps them, each with `rle` and `total`."""
    order = sorted(range(len(candidates)), key=lambda i: (i != first, -candidates[i]["total"]))
    left, found = [(candidates[i], masks.from_rle(candidates[i]["rle"])) for i in order], []
    while left:
        (leader, mask), *_ = left
        same = [mask is other or masks.iou(mask, other) >= alike for _, other in left]
        found.append((leader | {"mask": mask}, sum(same)))
        left = [pair for pair, gone in zip(left, same, strict=True) if not gone]
    return found


@styled
def why_mask(photo, detail: dict, mask, title: str = "Why this mask", facts=None, most: int = 7) -> Figure:
    """What a mask was chosen from: the boxes, the distinct candidates with their scores, the mask as cleaned.

    photo: uint8 (H, W, 3); detail: what gdino_sam keeps beside its mask (segments.why); mask: bool (H, W) or None
    where it was rejected.
    """
    h, w = photo.shape[:2]
    shown = distinct(detail["candidates"], detail["chosen"])
    pixels, boxes = np.array([w, h, w, h]) / np.tile(detail["size"][::-1], 2), np.array(detail["boxes"])
    tried = np.reshape(detail["tried"], (-1, 4)) * pixels
    texts = [f"{len(boxes)} box{'es' * (len(boxes) > 1)} found, {len(tried) - len(boxes)} more tried"]
    for place, (c, n) in enumerate(shown[:most]):
        said = [f"{NAMES.get(name, name)} {c[name]:.2f}" for name in adjust.WEIGHTS]
        texts.append("\n".join([f"{'CHOSEN, ' * (not place)}score {c['total']:.3f}, {n} alike", *said]))
    texts.append("rejected" if mask is None else "after opening and closing")
    fig, axes = sheet([photo] * len(texts), texts, f"{title}\n{textwrap.fill(detail['why'], 70)}", facts)
    for x0, y0, x1, y1, colour in [*((*b, GREY) for b in tried), *((*b, ORANGE) for b in boxes * pixels)]:
        axes[0].plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=colour, lw=1.5)
    for place, (ax, (c, _)) in enumerate(zip(axes[1:], shown[:most], strict=False)):
        outline(ax, masks.resize_mask(c["mask"], (h, w)), BLUE if place else RED)
    outline(axes[len(texts) - 1], mask, RED)
    (x0, y0), (x1, y1) = tried[:, :2].min(0) - 0.05 * w, tried[:, 2:].max(0) + 0.05 * w
    for ax in axes[: len(texts)]:
        ax.set(xlim=(max(x0, 0), min(x1, w)), ylim=(min(y1, h), max(y0, 0)))
    return fig
