"""Fins as fans of rays: where they stand on the outline, how they are cut, and how they are painted."""

from typing import NamedTuple

import cv2
import numpy as np

# how a tail's hind edge runs from the fork (0) to the lobes' tips (1)
TAIL_POWER = {"lunate": 2.6, "forked": 1.25, "emarginate": 1.6, "truncate": 2.0, "round": 2.0}
SUB = 4  # OpenCV draws with this many fractional bits


class Fin(NamedTuple):
    """rays float (n, m, 2): n rays of m points from base to edge, in fork lengths; colours in 0..1."""

    rays: np.ndarray
    colour: tuple
    tip: tuple | None = None  # colour of the outer part; of the hind edge alone where `edge` is set
    tip_from: float = 0.7  # where along the longest ray it starts
    alpha: float = 0.85
    edge: bool = False
    on_body: bool = False


def fixed(points) -> np.ndarray:
    return np.round(np.asarray(points) * (1 << SUB)).astype(np.int32)


def line(image: np.ndarray, points, value, width: int) -> None:
    cv2.polylines(image, [np.ascontiguousarray(fixed(points))], False, value, width, cv2.LINE_AA, SUB)


def fill(image: np.ndarray, points, value) -> None:
    cv2.fillPoly(image, [np.ascontiguousarray(fixed(points))], value, cv2.LINE_AA, SUB)


# relative height of a fin along its base, t in 0..1, before spines and folding
HEIGHTS = {
    "concave": lambda t: np.maximum((1 - t) ** 2.6, 0.17 * (1 - t**4)),
    "straight": lambda t: 1 - 0.78 * t,
    "triangle": lambda t: np.minimum(1, 0.55 + 2.2 * t) * (1 - t) ** 0.9,
    "low": lambda t: np.minimum(1, 0.8 + 2 * t) * (1 - 0.3 * t - 0.5 * t**6),
    "falcate": lambda t: np.maximum((1 - t) ** 2.8, 0.14),
    "adipose": lambda t: np.sin(np.pi * np.clip(t + 0.15, 0, 1)) ** 0.5,
    "soft": lambda t: np.minimum(1, 0.45 + 3 * t) * (1 - 0.25 * t - 0.55 * t**7),
}


def _fan(outline, start: float, length: float, height, sweep: float, up: float, curve=1.0) -> np.ndarray:
    """Rays of height (n,) standing on outline(u) -> y, leaning back by sweep x height; up is -1 or 1."""
    height = np.asarray(height)[:, None]
    u = np.linspace(start, start + length, len(height))
    base = np.stack([u, outline(u) - up * 0.007], axis=1)[:, None]
    s = np.linspace(0, 1, 5)[None]
    return base + np.stack([sweep * height * s**curve, up * height * s ** (0.5 + 0.5 / curve)], axis=2)


def all_fins(t: dict, top, bottom, rng: np.random.Generator, spread) -> list[Fin]:
    """Every fin of one fish, hindmost first; spread(low) is 1 for an erect fin, down to low if folded."""
    d2_start, anal = t["d1_start"] + t["d1_base"] + t["gap"], (t["anal_start"], t["anal_base"])
    fins = [_tail(t, top, bottom, spread(0.4))]
    fins += _finlets(t, top, d2_start + t["d2_base"], int(t["finlets_dorsal"]), -1)
    fins += _finlets(t, bottom, sum(anal), int(t["finlets_anal"]), 1)
    sickle, x = t["d2_form"] == "falcate", np.linspace(0, 1, 12)
    form = "falcate" if sickle else "soft"
    rays = _fan(bottom, *anal, t["anal_len"] * spread(0.7) * HEIGHTS[form](x), 0.85 if sickle else 0.45, 1, 1.7)
    fins.append(Fin(rays, t["d2_colour"], t["tip_colour"], 0.68))
    if t["d2_form"] != "none":
        height = t["d2_len"] * spread(0.7) * HEIGHTS[t["d2_form"]](x)
        rays = _fan(top, d2_start, t["d2_base"], height, 0.85 if sickle else 0.45, -1, 1.7)
        fins.append(Fin(rays, t["d2_colour"], t["tip_colour"], 0.68))
    n, erect = int(t["d1_spines"]), spread(0.5)
    height = erect * t["d1_height"] * HEIGHTS[t["d1_form"]](np.linspace(0, 1, n)) * rng.uniform(0.94, 1.03, n)
    spines = _fan(top, t["d1_start"], t["d1_base"], height, 1.35 - erect, -1)
    rays = np.repeat(spines, 2, axis=0)[:-1]
    between = (spines[1:] + spines[:-1]) / 2  # the membrane dips between two spines
    rays[1::2] = between[:, :1] + 0.88 * (between - between[:, :1])
    fins.append(Fin(rays, t["d1_colour"], t["d1_tip"], 0.72))
    height = t["pelvic_len"] * np.linspace(0.45, 0.2, 6) * spread(0.3)
    fins.append(Fin(_fan(bottom, t["pelvic_start"], 0.035, height, 2.0, 1, 1.2), t["fin_colour"]))
    return [*fins, _pectoral(t, top, bottom, spread(0.5))]


