"""SAM 2.1 and EdgeTAM in SAM's place: the same four functions as sam's, over transformers' own classes."""

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fishlib import weights
from fishlib.device import choose_device
from fishlib.removal.segmenters import checkpoints, common, hub, squares

KINDS = {  # what config.json says -> transformers' class; the published files are those of the video models
    "sam2": "Sam2Model",
    "sam2_video": "Sam2Model",
    "edgetam": "EdgeTamModel",
    "edgetam_video": "EdgeTamModel",
}
PROMPTS_AT_ONCE = 64  # as sam's; more boxes than that go in turns


class Sam2(NamedTuple):
    """A model that answers boxes, and how it wants photos and boxes; bf16: whether its image encoder runs in that."""

    model: nn.Module
    processor: object
    bf16: bool


class Encoded(NamedTuple):
    """A photo the model has seen: three feature maps (1, C, h, w), and the photo's (height, width)."""

    features: list[Tensor]
    photo_size: tuple[int, int]


def load(spec: str, device: str = "cpu", offline: bool = True, dtype: str = "auto") -> Sam2:
    """spec: a name of the weights' manifest (sam2_hiera_large, edgetam, ...) or a folder of transformers.

    Raises NotRun when a file is missing or the folder holds something else.
    """
    bf16 = common.wants_bf16(dtype, device, spec)
    folder = checkpoints.locate("sam2", spec, offline)
    fetch = spec if spec in weights.manifest() else "sam2_hiera_large"
    kind = hub.hold_kind(folder, tuple(KINDS), "SAM 2 or EdgeTAM", fetch)
    model_class = hub.of_transformers(KINDS[kind])
    model, processor = hub.read(folder, model_class, hub.of_transformers("Sam2Processor"), "SAM 2", fetch)
    return Sam2(model.to(choose_device(device)), processor, bf16)


@torch.no_grad()
def encode(sam: Sam2, images: list[np.ndarray]) -> list[Encoded]:
    """images: uint8 (H, W, 3) RGB, any sizes; each is stretched to the model's square."""
    return [_encode_one(sam, image) for image in images]


def _encode_one(sam: Sam2, image: np.ndarray) -> Encoded:
    device = sam.model.device
    # as a picture, since of an array 3 pixels high the processor would take the rows for the colours
    prepared = sam.processor(images=Image.fromarray(image), return_tensors="pt")
    with torch.autocast(device.type, torch.bfloat16, enabled=sam.bf16):
        features = sam.model.get_image_embeddings(prepared["pixel_values"].to(device))
    return Encoded([level.float() for level in features], image.shape[:2])


@torch.no_grad()
def decode(sam: Sam2, photo: Encoded, boxes: np.ndarray, multimask: bool = True) -> tuple[Tensor, Tensor]:
    """boxes (n, 4) XYXY in pixels of the photo -> logits fp32 (n, m, L, L) of the square and the model's predicted IoU
    (n, m); m = 3 with multimask, else 1. All boxes share one decoder call (64 at a time)."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)

    logits, ious = [], []
    for start in range(0, len(boxes), PROMPTS_AT_ONCE):
        some = [boxes[start : start + PROMPTS_AT_ONCE].tolist()]  # of one photo
        prompts = sam.processor(input_boxes=some, original_sizes=[list(photo.photo_size)], return_tensors="pt")
        answer = sam.model(
            image_embeddings=list(photo.features),
            input_boxes=prompts["input_boxes"].to(sam.model.device),
            multimask_output=multimask,
        )
        logits.append(answer.pred_masks[0])
        ious.append(answer.iou_scores[0])
    return torch.cat(logits).float(), torch.cat(ious).float()


def upscale(sam: Sam2, photo: Encoded, logits: Tensor) -> np.ndarray:
    """Logits (n, L, L) as decoded -> float32 (n, H, W) at the photo's size; the mask is what is above 0."""
    return squares.full_size(logits, photo.photo_size)


def uncovered(sam: Sam2, photo: Encoded, logits: Tensor) -> np.ndarray:
    """Decoded logits (n, L, L) -> float32 (n, h, w) in the photo's shape; nothing in them is padding."""
    return squares.photo_shaped(logits, photo.photo_size)
