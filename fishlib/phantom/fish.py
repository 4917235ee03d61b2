"""One drawn fish, facing left, from its traits: colour, body and fins apart, antialiased."""

from typing import NamedTuple

import cv2
import numpy as np

from fishlib.phantom.fins import all_fins, fill, line, paint
from fishlib.phantom.patterns import marks, noise, smooth

INK, PALE, RED = (0.07, 0.08, 0.10), (0.86, 0.87, 0.86), (0.62, 0.2, 0.14)  # of marks
BLOOD = (0.42, 0.09, 0.07)
VARIED = ("depth", "deep_at", "head", "d1_height", "d2_len", "anal_len", "pectoral_len", "eye", "tail_span")


class Fish(NamedTuple):
    """rgb float32 (h, w, 3) in 0..1, not premultiplied; body and fins float32 (h, w), body + fins <= 1."""

    rgb: np.ndarray
    body: np.ndarray
    fins: np.ndarray


def draw_fish(traits: dict, rng: np.random.Generator, length: int, specimen: bool = False) -> Fish:
    """Draw one individual, `length` pixels from snout to tail tip; a pixel is fish where body + fins > 0.5.

    The individual (size, bend, fading, fins spread or folded, mouth, fullness, stains, light) comes from rng
    alone: the same traits and the same state of rng give the same bytes. A specimen is drawn fresh, straight
    and with its fins spread. Fin membranes are translucent, but never below 0.5 inside their edges.
    """
    over = 2.0 if length < 500 else 1.5 if length < 800 else 1.25  # supersampling
    t = _individual(traits, rng, specimen)
    scale = length * over / (1 + max(t["tail_tip"], 0))
    top, bottom = _outline(t)
    fins = all_fins(t, top, bottom, rng, lambda low: 1.0 if specimen else rng.uniform(low, 1.02))

    edge, room = np.linspace(0, t["tail_base"], 200), 0.02 + abs(t["bend"])
    high = max([bottom(edge).max()] + [f.rays[..., 1].max() for f in fins]) + room
    x0, y0 = 0.03, float(room - min([top(edge).min()] + [f.rays[..., 1].min() for f in fins]))
    h, w = int((high + y0) * scale), int((1.03 + x0 + max(t["tail_tip"], 0) + abs(t["bend"])) * scale)

    def pixels(xy):  # fork lengths (..., 2) -> pixels
        return (np.asarray(xy) + np.array([x0, y0])) * scale

    def flank(u, v):  # fish coordinates -> pixels (n, 2)
        return pixels(np.stack([u, _mix(top(u), bottom(u), (v + 1) / 2)], axis=-1))

    u = (np.arange(w, dtype=np.float32) / scale - x0)[None]  # (1, w)
    y = (np.arange(h, dtype=np.float32) / scale - y0)[:, None]  # (h, 1)
    back, belly = (f(np.clip(u, 0.002, t["tail_base"])).astype(np.float32) for f in (top, bottom))
    v = np.clip((2 * y - back - belly) / np.maximum(belly - back, 2e-3), -1.3, 1.3)

    body = np.zeros((h, w), np.uint8)
    rim = [np.stack([edge, top(edge)], 1), np.stack([edge, bottom(edge)], 1)[::-1]]
    fill(body, pixels(np.concatenate(rim)), 255)
    skin = _skin(t, u, v, flank, rng, scale)
    skin = _face(t, skin, body, top, bottom, flank, pixels, rng, scale)

    fin_rgb, fin_alpha = np.zeros((h, w, 3), np.uint8), np.zeros((h, w), np.uint8)
    for fin in fins:
        state = rng.bit_generator.state
        paint(fin, fin_rgb, fin_alpha, pixels, rng, scale)
        if fin.on_body:
            rng.bit_generator.state = state  # the same fin again, now lying on the flank
            near, cover = np.zeros((h, w, 3), np.uint8), np.zeros((h, w), np.uint8)
            paint(fin, near, cover, pixels, rng, scale)
            (x1, y1), (x2, y2) = (f(f(pixels(fin.rays), 0), 0).astype(int) for f in (np.min, np.max))
            cut = np.s_[max(y1 - 9, 0) : y2 + 9, x1 - 9 : x2 + 9]
            cover = cover[cut]
            shade = 1 - cv2.GaussianBlur(cover, (0, 0), scale * 0.004) * np.float32(0.4 / 255)
            lit, cover = near[cut] * np.float32(t["light"] / 255), cover * np.float32(0.8 / 255)
            skin[cut] = _mix(skin[cut] * shade[..., None], lit, cover[..., None])
    grain = 1 + 0.09 * noise(rng, (h, w), h // 6, w // 6) + 0.10 * noise(rng, (h, w), 5, 12)
    solid = body * np.float32(1 / 255)
    thin = fin_alpha * np.float32(1 / 255) * (1 - solid)
    colour = np.clip(skin, 0, 1) * cv2.merge([solid] * 3)  # premultiplied
    colour += fin_rgb * cv2.merge([thin * grain * (t["light"] / 255)] * 3)
    return _finish(colour, np.stack([solid, thin], axis=2), t["bend"], scale, (x0, y0), over)


def _mix(a, b, share):
    return a + share * (b - a)


def _individual(traits: dict, rng: np.random.Generator, specimen: bool) -> dict:
    """Traits of one fish: ranges drawn, sizes set by age, everything a little off the table."""
    spread, age = 0.35 if specimen else 1.0, rng.uniform()

    def draw(key, value):
        if not isinstance(value, tuple) or len(value) != 2 or key in "uv":
            return value
        whole = isinstance(value[0], int) and isinstance(value[1], int)
        return float(rng.integers(value[0], value[1] + 1)) if whole else rng.uniform(*value)

    def bell():  # a Python float: NumPy's would turn float32 pictures into float64
        return float(np.clip(rng.standard_normal(), -2, 2))

    def grown(given):
        drawn = {k: draw(k, v) for k, v in given.items()}
        young = {k[:-6]: v for k, v in drawn.items() if k.endswith("_small") and v is not None}
        return drawn | {k: _mix(v, drawn[k], age) for k, v in young.items()}

    t = grown({k: v for k, v in traits.items() if not k.endswith("_pattern")})
    t["patterns"] = [(k, kind, grown(p)) for k in traits if k.endswith("_pattern") for kind, p in traits[k]]
    for key in VARIED:
        t[key] *= 1 + 0.04 * spread * bell()
    tint = 1 + 0.02 * spread * rng.standard_normal(3)  # one cast for the whole fish
    for key in [k for k, v in t.items() if isinstance(v, tuple)]:  # colours
        colour = np.array(t[key]) * tint * (1 + 0.05 * spread * rng.standard_normal())
        pale = _mix(colour, colour.mean(), rng.uniform(-0.15, 0.25) * spread)
        t[key] = np.clip(pale, 0, 1).astype(np.float32)
    t["full"] = 1 + 0.06 * spread * bell()
    if specimen:
        return t | {"fade": 1.0, "bend": 0.0, "gape": 0.0, "light": 1.0, "stain": 0.0}
    t["fade"], t["bend"] = rng.uniform(0.65, 1), 0.035 * bell()
    gape, light, stain = rng.uniform(-1, 1), rng.uniform(0.86, 1.1), max(0.0, rng.uniform(-1.2, 1))
    return t | {"gape": gape, "light": light, "stain": stain}


def _outline(t: dict) -> tuple:
    """Back and belly of the straight fish: functions of u -> y, both in fork lengths, y down."""
    end, deep, thin = t["tail_base"], t["deep_at"], t["peduncle"] / t["depth"]

    def side(share, nose):
        def outline(u):
            w, r = np.clip(u / deep, 0, 1), np.clip((u - deep) / (end - deep), 0, 1)
            half = (1 - (1 - w) ** 2) ** nose * _mix((1 - r**1.75) ** 1.3, 1, thin)
            return t["depth"] * (t["droop"] * (1 - w) ** 2 + share * half)

        return outline

    return side(-t["arch"], t["nose_top"]), side((1 - t["arch"]) * t["full"], t["nose_bottom"])


def _skin(t, u, v, flank, rng, scale) -> np.ndarray:
    """Colour of the flank float32 (3, h, w): countershading, marks, lines, scales, light on a curved side."""
    h, w = v.shape
    broad, streak = noise(rng, (h, w), 4, 9), noise(rng, (h, w), max(8, h // 5), 12)
    fine, blotch = noise(rng, (h, w), h // 2, w // 2), noise(rng, (h, w), 12, 28)
    level = v + 0.07 * broad + 0.04 * streak + 0.03 * blotch
    skin = _mix(*(t[key][:, None, None] for key in ("side", "belly")), smooth(level - 0.35, 0.14))
    skin = _mix(skin, t["back"][:, None, None], smooth(t["shade_at"] - level, 0.09))
    if t["corselet"]:  # the scaled patch behind the head, whose point runs back below the dorsal fins
        point = t["head"] + t["corselet"] * (0.12 + 0.30 * np.exp(-(((v + 0.15) / 0.35) ** 2)))
        patch = smooth(point - u, 0.008) * smooth(u - t["head"], 0.01) * smooth(0.5 - v, 0.1)
        skin = _mix(skin, t["back"][:, None, None] * 1.45, 0.35 * patch)
    for key, *pattern in t["patterns"]:
        layer, p = marks(pattern, u, v, flank, rng, scale)
        fade = t["fade"] if key == "belly_pattern" else 0.6 + 0.4 * t["fade"]  # belly marks go first
        ink = np.float32(PALE if p["pale"] else RED if p["red"] else INK)[:, None, None]
        skin = _mix(skin, ink, (layer * p["dark"] * fade * (1 + 0.12 * blotch)))
    skin = _mix(skin, t["tail_colour"][:, None, None], 0.8 * smooth(u - t["tail_base"] + 0.012, 0.004))
    tone = 1 + 0.06 * (fine + broad + streak + blotch)
    tone *= 1 - 0.5 * _body_lines(t, v.shape, flank, scale)
    if t["scales"]:
        size = t["scales"] * scale / np.pi
        across = (np.arange(h, dtype=np.float32) * 1.2 / size)[:, None]
        along = (np.arange(w, dtype=np.float32) / size)[None]
        net = np.abs(np.sin(along + across) * np.sin(along - across)) - 0.4
        clear = np.clip(0.7 + 0.4 * broad + 0.5 * blotch, 0, 1.5)
        tone *= 1 + 0.30 * net * smooth(u - t["head"], 0.01) * clear
    face = np.sqrt(np.clip(1 - np.minimum(np.abs(v), 1) ** 2.4, 0, 1))  # 1 where the side looks at us
    tone *= t["light"] * (0.48 + 0.54 * face - rng.uniform(0.0, 0.15) * v)
    skin = skin * tone
    bright = np.exp(-(((v - rng.uniform(-0.55, -0.1)) / rng.uniform(0.10, 0.22)) ** 2))
    bright += 0.4 * np.exp(-(((v - 0.35) / 0.2) ** 2))
    wet = np.clip(0.5 + 0.6 * streak + 0.4 * fine, 0, 2) + 1.5 * smooth(blotch + 0.5 * streak - 0.9, 0.12)
    skin += t["gloss"] * rng.uniform(0.08, 0.30) * bright * wet
    if t["stain"]:
        far = ((u - t["head"] * rng.uniform(0.7, 1.6)) / 0.05) ** 2
        far = far + ((v - rng.uniform(0.2, 0.9)) / 0.35) ** 2
        share = 0.7 * t["stain"] * np.exp(-far) * smooth(fine + blotch, 0.2)
        skin = _mix(skin, np.float32(BLOOD)[:, None, None], share)
    return skin


def _body_lines(t, shape, flank, scale) -> np.ndarray:
    """Lateral line or lines and the keel of the tail, float32 (h, w) in 0..1."""
    layer, thin = np.zeros(shape, np.uint8), max(1, round(scale / 420))
    u = np.linspace(t["head"], t["tail_base"], 90)
    r = (u - t["head"]) / (t["tail_base"] - t["head"])
    way, form = -0.42 + 0.42 * np.clip(r / 0.75, 0, 1) ** 1.2, t["lateral_line"]
    if form == "wavy":
        way = way + 0.10 * np.sin(r * 34) * smooth(r - 0.2, 0.05)
    elif form == "dip":  # sharply down where the second dorsal fin ends
        at = t["d1_start"] + t["d1_base"] + t["gap"] + t["d2_base"]
        way = -0.55 + 0.62 * smooth(u - at, 0.012)
    elif form == "double":
        low = np.minimum(0.72, -0.4 + 16 * r) * (1 - 0.95 * np.clip((r - 0.55) / 0.42, 0, 1) ** 1.5)
        line(layer, flank(u, low), 255, thin + 1)
    line(layer, flank(u, way), *((170, thin) if form == "plain" else (255, thin + 1)))
    if t["keel"]:
        keel = np.linspace(t["tail_base"] - 0.075, t["tail_base"], 12)
        line(layer, flank(keel, 0 * keel), 255, max(2, round(scale * 0.006)))
    return layer.astype(np.float32) / 255


def _face(t, skin, body, top, bottom, flank, pixels, rng, scale) -> np.ndarray:
    """Skin float32 (h, w, 3) with gill cover, jaw and eye; an open mouth is cut out of body, in place."""
    dark, step = np.zeros((2, *body.shape), np.uint8)
    thin = max(1, round(scale / 330))
    head, jaw, q = t["head"], t["jaw"] * t["head"], np.linspace(-0.62, 0.92, 24)
    gill = flank(head * (1 - 0.24 * (q - 0.05) ** 2), q)
    line(dark, gill, 150, thin)
    line(step, gill + np.array([scale * 0.003, 0]), 200, max(1, round(scale * 0.005)))  # the shade it throws
    q = np.linspace(-0.25, 0.8, 16)
    line(step, flank(head * (0.76 - 0.18 * (q - 0.1) ** 2 - 0.12 * np.maximum(q - 0.3, 0)), q), 110, thin + 1)
    lip, s = (top(0.0) + bottom(0.0)) / 2, np.linspace(0, 1, 10)
    corner = _mix(top(jaw), bottom(jaw), 0.65)
    mouth = np.stack([s * jaw, _mix(lip, corner, s**1.2)], 1)
    line(dark, pixels(mouth), 225, thin)
    if t["gape"] > 0.1:
        for image, value, deep, i in ((dark, 255, 0.05, 7), (body, 0, 0.04, 3)):
            fill(image, pixels([(-0.01, lip - 0.003), (-0.01, lip + deep * t["gape"]), mouth[i]]), value)
    u = t["snout"] * head + t["eye"] * head / 2
    at = np.array([u, _mix(top(u), bottom(u), 0.33)])
    radius = min(t["eye"] * head / 2, 0.8 * (at[1] - top(u)))
    eye, cover = np.zeros((*body.shape, 3), np.uint8), np.zeros(body.shape, np.uint8)

    def disc(image, shift, size, value):
        x, y = np.round(pixels(at - radius * shift * np.array([0.7, 1])) * 16).astype(int).tolist()
        cv2.circle(image, (x, y), max(8, round(radius * size * scale * 16)), value, -1, cv2.LINE_AA, 4)

    disc(step, 0, 1.25, 160)  # the socket
    disc(cover, 0, 1, 255)
    ring, black = np.array(t["iris"]) * 255 * rng.uniform(0.6, 0.95), 16 + 70 * (1 - t["fade"])
    for shift, size, colour in ((0, 1.2, ring * 0.35), (0, 0.88, ring), (0.1, 0.66, ring * 0.7)):
        disc(eye, shift, size, colour.tolist())
    disc(eye, 0, 0.58, (black,) * 3)
    disc(eye, 0.3, 0.17, (232,) * 3)
    eye = cv2.GaussianBlur(eye, (0, 0), max(0.5, radius * scale * 0.06)) * np.float32(1 / 255)
    shade = np.maximum(0.6 * dark, 0.5 * cv2.GaussianBlur(step, (0, 0), scale * 0.004)).astype(np.float32)
    skin = cv2.merge(list(skin * (1 - shade / 255)))
    x, y = (pixels(at) - 2 * radius * scale).astype(int)
    cut = np.s_[max(y, 0) : y + int(4 * radius * scale), max(x, 0) : x + int(4 * radius * scale)]
    skin[cut] = _mix(skin[cut], eye[cut], cover[cut][..., None] * np.float32(1 / 255))
    return skin


def _finish(colour, alphas, bend, scale, origin, over) -> Fish:
    """Bend the axis, shrink to the asked size, cut the canvas to the fish."""
    h, w = alphas.shape[:2]
    if bend:
        u = (np.arange(w, dtype=np.float32) / scale - origin[0] - 0.5)[None]
        y = np.arange(h, dtype=np.float32)[:, None] - np.float32(bend * scale) * (4 * u**2 - 0.5)
        x = np.arange(w, dtype=np.float32)[None] * (1 + 2.7 * bend**2)  # a bent fish spans less
        x = x + (y - origin[1] * scale) * np.float32(bend * 8) * u
        colour, alphas = (cv2.remap(a, x.astype(np.float32), y, cv2.INTER_LINEAR) for a in (colour, alphas))
    size = (round(w / over), round(h / over))
    colour, alphas = (cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (colour, alphas))
    total = alphas.sum(axis=2)
    rows, cols = np.flatnonzero((total > 0.02).any(1)), np.flatnonzero((total > 0.02).any(0))
    cut = np.s_[max(rows[0] - 2, 0) : rows[-1] + 3, max(cols[0] - 2, 0) : cols[-1] + 3]
    near, wide = (cv2.GaussianBlur(a[cut], (0, 0), 2) for a in (colour, total))  # for beyond the edge
    colour, total, alphas = colour[cut] + 0.01 * near, total[cut] + 0.01 * wide, alphas[cut]
    rgb = np.clip(colour / np.maximum(total, 1e-5)[..., None], 0, 1)
    body = np.clip(alphas[..., 0], 0, 1)
    return Fish(rgb, body, np.clip(alphas[..., 1], 0, 1 - body))