def _tail(t: dict, top, bottom, spread: float) -> Fin:
    end, q = t["tail_base"], np.linspace(-1, 1, 27)
    middle, half = (top(end) + bottom(end)) / 2, (bottom(end) - top(end)) / 2
    base = np.stack([end - 0.012 * np.abs(q), middle + q * half * 0.94], axis=1)[:, None]
    height = np.sign(q) * np.abs(q) ** 0.9 * t["tail_span"] / 2 * (0.75 + 0.25 * spread)
    tips = np.stack([1 + t["tail_tip"] * np.abs(q) ** TAIL_POWER[t["tail_form"]], middle + height], axis=1)[:, None]
    bow = 0.55 if t["tail_form"] == "lunate" else 0.9
    s = np.linspace(0, 1, 8)[None, :, None]
    return Fin(
        base + (tips - base) * np.concatenate([s, s**bow], axis=2),
        t["tail_colour"],
        t["tail_edge"],
        0.86,
        0.9,
    )


def _finlets(t: dict, outline, start: float, count: int, up: int) -> list[Fin]:
    room = (t["tail_base"] - 0.038 - start) / max(count, 1)
    fins = []
    for i in range(count):
        size = 0.024 * (1 - 0.3 * i / count)
        height, sweep = size * np.array([1, 0.75, 0.5, 0.2]), min(0.55, room * 0.4 / size)
        rays = _fan(outline, start + 0.012 + i * room, room * 0.42, height, sweep, up)
        fins.append(Fin(rays, t["finlet_colour"], t["finlet_edge"], alpha=0.95, edge=True))
    return fins


def _pectoral(t: dict, top, bottom, spread: float) -> Fin:
    """Hinged just behind the gill cover, lying back along the flank; long ones are sickle-shaped."""
    size, u, a = t["pectoral_len"], t["head"] + 0.012, np.linspace(0, 1, 9)
    slim = 0.26 if size > 0.17 else 0.36 if size > 0.12 else 0.46
    length = size * (1 - a) ** (0.9 if size > 0.17 else 0.6) + 0.25 * size * a
    angle = 0.08 + 0.25 * (1 - spread) + a * slim * (0.8 + 0.7 * spread)
    y = (top(u) + bottom(u)) / 2 + t["pectoral_v"] * (bottom(u) - top(u)) / 2 + a * size * 0.10
    s = np.linspace(0, 1, 6)[None]
    x, drop = (length * np.cos(angle))[:, None] * s, (length * np.sin(angle))[:, None] * s**0.8
    return Fin(np.stack([u + x, y[:, None] + drop], axis=2), t["pectoral_colour"], alpha=0.8, on_body=True)


def paint(fin: Fin, rgb: np.ndarray, alpha: np.ndarray, pixels, rng, scale: float) -> None:
    """Draw one fin onto uint8 rgb (h, w, 3) and alpha (h, w), in place; pixels: fork lengths -> pixels."""
    colour, thin = np.array(fin.colour) * 255 * rng.uniform(0.9, 1.08), max(1, round(scale / 500))
    rays, dark, light = pixels(fin.rays), rng.uniform(0.6, 0.78), rng.uniform(1.0, 1.2)
    tip = None if fin.tip is None else (np.array(fin.tip) * 255).tolist()
    fill(rgb, _rim(rays), np.minimum(colour, 255).tolist())
    fill(alpha, _rim(rays), 255 * fin.alpha)
    if tip and fin.edge:
        line(rgb, rays[:, -1], tip, thin + 1)
    elif tip:
        fill(rgb, _rim(pixels(_beyond(fin.rays, fin.tip_from))), tip)
    for i in range(0, len(rays), max(1, len(rays) // 14)):
        tone = np.minimum(colour * (light if i % 2 else dark), 255)
        line(rgb, rays[i, : (-1 if tip else None)], tone.tolist(), thin)
    line(rgb, rays[0], (colour * 0.7).tolist(), thin)


def _rim(rays: np.ndarray) -> np.ndarray:
    return np.concatenate([rays[0], rays[:, -1], rays[-1][::-1], rays[::-1, 0]])


def _beyond(rays: np.ndarray, start: float) -> np.ndarray:
    """The part of every ray beyond `start` of the longest ray's length."""
    length = np.linalg.norm(rays[:, -1] - rays[:, 0], axis=1)
    first = np.clip(start * length.max() / np.maximum(length, 1e-6), 0, 0.97)[:, None]
    spot = (first + (1 - first) * np.linspace(0, 1, rays.shape[1])) * (rays.shape[1] - 1)  # (n, m)
    low, row = np.minimum(spot.astype(int), rays.shape[1] - 2), np.arange(len(rays))[:, None]
    return rays[row, low] + (spot - low)[..., None] * (rays[row, low + 1] - rays[row, low])
