"""More colours than Okabe and Ito's eight, told apart with any colour vision, for as many lines as a figure has."""

import itertools
from functools import cache

import cv2
import numpy as np
from matplotlib.colors import to_hex, to_rgb

# linear RGB as it is seen without one kind of cone, severity 1 (Machado et al. 2009, table 1)
VISIONS = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
STEPS = 12  # of each of red, green and blue, to choose from
PAPER = "#FFFFFF"
LIGHTEST = 72.0  # CIE L*: thin lines of a lighter colour are hard to see on paper


def more(taken: list[str], n: int) -> list[str]:
    """n colours (hex), each as far as can be from those taken, from white and from each other, in every vision."""
    return list(_more(tuple(taken), n))


def nearest(colours: list[str]) -> float:
    """The smallest distance (CIE Lab, 1976) of two of these colours in any vision; infinity for fewer than two."""
    seen = _seen(np.array([to_rgb(colour) for colour in colours]))
    pairs = itertools.combinations(range(len(colours)), 2)
    return min((float(_distances(seen[:, [a]], seen[:, b]).min()) for a, b in pairs), default=np.inf)


@cache
def _more(taken: tuple[str, ...], n: int) -> tuple[str, ...]:
    steps = np.linspace(0, 1, STEPS)
    candidates = np.array(list(itertools.product(steps, repeat=3)))  # (M, 3) RGB
    seen = _seen(candidates)  # (visions, M, 3) Lab
    dark_enough = seen[0, :, 0] <= LIGHTEST
    candidates, seen = candidates[dark_enough], seen[:, dark_enough]

    others = _seen(np.array([to_rgb(colour) for colour in (*taken, PAPER)]))
    to_nearest = np.min([_distances(seen, others[:, i]) for i in range(others.shape[1])], axis=0)  # (M,)
    chosen = []
    for _ in range(n):
        best = int(to_nearest.argmax())
        chosen.append(to_hex(candidates[best]))
        to_nearest = np.minimum(to_nearest, _distances(seen, seen[:, best]))
    return tuple(chosen)


def _seen(colours: np.ndarray) -> np.ndarray:
    """CIE Lab, float64 (visions, N, 3), of colours (N, 3) sRGB in 0..1 as each vision sees them."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = []
    for matrix in VISIONS.values():
        light = np.clip(linear @ matrix.T, 0, 1).astype(np.float32)
        seen.append(cv2.cvtColor(light[None], cv2.COLOR_LRGB2LAB)[0])
    return np.array(seen, np.float64)


def _distances(seen: np.ndarray, one: np.ndarray) -> np.ndarray:
    """The distance of each of (visions, M, 3) to one colour (visions, 3) in the vision that sees them nearest: (M,)."""
    return np.linalg.norm(seen - one[:, None], axis=-1).min(axis=0)
