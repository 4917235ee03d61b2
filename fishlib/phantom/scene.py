"""One photo: a surface, things on it, the fish among them, one light for all of it, a camera.

Two sources of random numbers that never mix: how the fish looks (species, individual) and everything else
(background, things, pose, light, camera; settings.csv has the ranges). The second never sees the species.
"""

from math import exp
from typing import NamedTuple

import cv2
import numpy as np

from fishlib.phantom import fish, traits
from fishlib.phantom.backgrounds import fbm, kinds, number, rows, step, surface
from fishlib.phantom.props import place, put, things, turned

SHAPES = [(4, 3)] * 4 + [(3, 2)] * 6 + [(16, 9)] * 4 + [(2, 1)] * 3 + [(1, 1), (3, 4), (2, 3)]
WILD = 0.08  # share of anglers' photos with the wide ranges


class Phantom(NamedTuple):
    """A drawn photo uint8 (H, W, 3) RGB; body and fins bool (H, W), apart; box float32 (4,) XYXY around both
    (zeros without a fish); species (folder name, "" without a fish); facts of the scene."""

    photo: np.ndarray
    body: np.ndarray
    fins: np.ndarray
    box: np.ndarray
    species: str
    facts: dict


def _seen(rng, kind: str, h: int, w: int, texture: float) -> list[np.ndarray]:
    """A `surface` from somewhere: turned, in perspective; upright if it has a horizon."""
    n = int(1.05 * max(h, w))
    made, corners = surface(rng, kind, n, texture), np.float32([(0, 0), (n, 0), (n, n), (0, n)])
    turn = turned(rng.choice([0, np.pi / 2]) + rng.normal(0, 0.35))
    seen = (corners - n / 2) @ turn * rng.uniform(1, 1.6) + (w / 2, h / 2) + rng.normal(0, 0.06 * n, (4, 2))
    seen = corners * (w / n, h / n) if kind == "outdoors" else seen
    view = cv2.getPerspectiveTransform(corners, seen.astype(np.float32))
    return [cv2.warpPerspective(np.float32(m), view, (w, h), borderMode=cv2.BORDER_REFLECT_101) for m in made]


def _ground(rng, kind: str, h: int, w: int, k: dict) -> tuple[dict, list[str]]:
    """Layers of the scene before anything lies on it, and its surfaces: one, perhaps a second beside it."""
    n, used, shade = max(h, w), [kind], np.ones((h, w), np.float32)
    layers = _seen(rng, kind, h, w, k["texture"])
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / n
    if kind != "outdoors" and rng.uniform() < k["beside"]:  # the edge of a table, a hatch, the next board
        used.append(str(rng.choice([name for name in kinds() if name != "outdoors"])))
        other, turn = _seen(rng, used[1], h, w, k["texture"]), rng.uniform(0, 2 * np.pi)
        side = (x - 0.5 * w / n) * np.cos(turn) + (y - 0.5 * h / n) * np.sin(turn) - rng.uniform(0.05, 0.3)
        edge = step(side, 0.004)
        layers = [m + (o - m) * edge.reshape(h, w, *[1] * (m.ndim - 2)) for m, o in zip(layers, other, strict=True)]
        shade *= 1 - rng.uniform(0.2, 0.7) * edge * np.exp(-np.clip(side, 0, 1) / rng.uniform(0.005, 0.05))
    layers = dict(zip(("albedo", "height", "gloss", "shade"), (*layers, shade), strict=True))
    return {name: np.ascontiguousarray(layer, np.float32) for name, layer in layers.items()}, used


def _lit(rng, layers: dict, light: list, k: dict) -> np.ndarray:
    """The layers under the light: slopes shaded, highlights where a slope mirrors the lamp or the sky."""
    shade, n = layers["shade"], max(layers["shade"].shape)
    sx, sy = (np.clip(cv2.Sobel(layers["height"], -1, *d, scale=n / 8), -3, 3) for d in ((1, 0), (0, 1)))
    facing = (1 - k["slant"] * (sx * light[0] + sy * light[1])) / np.sqrt(1 + sx**2 + sy**2)
    y, x = np.indices(shade.shape, np.float32) / np.float32(n)
    fall, spot = rng.uniform(-k["slope"], k["slope"], 2).tolist(), rng.uniform(-0.1, 1.1, 2).tolist()
    fall, tx, ty = 1 + fall[0] * (x - 0.5) + fall[1] * (y - 0.35), x - spot[0], y - spot[1]
    fall = fall * (1.35 - 1.1 * (tx**2 + ty**2)) if rng.uniform() < k["flash"] else fall
    if rng.uniform() < k["cast"]:  # the shadow of somebody, of a rail, of leaves
        cast = fbm(rng, 160, rng.uniform(1.5, 8), 3, rng.uniform(0.4, 3)) - rng.uniform(-0.3, 0.7)
        cast = cv2.resize(cast, shade.shape[::-1], interpolation=cv2.INTER_CUBIC)
        fall = fall * (1 - k["dark"] * step(cast, rng.uniform(0.15, 1)))
    soft = 0.75 - 0.5 * k["hard"]
    amount = (soft + (1 - soft) * np.clip(facing, 0, 2)) * shade * np.clip(fall, 0.25, 1.7)
    far = ((sx + tx * k["spread"]) ** 2 + (sy + ty * k["spread"]) ** 2) / k["sharp"] ** 2
    shine = k["power"] * (np.exp(-far) + 0.25 * np.exp(-far / 9)) + k["sky"] * np.clip(0.7 - 2 * sy, 0.4, 1)
    shine *= layers["gloss"] * (0.3 + 0.7 * shade)
    lamp = np.float32([1 + k["warm"], 1 + k["tint"], 1 - k["warm"]])
    return (layers["albedo"] * amount[..., None] + shine[..., None]) * lamp


