"""GrabCut (Rother et al. 2004, OpenCV's), seeded by colour contrast to the rim: the classical rival."""

import cv2
import numpy as np

from fishlib import cache
from fishlib.photos import masks
from fishlib.photos.decode import working
from fishlib.removal.segmenters import MASK_REJECTED, NO_DETECTION, Segmentation, common

# ours: 320 px takes a fifth of the time of 640 and lost 0.02 IoU on 21 photos of fish on a bench
DEFAULTS = {"iterations": 5, "side": 320, "seed": 0}
LIMITS = {"iterations": (1, 100), "side": (16, 4096), "seed": (0, 2**31 - 1)}
LEAST_SIDE = 16  # pixels
LEAST_SHARE = 0.005  # of the photo; what is smaller is no fish
MOST_SHARE = 0.9

# A picture of few colours (a blank scan, a drawing) gives GrabCut's mixture of Gaussians no variance, and OpenCV's cut
# of the graph then does not end: so it was with 103 of 2,500 drawn ones, in each of which 3 colours or fewer covered
# 97 %. With a noise of one grey level all of them ended. Photos stay as they are: of 349, drawn and real, none has more
# than 47 % in 16 colours.
FEW_COLOURS = 16
FLAT_SHARE = 0.6
NOISE = 1.0  # grey levels, standard deviation


class GrabCut:
    def __init__(self, params: dict):
        self.params = common.options("grabcut", DEFAULTS, params, LIMITS)
        self.key = {"method": "grabcut", "code": cache.code_version(__name__), "opencv": cv2.__version__, **self.params}

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> Segmentation:
        small = working(image, self.params["side"])
        if min(small.shape[:2]) < LEAST_SIDE:
            return Segmentation(status=NO_DETECTION, reason="the photo is too small or too narrow")

        shares = colour_shares(small)
        if shares[0] > 1 - LEAST_SHARE:
            return Segmentation(status=NO_DETECTION, reason="the photo is of one colour, nothing stands out")
        labels = seeds(small)
        if shares[:FEW_COLOURS].sum() > FLAT_SHARE:
            small = _noisy(small, self.params["seed"])

        found = _cleaned(self._cut(small, labels))
        mask = masks.resize_mask(found, image.shape[:2])
        if mask.mean() < LEAST_SHARE:
            return Segmentation(status=NO_DETECTION, reason="the cut vanished")
        if mask.mean() > MOST_SHARE:
            return Segmentation(None, masks.box_of(mask), status=MASK_REJECTED, reason="it fills the frame")
        return Segmentation(mask, masks.box_of(mask))

    def _cut(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """What OpenCV takes for foreground, bool (H, W); labels, uint8 (H, W), are changed."""
        background, foreground = np.zeros((1, 65)), np.zeros((1, 65))  # its two mixtures, filled by it
        cv2.setRNGSeed(self.params["seed"])
        iterations = self.params["iterations"]
        cv2.grabCut(image, labels, None, background, foreground, iterations, cv2.GC_INIT_WITH_MASK)
        return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def colour_shares(image: np.ndarray) -> np.ndarray:
    """The share of the pixels that each colour of the picture has, largest first. image: uint8 (H, W, 3)."""
    red, green, blue = np.moveaxis(image.astype(np.int32), -1, 0)
    _, counts = np.unique((red << 16) | (green << 8) | blue, return_counts=True)
    return np.sort(counts)[::-1] / counts.sum()


def seeds(image: np.ndarray) -> np.ndarray:
    """GrabCut's labels, uint8 (H, W): likely fish where the colour is far from the rim's, likely background
    elsewhere; a central box where that names next to nothing or nearly all; the outermost pixels are sure."""
    lab = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), (0, 0), 3).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : lab.shape[0] * 1j, -1 : 1 : lab.shape[1] * 1j]
    inner = (np.abs(x) < 0.9) & (np.abs(y) < 0.9)

    # Mahalanobis distance, so that a direction in which the rim's own clutter varies counts for little
    rim = lab[~inner]
    metric = np.linalg.inv(np.cov(rim.T) + 4 * np.eye(3))
    off = lab - rim.mean(axis=0)
    distance = np.sqrt(np.einsum("hwc,cd,hwd->hw", off, metric, off))
    central = distance * np.exp(-(x**2) - y**2)

    grey = cv2.normalize(central, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    _, stands_out = cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)
    likely = (stands_out > 0) & inner
    if not 0.01 < likely.mean() < 0.6:
        likely = (np.abs(x) < 0.7) & (np.abs(y) < 0.5)

    labels = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[[0, -1]] = cv2.GC_BGD
    labels[:, [0, -1]] = cv2.GC_BGD
    return labels


def build(params: dict, device: str, offline: bool) -> GrabCut:
    """params: iterations, side (long side in pixels where the cut is made), seed of OpenCV's k-means."""
    return GrabCut(params)


def _noisy(image: np.ndarray, seed: int) -> np.ndarray:
    """The picture with a little noise, the same for a seed."""
    noise = np.random.default_rng(seed).normal(0, NOISE, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def _cleaned(found: np.ndarray) -> np.ndarray:
    """The largest piece of a cut, its edge smoothed and its holes filled; bool (H, W)."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, disc)
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disc) > 0
    return masks.fill_holes(masks.largest_piece(closed), closed.size)
