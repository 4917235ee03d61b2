"""Things that lie about in an angler's photo, as strokes after props.csv. Knows no species."""

from functools import cache
from itertools import groupby
from operator import itemgetter

import cv2
import numpy as np

from fishlib.phantom.backgrounds import colour, fbm, rows


@cache
def things() -> dict[str, list[dict]]:
    """Name of the thing -> its strokes, bottom first; the first has the sizes (frame = 1)."""
    return {name: list(strokes) for name, strokes in groupby(rows("props.csv"), itemgetter("thing"))}


def turned(angle: float) -> np.ndarray:
    """For row vectors in pixels, y down: (x, y) @ turned(angle)."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _points(rng, shape: str, before) -> np.ndarray:
    """Points (k, 2) of a stroke, x and y in lengths of the thing, from its shape in props.csv.

    before: the points of the stroke below, which a dash follows. ValueError for a shape that there is not.
    """
    name, *words = shape.split()
    numbers = [float(word) for word in words]
    if name in ("poly", "line"):
        return np.reshape(numbers, (-1, 2))
    if name == "oval":
        return _oval(*numbers)
    if name == "bend":
        return _bend(rng, *numbers)
    if name == "dash":
        return before if len(before) > 2 else np.linspace(*before, 40)
    raise ValueError(f"props.csv knows no shape {name!r}")


def _oval(length: float, thickness: float, x: float, y: float, bluntness: float) -> np.ndarray:
    """The outline (48, 2) of an oval round (x, y)."""
    turn = np.linspace(0, 2 * np.pi, 48)
    edge = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** bluntness
    return np.stack([-np.cos(turn) * length / 2 + x, edge * thickness / 2 + y], 1)


def _bend(rng, amplitude: float, length: float) -> np.ndarray:
    """A line (40, 2) that wavers at random: three waves, the shorter the flatter."""
    along = np.linspace(-0.5, 0.5, 40)
    wave = sum(rng.normal(0, amplitude / f) * np.sin(4 * f * along + rng.uniform(0, 6)) for f in (1, 2, 3))
    return np.stack([along * length, wave], 1)


def put(layers: dict, at, alpha, rgb, gloss: float, radius: float, drop: tuple, shadow: float) -> None:
    """Lays alpha on the window `at` of the layers, in place: rounded over radius px, shadow drop px off."""
    shade, height, shine, albedo = (layers[k][at] for k in ("shade", "height", "gloss", "albedo"))
    cast = cv2.warpAffine(alpha, np.float32([[1, 0, drop[0]], [0, 1, drop[1]]]), alpha.shape[::-1])
    soft = cv2.GaussianBlur(cast, (0, 0), 0.35 * float(np.hypot(*drop)) + 0.7)
    touch = cv2.GaussianBlur(alpha, (0, 0), max(radius * 0.25, 1))
    shade *= (1 - shadow * soft) * (1 - 0.5 * shadow * touch)
    shade += (1 - shade) * alpha
    dome = np.sqrt(np.clip(cv2.GaussianBlur(alpha, (0, 0), max(radius * 0.6, 0.7)) * 2 - 1, 0, 1))
    dome = cv2.GaussianBlur(dome, (0, 0), max(radius * 0.2, 0.5)) * radius * 0.7 / max(layers["shade"].shape)
    height += alpha * (dome - height)
    shine += alpha * (gloss - shine)
    albedo += alpha[..., None] * (np.asarray(rgb, np.float32) - albedo)


def place(layers: dict, name: str, seed, centre, size: float, angle: float, drop, shadow, part=slice(None)):
    """Draws a thing (or `part` of its strokes), size px long, turned by angle (radians), in place; gives what
    it covers, float32 (h, w). The same seed gives the same thing."""
    rng, (h, w) = np.random.default_rng(seed), layers["shade"].shape
    covered, grime = np.zeros((h, w), np.float32), fbm(rng, 96, 6, 5)
    fat, dirty, faded = rng.uniform((0.75, 0.1, 0.55), (1.3, 0.35, 1))
    palettes = {row["name"]: row["colours"] for row in rows("palettes.csv")}
    points, rgb = np.zeros((2, 2)), np.zeros(3)
    for k, row in enumerate(things()[name]):
        points, width = _points(rng, row["shape"], points), float(row["width"]) * fat
        paint = row["colours"]
        fresh = " ".join(palettes[p] for p in paint.split()) if paint[0] != "=" else ""
        rgb = colour(rng, fresh) * faded + 0.5 * (1 - faded) if fresh else rgb * float(paint[1:])
        xy = points * (1, 1 if width else fat) * size @ turned(angle) + centre
        thick = width * size / 2 if width else 0.5 * min(np.ptp(points, 0).min(), 0.2) * size
        pad = int(width * size + 2 * thick + 2 * np.hypot(*drop)) + 4
        (x0, y0), (x1, y1) = (np.clip(v, 0, (w, h)).astype(int) for v in (xy.min(0) - pad, xy.max(0) + pad))
        if x1 - x0 < 2 or y1 - y0 < 2 or k not in range(len(things()[name]))[part]:
            continue
        alpha, path = np.zeros((y1 - y0, x1 - x0), np.uint8), np.round((xy - (x0, y0)) * 16).astype(np.int32)
        if width:
            lines = [path[i : i + 2] for i in range(0, len(path), 2)] if row["shape"] == "dash" else [path]
            cv2.polylines(alpha, lines, False, 255, max(1, round(width * size)), cv2.LINE_AA, 4)
        else:
            cv2.fillPoly(alpha, [path], 255, cv2.LINE_AA, 4)
        alpha = alpha.astype(np.float32) / 255
        dirt = 1 + dirty * cv2.resize(grime, alpha.shape[::-1], interpolation=cv2.INTER_CUBIC)[..., None]
        tone, at = np.clip(rgb * dirt, 0, 1), np.s_[y0:y1, x0:x1]
        put(layers, at, alpha, tone, float(row["gloss"]), max(0.8 * thick, 0.6), drop, shadow)
        np.maximum(covered[at], alpha, out=covered[at])
    return covered
