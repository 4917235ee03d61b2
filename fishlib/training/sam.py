"""Training of the zoo's sam: its pictures and its loss."""

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor
from torch.nn import functional as F

from fishlib.training import data
from fishlib.zoo.sam import SIDE, STRIDE

RATE = 1.5e-3  # learning rate
STAGES = ((0.35, 160), (0.6, 192), (1.0, SIDE))  # share of the training -> side of its pictures


def halves(fish: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mask cut across in the middle of its length, bool (H, W): the heavier half first (mostly the head)."""
    ys, xs = np.nonzero(fish)
    points = np.stack([xs, ys], 1).astype(np.float32)
    some = points[:: 1 + len(points) // 2000]  # 2,000 or so tell the fish's direction as well
    _, directions = np.linalg.eigh(np.cov(some.T) + 1e-3 * np.eye(2))
    along = points @ directions[:, 1]  # the direction of the greater spread

    front = np.zeros_like(fish)
    front[ys, xs] = along > (along.min() + along.max()) / 2
    back = fish & ~front
    return (front, back) if 2 * front.sum() >= fish.sum() else (back, front)


def prompts(rng, label: np.ndarray) -> list[tuple]:
    """A box and a point for one picture: (coordinates (2, 2), is it a box, four target masks bool (H, W)).

    A box (sides off by 6 %) asks for the whole fish; the further masks are the whole, the body without fins and
    the heavier half. A point on the fish asks for the same with its own half; one beside it for all but the fish.
    """
    fish = label > 0
    height, width = label.shape
    half, rest = halves(fish)
    body = label == data.BODY
    if not body.any():
        body = fish

    box = data.box_of(fish)
    jitter = rng.normal(0, 0.06, 4) if rng.uniform() < 0.8 else rng.uniform(-0.02, 0.02, 4)
    box = box + np.clip(jitter, -0.15, 0.15) * np.tile(box[2:] - box[:2], 2)
    corners = np.clip(box, 0, (width, height, width, height)).reshape(2, 2) - 0.5
    asked_by_box = (corners, True, (fish, fish, body, half))

    beside = rng.uniform() < 0.25
    y, x = rng.choice(np.argwhere(fish != beside))
    point = np.array([[x, y], [0, 0]])
    own_half = half if half[y, x] else rest
    targets = (~fish,) * 4 if beside else (fish, fish, body, own_half)
    return [asked_by_box, (point, False, targets)]


def batch(rng, pictures: data.Pictures, size: int, share: float = 1.0) -> dict[str, Tensor]:
    """images (B, 3, S, S) and, for 2 B prompts, corners (2, 2), is_box and targets (4, S/2, S/2) in 0..1.

    S is 256 px at the end of the training (share 1) and smaller, thus cheaper, before. Padded as SAM does it.
    """
    side = next(s for until, s in STAGES if share <= until)
    arrays = {"corners": [], "is_box": [], "targets": [], "images": []}
    while len(arrays["images"]) < size:
        short = int(rng.choice([1, 0.75, 0.75, 0.67, 0.5625]) * side) // 2 * 2
        h, w = (side, short) if rng.uniform() < 0.3 else (short, side)
        image, label = data.sample(rng, pictures, h, w, fish_only=True)
        if not 150 < (label > 0).sum() < label.size - 150:  # a crumb, or hardly any ground
            continue

        [pixels] = data.normalised([image])
        arrays["images"].append(np.pad(pixels, ((0, 0), (0, side - h), (0, side - w))))
        for corners, is_box, masks in prompts(rng, label):
            full = np.zeros((4, side, side), np.float32)
            full[:, :h, :w] = masks
            arrays["corners"].append(np.float32(corners))
            arrays["is_box"].append(np.bool_(is_box))
            arrays["targets"].append(full.reshape(4, side // 2, 2, side // 2, 2).mean((2, 4)))
    return {name: torch.from_numpy(np.stack(values)) for name, values in arrays.items()}


def decode(sam: Sam, embedding: Tensor, corners: Tensor, is_box: Tensor) -> tuple[Tensor, Tensor]:
    """Mask logits (P, 4, h, w) and predicted IoU (P, 4) for P prompts, as many for each image, image by image.

    The steps of MaskDecoder.predict_masks, which repeats one image's embedding for every prompt and so cannot
    take a batch of images.
    """
    encoder, decoder = sam.prompt_encoder, sam.mask_decoder
    height, width = embedding.shape[-2:]
    encoder.image_embedding_size = (height, width)
    encoder.input_image_size = (STRIDE * height, STRIDE * width)
    with torch.autocast(corners.device.type, enabled=False):
        points = encoder._embed_points(corners, torch.tensor([1, -1]).expand(len(corners), 2), pad=False)
        sparse = torch.where(is_box[:, None, None], encoder._embed_boxes(corners), points)
        position = encoder.get_dense_pe()

    source = embedding + encoder.no_mask_embed.weight[:, :, None, None]
    source = source.repeat_interleave(len(corners) // len(embedding), 0)
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(len(sparse), -1, -1)
    tokens = torch.cat([tokens, sparse], 1)
    tokens, out = decoder.transformer(source, position.expand(len(source), -1, -1, -1), tokens)

    fine = decoder.output_upscaling(out.transpose(1, 2).reshape(source.shape))  # (P, c, h, w)
    hyper = [mlp(tokens[:, 1 + k]) for k, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    masks = torch.einsum("pkc,pchw->pkhw", torch.stack(hyper, 1), fine)
    ious = decoder.iou_prediction_head(tokens[:, 0])
    return masks.float(), ious.float()


def loss(sam: Sam, part: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy and dice for each mask token, and the square error of the predicted IoU.

    A box's predicted IoU is with the whole fish (so that parts score low there), a point's with its own target.
    """
    target, is_box = part["targets"], part["is_box"]
    logits, said = decode(sam, sam.image_encoder(part["images"]), part["corners"], is_box)

    edge = 1 + 6 * (F.avg_pool2d(target, 5, 1, 2) - target).abs()  # thin fins and the outline weigh more
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight=edge, reduction="none").mean((2, 3))
    p = logits.sigmoid()
    dice = 1 - (2 * (p * target).sum((2, 3)) + 1) / (p.sum((2, 3)) + target.sum((2, 3)) + 1)

    with torch.no_grad():
        asked = torch.where(is_box[:, None, None, None], target[:, :1], target) > 0.5
        iou = ((logits > 0) & asked).sum((2, 3)) / ((logits > 0) | asked).sum((2, 3)).clamp(min=1)
    weights = torch.tensor([1.0, 0.4, 0.3, 0.3])  # of the four masks
    total = ((2 * entropy + dice) * weights).sum(1).mean() + F.mse_loss(said, iou)
    return total, {"box IoU": iou[is_box, 0].mean().item(), "point IoU": iou[~is_box, 0].mean().item()}
