"""Marks of the flank in fish coordinates: u from 0 (snout) to 1 (fork), v from -1 (back) to 1 (belly)."""

import cv2
import numpy as np

# n lines, or spots a row; the window u, v; width of a line as share of its period; wave, the unrest of both;
# slope and zigzag of lines; broken 0..1; rows of spots, their size (fork lengths), how long; strength; colour
DEFAULTS = {
    "n": 20, "u": (0.3, 0.93), "v": (-0.95, 0.0), "width": 0.4, "wave": 0.25, "slope": 0.0, "zig": 0.0,
    "broken": 0.0, "rows": 1, "size": 0.012, "long": 1.0, "dark": 0.6, "pale": 0, "red": 0,
}  # fmt: skip


def smooth(x: np.ndarray, width: float) -> np.ndarray:
    """A soft step up at 0."""
    return 0.5 + 0.5 * np.tanh(x / (2 * width))


def noise(rng: np.random.Generator, shape: tuple, rows: int, columns: int) -> np.ndarray:
    """Smooth noise float32 (h, w), about -1..1, from rows x columns independent values."""
    grid = rng.standard_normal((max(2, rows), max(2, columns)), dtype=np.float32)
    return cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC) * 0.7


def marks(pattern: tuple, u, v, flank, rng: np.random.Generator, scale: float) -> tuple[np.ndarray, dict]:
    """One pattern (kind, settings) -> its strength float32 (h, w) in 0..1, and all its settings.

    Kinds: `stripes` run along the body, `bars` across it, `oblique` between; `spots` lie in rows, `speckles`
    anywhere. flank(u, v) gives pixels; scale is pixels per fork length.
    """
    kind, p = pattern[0], {**DEFAULTS, **pattern[1]}
    layer = (_dots if kind in ("spots", "speckles") else _lines)(kind, p, u, v, flank, rng, scale)
    return layer.astype(np.float32), p


def _lines(kind, p, u, v, flank, rng, scale) -> np.ndarray:
    (u0, u1), (v0, v1) = p["u"], p["v"]
    phase = noise(rng, v.shape, 5, 14) * p["wave"]
    if kind == "stripes":
        phase += p["n"] * (v - v0) / (v1 - v0) + p["slope"] * (u - u0) / (u1 - u0)
    else:
        phase += p["n"] * (u - u0) / (u1 - u0) + p["slope"] * v
        if p["zig"]:
            phase += p["zig"] * np.abs((v * 3.5 + rng.uniform()) % 2 - 1)
    away = np.abs((phase % 1) - 0.5) * 2  # 0 in the middle of a line
    layer = smooth(p["width"] - away, 0.10)
    if p["broken"]:
        layer *= smooth(noise(rng, v.shape, 14, 40) + 0.75 - p["broken"], 0.12)
    layer *= smooth(v - v0, 0.04) * smooth(v1 - v, 0.04)
    return layer * (smooth(u - u0, 0.01) * smooth(u1 - u, 0.01))


def _dots(kind, p, u, v, flank, rng, scale) -> np.ndarray:
    layer = np.zeros(v.shape, np.uint8)
    (u0, u1), (v0, v1), n, rows = p["u"], p["v"], int(p["n"]), int(p["rows"])
    if kind == "spots":
        along = (np.arange(n) + np.where(np.arange(rows)[:, None] % 2, 0.9, 0.4)) / n  # (rows, n), staggered
        du = (along + rng.uniform(-1, 1, along.shape) * p["wave"] / n).ravel()
        dv = ((np.arange(rows)[:, None] + 0.5 + rng.uniform(-1, 1, along.shape) * p["wave"]) / rows).ravel()
    else:
        du, dv = rng.uniform(size=n), rng.uniform(size=n)
    centres = np.round(flank(u0 + du * (u1 - u0), v0 + dv * (v1 - v0)) * 16).astype(int)
    for (x, y), r in zip(centres.tolist(), p["size"] * scale * 8 * rng.uniform(0.65, 1.25, len(du)), strict=True):
        cv2.ellipse(layer, (x, y), (round(r * p["long"]), round(r)), 0, 0, 360, 255, -1, cv2.LINE_AA, 4)
    soft = max(0.5, p["size"] * scale * 0.09)
    return cv2.GaussianBlur(layer, (0, 0), soft).astype(np.float32) / 255
