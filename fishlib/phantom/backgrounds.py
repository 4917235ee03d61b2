"""Surfaces a fish is laid on: colour, height and gloss made of noise after surfaces.csv. Knows no species.

Sizes are shares of the canvas, so that a small picture shows the same kind of scene as a large one.
"""

import csv
from functools import cache
from pathlib import Path

import cv2
import numpy as np


def fbm(rng, n: int, cells: float, octaves: int = 4, stretch: float = 1.0) -> np.ndarray:
    """Value noise float32 (n, n), mean near 0, spread near 0.6; stretch > 1 draws it out along x."""
    out = np.zeros((n, n), np.float32)
    for k in range(int(octaves)):
        gx, gy = (int(np.clip(c * 2**k, 2, n)) for c in (cells / stretch, cells))
        grid = rng.standard_normal((gy + 1, gx + 1), dtype=np.float32)
        out += cv2.resize(grid, (n, n), interpolation=cv2.INTER_CUBIC) * np.float32(0.87 / 2**k)
    return out


def colour(rng, text: str, spread: float = 0.05) -> np.ndarray:
    """One of the colours '#rrggbb|#rrggbb' (bars or blanks), shifted a little: RGB float32 (3,) in 0..1."""
    name = rng.choice(text.replace("|", " ").split())
    shift = rng.normal(0, spread) + rng.normal(0, spread / 2, 3)
    return np.float32(np.clip([int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)] + shift, 0.02, 0.98))


def number(rng, text: str) -> float:
    """'0.1', or one of the range '0.1:0.3'."""
    low, *high = map(float, text.split(":"))
    return float(rng.uniform(low, high[0])) if high else low


def mix(a, b, t: np.ndarray) -> np.ndarray:
    """a where t is 0, b where t is 1; t float32 (h, w), clipped to 0..1."""
    return a + (b - a) * np.clip(t, 0, 1)[..., None]


def step(x: np.ndarray, width: float = 0.1) -> np.ndarray:
    """A soft threshold at 0."""
    return np.clip(x / width + 0.5, 0, 1)


@cache
def rows(name: str) -> list[dict]:
    """The rows of a table beside this module."""
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@cache
def kinds() -> dict[str, dict]:
    """Name of an angler's surface -> its row; `any` (dirt on all of them) and `plain` are not among them."""
    return {row["kind"]: row for row in rows("surfaces.csv")[2:]}


def surface(rng, kind: str, n: int, texture: float = 1.0) -> list[np.ndarray]:
    """A new surface: albedo float32 (n, n, 3) RGB 0..1, height (n, n) in canvas widths, gloss (n, n) 0..1.

    Each layer adds tone * value to the colour and bump * value to the height; where it covers, it paints
    (ink, or dark * base), dents and makes glossy. texture weakens all of it.
    """
    dirt, plain = rows("surfaces.csv")[:2]
    row = kinds()[kind] if kind != "plain" else plain
    base = colour(rng, row["colours"])
    albedo, height = np.broadcast_to(base, (n, n, 3)), np.zeros((n, n), np.float32)
    gloss = height + number(rng, row["gloss"])
    dirt = ";" + dirt["layers"] if kind not in ("outdoors", "water", "plain") else ""
    for name, *settings in (layer.split() for layer in (row["layers"] + dirt).split(";")):
        s = {k: v if "#" in v else number(rng, v) for k, v in (pair.split("=") for pair in settings)}
        if rng.uniform() > s.get("chance", 1):
            continue
        value, cover, *rise = _pattern(rng, n, name, s)
        if "ink" in s or "dark" in s:
            ink = colour(rng, s["ink"]) if "ink" in s else base * s["dark"]
            albedo = mix(albedo, ink, cover * s.get("cover", 1) * texture)
        albedo = albedo + texture * s.get("tone", 0) * np.asarray(value)[..., None]
        height = height + texture * (s.get("bump", 0) * [value, *rise][-1] + s.get("dent", 0) * cover)
        gloss = gloss + cover * np.maximum(s.get("shine", 0) - gloss, 0)
    return [albedo, height, gloss]


