"""Training of the zoo's clip: its pictures and its loss."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fishlib.training import data
from fishlib.zoo.clip import SIDE, processor
from fishlib.zoo.settings import settings

RATE = 4e-4  # learning rate
LEAST = 60  # pixels of a region worth a crop
MEAN = np.float32([0.48145466, 0.4578275, 0.40821073])  # CLIP's own, as STD
STD = np.float32([0.26862954, 0.26130258, 0.27577711])


def _region(rng, image: np.ndarray, fish: np.ndarray) -> tuple[np.ndarray, bool]:
    """A mask such as a segmenter leaves, bool (H, W), and whether it holds a fish or a good part of one."""
    h, w = fish.shape
    which, how = rng.uniform(size=2)
    spot = (int(rng.integers(w)), int(rng.integers(h)))
    if which < 0.55 and fish.sum() > 200:
        return _of_fish(rng, fish, how), True
    mask = _of_one_colour(rng, image, spot) if how < 0.6 else _ellipse(rng, h, w, spot)
    mask &= ~fish
    return (mask if mask.sum() > LEAST else ~fish), False


def _of_fish(rng, fish: np.ndarray, how: float) -> np.ndarray:
    """The fish, or what lies on one side of a line across it, a little too large or too small; how: in 0..1."""
    mask = fish.astype(np.uint8)
    if how < 0.3:
        turn = rng.uniform(0, 2 * np.pi)
        along = np.argwhere(fish) @ [np.cos(turn), np.sin(turn)]
        mask[fish] = along > np.quantile(along, rng.uniform(0.1, 0.6))
    side = int(rng.integers(1, 6))
    change = cv2.MORPH_DILATE if how < 0.5 else cv2.MORPH_ERODE
    made = cv2.morphologyEx(mask, change, np.ones((side, side), np.uint8))
    return (made if made.sum() > LEAST else mask) > 0


def _of_one_colour(rng, image: np.ndarray, spot: tuple[int, int]) -> np.ndarray:
    """What is connected to a spot (x, y) and has its colour, bool (H, W); image float32 in 0..1."""
    h, w = image.shape[:2]
    smooth = cv2.GaussianBlur((image * 255).astype(np.uint8), (0, 0), 2)
    spread = (int(rng.integers(6, 30)),) * 3
    mask = np.zeros((h + 2, w + 2), np.uint8)  # OpenCV wants a rim
    cv2.floodFill(smooth, mask, spot, 0, spread, spread, cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE)
    return mask[1:-1, 1:-1] > 0


def _ellipse(rng, h: int, w: int, spot: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((h + 2, w + 2), np.uint8)
    axes = (int(rng.uniform(0.05, 0.7) * w), int(rng.uniform(0.05, 0.4) * h))
    cv2.ellipse(mask, spot, axes, rng.uniform(0, 180), 0, 360, 1, -1)
    return mask[1:-1, 1:-1] > 0


def crop(rng, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The masked region alone, mostly on a black square: float32 (64, 64, 3)."""
    x0, y0, x1, y1 = data.box_of(mask).astype(int)
    width, height = x1 - x0, y1 - y0
    fill = np.float32(rng.choice([0.0, 0.5, 1.0], p=[0.8, 0.1, 0.1]))
    alone, square = rng.uniform(size=2)

    shown = mask[y0:y1, x0:x1, None] if alone < 0.9 else True
    out = np.where(shown, image[y0:y1, x0:x1], fill)
    if square < 0.8:  # keep the shape
        tall = max(0, width - height) // 2
        wide = max(0, height - width) // 2
        out = cv2.copyMakeBorder(out, tall, tall, wide, wide, cv2.BORDER_CONSTANT, value=(float(fill),) * 3)
    return cv2.resize(out, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def batch(rng, pictures: data.Pictures, size: int, share: float = 1.0) -> dict:
    """pixels (B, 3, 64, 64), fish (B,) bool, prompts (13): one for fish, the others for anything else.

    B is size or up to three more: a picture gives four crops.
    """
    crops, fish = [], []
    while len(crops) < size:
        image, label = data.sample(rng, pictures, 160, 160)
        for _ in range(4):
            mask, is_fish = _region(rng, image, label > 0)
            crops.append(crop(rng, image, mask))
            fish.append(is_fish)
    pixels = torch.from_numpy((np.stack(crops) - MEAN) / STD).permute(0, 3, 1, 2).contiguous()

    others = [*settings("others"), *settings("clip_others")[6:]]  # the first are words of prompts, not things
    prompts = []
    for word in ["fish", *rng.choice(others, 12)]:
        prompts.append(str(rng.choice(settings("templates"))).format(word))
    return {"pixels": pixels, "fish": torch.tensor(fish), "prompts": prompts}


def loss(model, part: dict) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy between the prompt with fish and all others together."""
    text = processor()(text=part["prompts"], return_tensors="pt", padding=True)
    logits = model(pixel_values=part["pixels"], **text).logits_per_image.float()  # (B, 13)
    odds = logits[:, 0] - logits[:, 1:].logsumexp(1)
    right = ((odds > 0) == part["fish"]).float().mean().item()
    return F.binary_cross_entropy_with_logits(odds, part["fish"].float()), {"right": right}
