"""Sheets of photos, and the way of one photo through a method (notebooks 01 to 03). Figures as in `figures`."""

import itertools
import math
import textwrap

import numpy as np
from matplotlib.figure import Figure

from fishlib import phantom
from fishlib.phantom import traits
from fishlib.photos import masks, species
from fishlib.removal.segmenters import adjust
from fishlib.show.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, styled, subplots
from fishlib.show.figures import short_name

SCORES = {"iou": "SAM's IoU", "centre": "near the centre", "share": "share of its box"}  # else adjust's own names


def outline(ax, mask: np.ndarray | None, colour: str) -> None:
    """Draw the outline of bool (H, W) over a picture of that size; nothing for a mask without one."""
    if mask is not None and mask.any() and not mask.all():
        ax.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=1.5, linestyles="-")


def rectangle(ax, box, colour: str, width: float) -> None:
    """Draw a box, XYXY in pixels of the picture."""
    x0, y0, x1, y1 = box
    ax.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=colour, lw=width)


@styled()
def species_sheet(photos: list, labels: list[str], title: str, facts: dict | None = None) -> Figure:
    """A sheet of photos, uint8 (H, W, 3), each under its label."""
    fig, _ = _sheet(photos, labels, title, facts)
    return fig


@styled()
def failure_grid(items: list[dict], facts: dict | None = None, title: str = "Failed cut-outs") -> Figure:
    """Photos with the outline found. items: photo (H, W, 3), mask bool (H, W) or None, label, kind, iou."""
    photos = [item["photo"] for item in items]
    labels = [f"{item['label']}\n{item['kind']}, IoU {item['iou']:.2f}" for item in items]
    fig, axes = _sheet(photos, labels, title, facts)
    for ax, item in zip(axes, items, strict=False):
        outline(ax, item["mask"], RED)
    return fig


@styled()
def pipeline(photo, box, candidates, mask, variants: dict, top5: list, facts: dict | None = None) -> Figure:
    """The steps on one photo, left to right, after the paper's figure 2; every panel is a real result.

    photo: uint8 (H, W, 3); box: XYXY or None; candidates: the bool masks (H, W) to choose from, may be none;
    mask: the adjusted one or None; variants: label -> uint8 (224, 224, 3) as the classifier sees it; top5:
    [[species, confidence 0..1], ...] of the last variant.
    """
    found, adjusted = "photo and box", "adjusted mask"
    steps = [found, *["candidate masks"] * bool(len(candidates)), adjusted]
    last = list(variants)[-1]
    ratios = [*[3] * len(steps), 1.8, 2.2]
    mosaic = [[*steps, label, "classifier"] for label in variants]
    fig, axes = subplots("From the photo to the name", facts, sum(ratios) + 1.5, 5, mosaic, width_ratios=ratios)
    fig.get_layout_engine().set(wspace=0.1)

    for name in steps:
        axes[name].axis("off")
        axes[name].set_title(name, fontsize=9)
        axes[name].imshow(photo)
    for name, picture in variants.items():
        axes[name].axis("off")
        axes[name].set_title(f"{name}, {picture.shape[0]} px", fontsize=9)
        axes[name].imshow(picture)
    if box is not None:
        rectangle(axes[found], box, ORANGE, 2)
    for colour, candidate in zip(itertools.cycle((RED, SKY, GREEN, PURPLE)), candidates, strict=False):
        outline(axes["candidate masks"], candidate, colour)
    shown = np.zeros(photo.shape[:2]) if mask is None else mask
    axes[adjusted].imshow(shown, cmap="gray", vmin=0, vmax=1)

    arrow = {"arrowstyle": "-|>", "lw": 2, "shrinkA": 0, "shrinkB": 0}
    for name in [*steps, last]:
        tip = (1.075 if name in steps else 1.12, 0.5)
        axes[name].annotate("", tip, (1.01, 0.5), "axes fraction", arrowprops=arrow)
    _answers(axes["classifier"], top5, f"classifier, {last}")
    return fig