def _pattern(rng, n: int, name: str, s: dict) -> tuple:
    """One layer: value, cover (both broadcast to float32 (n, n)) and, where it is not the value, its rise."""
    x = np.linspace(0, 1, n, dtype=np.float32)[None]
    y, flat, pitch = x.T, np.zeros((n, n), np.float32), np.float32(2 * np.pi / s.get("pitch", 1))
    if name == "noise":
        value = fbm(rng, n, s["cells"], s.get("octaves", 4), s.get("stretch", 1))
        value = 0.5 - np.abs(value) if "crease" in s else value
        return value, step(value - s["above"], s["soft"]) if "above" in s else 0
    if name == "stones":  # Worley cells: pebbles, crushed ice
        side, points = int(s["count"]), np.full((n, n), 255, np.uint8)
        grid = np.indices((side, side)).reshape(2, -1) + rng.uniform(-0.1, 1.1, (2, side**2))
        points[tuple(np.clip(grid * n / side, 0, n - 1).astype(int))] = 0
        far, cell = cv2.distanceTransformWithLabels(points, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        far, spread = far * np.float32(side / n), np.reshape([1, *[s.get("tilt", 0)] * 2], (3, 1))
        tone, across, down = rng.normal(0, spread, (3, side**2 + 1)).astype(np.float32)
        rise = np.sqrt(np.clip(1 - far**2, 0, 1)) / side + x * across[cell] + y * down[cell]
        rise = cv2.GaussianBlur(rise, (0, 0), s.get("smooth", 0.04) * n / side + 0.3)
        return tone[cell], (far - 0.35) * 2.2, rise
    if name == "tiles":
        x, y = x / s["size"] / s["aspect"], y / s["size"] + rng.uniform()
        x = x + rng.uniform(0, 1, 200)[np.floor(y).astype(int)] * (s["aspect"] > 1.5)
        edge = np.minimum((0.5 - np.abs(x % 1 - 0.5)) * s["aspect"], 0.5 - np.abs(y % 1 - 0.5))
        tone = rng.normal(0, 1, 4096)[(np.floor(x) * 37 + np.floor(y) * 101).astype(int) % 4096]
        return tone, step(s["gap"] - edge.astype(np.float32), 0.02)
    if name == "lines":  # scratches, blades of grass, crumbs
        angle, size = rng.normal(-np.pi / 2, s.get("lean", 3), int(s["count"])), s["size"] / 3 * n
        start = rng.uniform(-0.05, 1.05, (len(angle), 2)) * n
        ends = start + np.stack([np.cos(angle), np.sin(angle)], 1) * rng.gamma(3, size, (len(angle), 1))
        for line in np.stack([start, ends], 1).astype(int).tolist():
            cv2.line(flat, *line, rng.uniform(0.1, 1), max(1, round(n * s.get("thick", 0))))
        return flat - 0.4, flat
    if name == "ruler":
        marks, top, thick = np.zeros((n, n), np.uint8), int(s["at"] * n), max(1, n // 400)
        for k, left in enumerate(np.arange(0, n, s["pitch"] * n).astype(int).tolist()):
            long, text = (0.05, str(k)) if k % 5 == 0 else (0.02, "")
            cv2.line(marks, (left, top), (left, top + int(long * n)), 255, thick, cv2.LINE_AA)
            cv2.putText(marks, text, (left, top + n // 10), 0, n / 1100, 255, thick, cv2.LINE_AA)
        return 0, marks.astype(np.float32) / 255
    if name == "print":  # columns of words that nobody can read
        words = (fbm(rng, n, 1 / s["line"], 1, 0.4) > -0.4) & (fbm(rng, n, 6, 1) > -0.7)
        return 0, np.float32(words & (y % s["line"] < 0.6 * s["line"]))
    if name == "band":
        far = np.abs(y - s["at"]) / s["wide"] + flat
        return np.clip(1 - far, 0, 1) ** 0.5, step(1 - far, 0.01 / s["wide"])
    if name == "mesh":
        x, y = (axis + 0.03 * fbm(rng, n, 3, 2) for axis in (x, y))
        return 0, step(np.maximum(np.cos((x + y) * pitch), np.cos((x - y) * pitch)) - 1 + s["thin"], 0.05)
    if name == "stripes":
        return 0, step(np.sin(y * pitch) + 0.03 * fbm(rng, n, 3, 2) - 1 + 2 * s.get("share", 0.5), 0.3)
    raise KeyError(name)