def _camera(rng, image: np.ndarray, gain: float, k: dict) -> np.ndarray:
    """float32 (h, w, 3) as a small camera keeps it: exposure, colour, haze, blur, noise, JPEG; uint8."""
    (h, w), n = image.shape[:2], max(image.shape)
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) ** 2 for size in (h, w))
    image = image * (gain * exp(k["gain"]) * (1 - k["corner"] * (y[:, None] + x)))[..., None]
    grey = image.mean(2, keepdims=True)
    image = np.clip(grey + (image - grey) * k["vivid"], 0, None) * (1 - k["haze"]) + k["haze"]
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.25 + n * k["blur"])
    if rng.uniform() < k["shake"]:
        image = cv2.blur(image, (1, 1 + int(n * rng.uniform(0.002, 0.012)))[:: rng.choice([-1, 1])])
    image = np.where(image > 0.8, 1 - 0.2 * np.exp(4 - np.maximum(image, 0.8) / 0.2), image)  # roll-off
    noise = cv2.GaussianBlur(rng.standard_normal((h, w, 3), np.float32), (0, 0), rng.uniform(0.3, 0.9))
    image = np.clip(image, 0, 1) ** exp(k["gamma"]) + k["noise"] * noise * (0.6 + image)
    photo = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.uniform() < k["date"]:
        date = "{}/{:02}/{:02}".format(*rng.integers((2004, 1, 1), (2023, 13, 29)))
        corner, thick = (int(w * 0.68), int(h * 0.93)), max(1, n // 500)
        cv2.putText(photo, date, corner, 2, n / 1100, (255, 200, 40), thick, cv2.LINE_AA)
    coded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(k["quality"])])[1]
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def _poses(rng, h: int, w: int, k: dict, cut_off: bool, second: bool) -> list[dict]:
    """Where a fish of any shape lies: length px, angle, flip, centre, shift of the corners; one, or two."""
    angle = rng.choice([np.pi / 2, rng.uniform(-1.57, 1.57)]) if rng.uniform() < k["turned"] else k["angle"]
    along, frame = turned(angle)[0], np.array([w, h])
    reach = np.abs(along) + 0.3 * np.abs(along[::-1])
    room = 0.99 * np.min(frame / reach)
    length = min(k["size"] * w, room)
    length = min(length, 0.55 * room) if second else max(length, 0.6 * room) if cut_off else length
    centre = frame / 2 + k["off"] * rng.uniform(-1, 1, 2) * np.maximum(frame - length * reach, 0) / 2
    way, share = along * rng.choice([-1, 1]), rng.uniform(0.1, 0.3)
    if cut_off:
        out = np.min(np.where(way > 0, frame - centre, centre) / np.maximum(np.abs(way), 1e-6))
        centre = centre + way * (out - length * share)
    flip, bend = -1 if rng.uniform() < k["right"] else 1, rng.normal(0, k["bend"], (4, 2))
    one = {"length": float(length), "angle": float(angle), "flip": flip, "centre": centre, "bend": bend}
    aside = turned(angle)[1] * length * rng.uniform(0.2, 0.26)
    return [one | {"centre": frame / 2 + s * aside} for s in (-1, 1)] if second else [one]


def _fish(rng, look: dict, pose: dict, h: int, w: int, plain: bool, whole: bool) -> list[np.ndarray]:
    """The fish laid in the frame: rgb float32 (h, w, 3), body and fins float32 (h, w)."""
    made = fish.draw_fish(look, rng, int(pose["length"]), specimen=plain)
    fh, fw = made.body.shape
    corners = np.float32([(-fw, -fh), (fw, -fh), (fw, fh), (-fw, fh)]) / 2
    seen = corners * (1 + pose["bend"]) * (pose["flip"], 1) * (pose["length"] / fw) @ turned(pose["angle"])
    fit = min(1, *(np.array([w, h]) * 0.995 / np.ptp(seen, 0))) if whole else 1  # for a deep fish
    seen, centre = seen * fit, pose["centre"]
    centre = np.clip(centre, 1 - seen.min(0), (w - 1, h - 1) - seen.max(0)) if whole else centre
    view = cv2.getPerspectiveTransform(corners + np.float32((fw / 2, fh / 2)), np.float32(seen + centre))
    rgb = cv2.warpPerspective(made.rgb, view, (w, h), borderMode=cv2.BORDER_REPLICATE)
    return [rgb, *(cv2.warpPerspective(m, view, (w, h)) for m in (made.body, made.fins))]