@styled()
def why_mask(photo, detail: dict, mask, title: str = "Why this mask", facts=None, most: int = 7) -> Figure:
    """What a mask was chosen from: the boxes, the distinct candidates with their scores, the mask as cleaned.

    photo: uint8 (H, W, 3); detail: what a method with the adjustment keeps beside its mask (segments.why); mask: bool
    (H, W) or None where it was rejected.
    """
    height, width = photo.shape[:2]
    detail_height, detail_width = detail["size"]
    to_photo = np.array([width, height, width, height]) / [detail_width, detail_height, detail_width, detail_height]
    boxes = np.array(detail["boxes"]) * to_photo
    tried = np.reshape(detail["tried"], (-1, 4)) * to_photo
    candidates = distinct(detail["candidates"], detail["chosen"])[:most]

    labels = [f"{len(boxes)} box{'es' * (len(boxes) > 1)} found, {len(tried) - len(boxes)} more tried"]
    for place, (candidate, alike) in enumerate(candidates):
        chosen = "CHOSEN, " if place == 0 else ""
        scores = [f"{SCORES.get(name, name)} {candidate[name]:.2f}" for name in adjust.WEIGHTS if name in candidate]
        labels.append("\n".join([f"{chosen}score {candidate['total']:.3f}, {alike} alike", *scores]))
    labels.append("rejected" if mask is None else "after opening and closing")

    heading = f"{title}\n{textwrap.fill(detail['why'], 70)}"
    fig, axes = _sheet([photo] * len(labels), labels, heading, facts)
    first, *of_candidates, cleaned = axes[: len(labels)]
    for box in tried:
        rectangle(first, box, GREY, 1.5)
    for box in boxes:
        rectangle(first, box, ORANGE, 1.5)
    for place, (ax, (candidate, _)) in enumerate(zip(of_candidates, candidates, strict=True)):
        outline(ax, masks.resize_mask(candidate["mask"], (height, width)), BLUE if place else RED)
    outline(cleaned, mask, RED)

    left, top = tried[:, :2].min(0) - 0.05 * width
    right, bottom = tried[:, 2:].max(0) + 0.05 * width
    for ax in axes[: len(labels)]:
        ax.set(xlim=(max(left, 0), min(right, width)), ylim=(min(bottom, height), max(top, 0)))
    return fig


def distinct(candidates: list[dict], first: int, alike: float = 0.95) -> list[tuple[dict, int]]:
    """(candidate, how many look like it), the chosen one and then the highest total first; those with an IoU of at
    least `alike` stand for one. candidates: as gdino_sam keeps them, each with `rle` and `total`."""
    order = sorted(range(len(candidates)), key=lambda i: (i != first, -candidates[i]["total"]))
    left = [(candidates[i], masks.from_rle(candidates[i]["rle"])) for i in order]
    found = []
    while left:
        leader, mask = left[0]
        same = [mask is other or masks.iou(mask, other) >= alike for _, other in left]
        found.append((leader | {"mask": mask}, sum(same)))
        left = [pair for pair, gone in zip(left, same, strict=True) if not gone]
    return found


@styled()
def phantom_species(seed: int = 0) -> Figure:
    """Each of the 17 species as the phantom draws it, as an angler's photo and as a specimen, with its names."""
    names = list(traits.load())[: len(phantom.COUNTS)]
    pictures, labels = [], []
    for number, name in enumerate(names):
        for style in ("angler", "specimen"):
            pictures.append(phantom.draw(name, seed, number, style, side=320).photo)
            labels.append(f"{species.label(name)}\n{species.label(name, 'scientific')}")
    fig, _ = _sheet(pictures, labels, "The phantom: drawn fish, not photographs", None)
    return fig


def _sheet(images, captions, title: str, facts: dict | None):
    """A figure with one picture an axes, its caption above; returns it with the axes, in their order."""
    columns = max(1, min(6, math.ceil(math.sqrt(1.4 * len(images)))))
    rows = max(1, math.ceil(len(images) / columns))
    grid = {"nrows": rows, "ncols": columns, "squeeze": False}
    fig, axes = subplots(title, facts, 2.1 * columns + 0.2, 2 * rows + 0.7, **grid)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, text in zip(axes.flat, images, captions, strict=False):
        ax.imshow(image)
        ax.set_title(_wrapped(text), fontsize=8)
    return fig, axes.flat


def _wrapped(text: str, width: int = 28) -> str:
    """A caption in lines of `width` letters, a long path broken behind its folders first."""
    parts = text.replace("/", "/\n") if len(text) > width else text
    return "\n".join(line for part in parts.splitlines() for line in textwrap.wrap(part, width))


def _answers(ax, top5: list, title: str) -> None:
    """Bars of a classifier's confidence, each under its species' name."""
    ax.barh(range(len(top5)), [100 * share for _, share in top5], color=BLUE, height=0.6)
    ax.set_yticks([])
    for place, (name, share) in enumerate(top5):
        ax.text(1, place - 0.42, f"{short_name(name)} {100 * share:.0f} %", fontsize=8)
    ax.set(xlim=(0, 100), ylim=(len(top5) - 0.5, -0.7), xlabel="confidence (%)")
    ax.tick_params(length=0, labelsize=8)
    ax.set_title(title, fontsize=9)
