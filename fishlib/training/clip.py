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


def _region(rng, image: np.ndarray, fish: np.ndarray) -> tuple[np.ndarray, bool]:
    """A mask such as a segmenter leaves, bool (H, W), and whether it holds a fish or a good part of one."""
    (h, w), chance = fish.shape, rng.uniform(size=2)
    mask, spot = np.zeros((h + 2, w + 2), np.uint8), (int(rng.integers(w)), int(rng.integers(h)))
    if chance[0] < 0.55 and fish.sum() > 200:
        mask = fish.astype(np.uint8)
        if chance[1] < 0.3:  # what lies on one side of a line across the fish
            turn = rng.uniform(0, 2 * np.pi)
            along = np.argwhere(fish) @ [np.cos(turn), np.sin(turn)]
            mask[fish] = along > np.quantile(along, rng.uniform(0.1, 0.6))
        shape, steps = np.ones((int(rng.integers(1, 6)),) * 2, np.uint8), (cv2.MORPH_DILATE, cv2.MORPH_ERODE)
        made = cv2.morphologyEx(mask, steps[int(2 * chance[1])], shape)
        return (made if made.sum() > 60 else mask) > 0, True
    if chance[1] < 0.6:  # what has the colour of a spot
        smooth = cv2.GaussianBlur((image * 255).astype(np.uint8), (0, 0), 2)
        spread, flags = (int(rng.integers(6, 30)),) * 3, cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
        cv2.floodFill(smooth, mask, spot, 0, spread, spread, flags)
    else:
        axes = (int(rng.uniform(0.05, 0.7) * w), int(rng.uniform(0.05, 0.4) * h))
        cv2.ellipse(mask, spot, axes, rng.uniform(0, 180), 0, 360, 1, -1)
    mask = (mask[1:-1, 1:-1] > 0) & ~fish
    return (mask if mask.sum() > 60 else ~fish), False


def crop(rng, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The masked region alone, mostly on a black square: float32 (64, 64, 3) in 0..1."""
    x0, y0, x1, y1 = data.box_of(mask).astype(int)
    fill, chance = np.float32(rng.choice([0.0, 0.5, 1.0], p=[0.8, 0.1, 0.1])), rng.uniform(size=2)
    shown = mask[y0:y1, x0:x1, None] if chance[0] < 0.9 else True
    out = np.where(shown, image[y0:y1, x0:x1], fill)
    if chance[1] < 0.8:  # keep the shape
        tall, wide = max(0, x1 - x0 - y1 + y0) // 2, max(0, y1 - y0 - x1 + x0) // 2
        out = cv2.copyMakeBorder(out, tall, tall, wide, wide, cv2.BORDER_CONSTANT, value=(float(fill),) * 3)
    return cv2.resize(out, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def batch(rng, pictures: data.Pictures, size: int, share: float = 1.0) -> dict:
    """pixels (B, 3, 64, 64), fish (B,) bool, prompts (13): one for fish, the others for anything else."""
    crops, fish = [], []
    while len(crops) < size:
        image, label = data.sample(rng, pictures, 160, 160)
        for mask, kind in (_region(rng, image, label > 0) for _ in range(4)):
            crops.append(crop(rng, image, mask)), fish.append(kind)
    mean, std = np.float32([[0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]])
    pixels = torch.from_numpy((np.stack(crops) - mean) / std).permute(0, 3, 1, 2).contiguous()
    words = ["fish", *rng.choice([*settings("others"), *settings("clip_others")[6:]], 12)]
    prompts = [str(rng.choice(settings("templates"))).format(w) for w in words]
    return {"pixels": pixels, "fish": torch.tensor(fish), "prompts": prompts}


def loss(model, part: dict) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy between the prompt with fish and all others together."""
    text = processor()(text=part["prompts"], return_tensors="pt", padding=True)
    logits = model(pixel_values=part["pixels"], **text).logits_per_image.float()  # (B, 13)
    odds = logits[:, 0] - logits[:, 1:].logsumexp(1)
    right = ((odds > 0) == part["fish"]).float().mean().item()
    return F.binary_cross_entropy_with_logits(odds, part["fish"].float()), {"right": right}