def draw(species, seed, index, style="angler", side=640, kind=None, second=False, cut_off=False) -> Phantom:
    """One photo, its long side `side` px. species: a key of traits.load(), or None: a scene without fish.

    style "angler": a cluttered photo; "wild": one from the wide ranges of settings.csv only, which a share of
    the anglers' photos has too; "specimen": plain and light. kind: a surface of `kinds()` instead of a drawn
    one. second adds a fish of the species; cut_off lets the frame cut the fish. Same arguments, same bytes.
    KeyError for an unknown species or kind.
    """
    plain, look = style == "specimen", traits.load()[species] if species is not None else None
    rng, posing, lamp, lens, clutter = (np.random.default_rng([seed, index, 0, i]) for i in range(5))
    style = {"angler": "wild" if rng.uniform() < WILD else "usual"}.get(style, style)
    k = {row["name"]: number(rng, row[style]) for row in rows("settings.csv")}
    a, b = (3, 2) if plain else SHAPES[rng.integers(len(SHAPES))]
    w, h, n = round(side * a / max(a, b)), round(side * b / max(a, b)), side
    drawn, light, used_things = str(rng.choice(list(kinds()))), turned(lamp.uniform(0, 6.3))[0].tolist(), []
    kind, poses = "plain" if plain else kind or drawn, _poses(posing, h, w, k, cut_off, second)
    layers, used = _ground(rng, kind, h, w, k)
    gain = (0.57 / (0.05 + float((layers["albedo"].mean(2) * layers["shade"]).mean()))) ** k["meter"]
    held, shadow, drop = kind == "outdoors", 0.25 + 0.5 * k["hard"], [-v * k["throw"] * n for v in light]
    if held:
        size, spot = n * clutter.uniform(0.7, 1.3), clutter.uniform((0.3 * w, 0.4 * h), (0.7 * w, 0.7 * h))
        place(layers, "person", clutter.integers(2**31), spot, size, clutter.normal(0, 0.05), (1, 1), 0.2)
    for _ in range(0 if held else int(k["things"]) + (not look and not plain)):
        name = str(clutter.choice([t for t in things() if t != "person"]))
        size, spot = number(clutter, things()[name][0]["size"]) * n, clutter.uniform(0, (w, h))
        place(layers, name, clutter.integers(2**31), spot, size, clutter.uniform(0, 6.3), drop, shadow)
        used_things.append(name)
    grip, one = clutter.uniform() < k["hand"], clutter.choice([-1, 1])
    hands, (along, down) = [], turned(poses[0]["angle"])
    for end in (-1, 1) if held else (one,) if grip else ():
        size, name = poses[0]["length"] * clutter.uniform(0.25, 0.4), str(clutter.choice(["hand", "glove"]))
        at = poses[0]["centre"] + end * along * poses[0]["length"] * clutter.uniform(0.2, 0.42)
        at, tilt = at + down * size * clutter.uniform(0.15, 0.45), clutter.normal(0, 0.3)
        hands.append((name, clutter.integers(2**31), at, size, np.arctan2(*down[::-1]) + tilt, (2, 2), 0.3))
        place(layers, *hands[-1], slice(-1))  # all but the thumb, which lies over the fish
    body, fins, hidden = np.zeros((3, h, w), np.float32)
    for i, pose in enumerate(poses if look else []):
        own = np.random.default_rng([seed, index, 1, i])
        rgb, b1, f1 = _fish(own, look, pose, h, w, plain, not cut_off)
        alpha, radius = np.clip(b1 + f1, 0, 1), 0.09 * pose["length"]
        put(layers, np.s_[:, :], alpha, rgb, 0.0, 1.0, (1, 1) if held else drop, 0.1 if held else shadow)
        dome = cv2.GaussianBlur(b1, (0, 0), radius * 0.5) * radius / n * 0.8
        layers["height"] += b1 * (dome - layers["height"])
        layers["gloss"] += alpha * (k["gloss"] * b1 - layers["gloss"])
        body, fins = np.maximum(body * (1 - alpha), b1), np.maximum(fins * (1 - alpha), f1)
    for hand in hands if look else []:
        hidden = np.maximum(hidden, place(layers, *hand, slice(-1, None)))
    photo = _camera(lens, _lit(lamp, layers, light, k), gain, k)
    seen = (body + fins > 0.45) & (hidden < 0.5)
    fins = seen & (fins > body)
    x, y, wide, high = cv2.boundingRect(seen.astype(np.uint8))
    box = np.float32([x, y, x + wide, y + high])
    facts = {"kind": kind, "surfaces": used, "things": used_things, "hands": len(hands), "style": style}
    facts |= {name: poses[0][name] for name in ("length", "angle", "flip")} | {"cut_off": cut_off}
    facts |= {"n_fish": len(poses) if look else 0, "settings": k}
    return Phantom(photo, seen & ~fins, fins, box, species or "", facts)
