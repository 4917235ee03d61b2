"""Detic (stand-in): a small instance segmenter of one class, exported to ONNX with the interface of a Detic export.

It is not Detic. It finds the centre of each fish on a map, its box from there, and a 28 x 28 mask in the box.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, roi_align

from fishlib.training import data
from fishlib.zoo.backbone import Lite0, Pyramid, mixer

SIDE, DIM, STRIDE, MASK, TOP, RATE = 256, 96, 8, 28, 10, 1e-3
FISH = 446  # 0-based number of "fish" among LVIS' 1203 classes
STAGES = ((0.4, 192), (1.0, SIDE))  # share of the training -> side of its pictures


class Segmenter(nn.Module):
    """Centre map, boxes and features of normalised pictures (B, 3, H, W), sides multiples of 32."""

    def __init__(self, imagenet: bool = False):
        super().__init__()
        self.backbone, self.pyramid = Lite0(imagenet), Pyramid(DIM, STRIDE)
        self.deep = nn.Sequential(mixer(2 * DIM), nn.Conv2d(2 * DIM, DIM, 1), nn.GELU())
        self.centre, self.sides = nn.Conv2d(DIM, 1, 1), nn.Conv2d(DIM, 4, 1)
        convs = nn.Conv2d(DIM, 64, 3, padding=1), nn.GELU(), nn.Conv2d(64, 64, 3, padding=1), nn.GELU()
        self.mask = nn.Sequential(*convs, nn.ConvTranspose2d(64, 32, 2, 2), nn.GELU(), nn.Conv2d(32, 1, 1))
        nn.init.constant_(self.centre.bias, -4.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Centre logits (B, 1, h, w), boxes (B, 4, h, w) XYXY in px, features (B, 96, h, w); stride 8."""
        features = self.pyramid(self.backbone(x))
        wide = F.interpolate(features[32], scale_factor=4.0, mode="bilinear", align_corners=False)
        deep = self.deep(torch.cat([features[STRIDE], wide], 1))
        left, top, right, bottom = (4 * STRIDE * F.softplus(self.sides(deep).float())).unbind(1)
        ys, xs = ((torch.arange(n // STRIDE, device=x.device) + 0.5) * STRIDE for n in x.shape[2:])
        boxes = torch.stack([xs - left, ys[:, None] - top, xs + right, ys[:, None] + bottom], 1)
        return self.centre(deep).float(), boxes, features[STRIDE]

    def masks(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Mask logits (N, 28, 28) inside boxes (N, 5): number of the picture, XYXY in px."""
        return self.mask(roi_align(features.float(), boxes, (14, 14), 1 / STRIDE, 2, True))[:, 0].float()


class Export(nn.Module):
    """img float32 (1, 3, H, W) RGB 0..255 -> boxes (N, 4) XYXY in its px, scores (N,), classes (N,), masks (N, 28, 28).

    The picture is squeezed to 256 x 256 inside; the N are peaks of the centre map, best first, scores 0..1.
    """

    def __init__(self, model: Segmenter):
        super().__init__()
        self.model = model

    def forward(self, img: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, std = torch.tensor([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]])[..., None, None]
        x = F.interpolate((img - mean) / std, (4 * SIDE, 4 * SIDE), mode="bilinear", align_corners=False)
        x = F.avg_pool2d(x, 4)  # so that large pictures are averaged, not sampled
        centre, boxes, features = self.model(x)
        peaks = centre.sigmoid() * (F.max_pool2d(centre, 5, 1, 2) == centre)
        scores, where = peaks.flatten().topk(TOP)
        found = boxes[0].flatten(1).t()[where].clamp(0, SIDE)
        masks = self.model.masks(features, F.pad(found, (1, 0))).sigmoid()
        wide, tall = torch.tensor([[1.0, 0, 1, 0], [0, 1.0, 0, 1]]) / SIDE
        return found * (wide * img.shape[3] + tall * img.shape[2]), scores, torch.full_like(where, FISH), masks


def build(imagenet: bool = False) -> Segmenter:
    return Segmenter(imagenet)


def batch(rng, pictures: data.Pictures, size: int, share: float = 1.0) -> dict[str, Tensor]:
    """images (B, 3, S, S), boxes (B, 4) px, has (B,), labels (B, S, S) 0/1. Pictures are squeezed to a square."""
    side = next(s for until, s in STAGES if share <= until)
    images, labels = zip(*(data.sample(rng, pictures, side, side) for _ in range(size)), strict=True)
    boxes, has = [data.box_of(label > 0) for label in labels], [(label > 0).sum() > 100 for label in labels]
    arrays = {"images": data.normalised(images), "boxes": boxes, "has": has, "labels": np.stack(labels) > 0}
    return {k: torch.from_numpy(np.float32(v)) for k, v in arrays.items()}


def loss(model: Segmenter, part: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Penalty-reduced focal loss on centres (CenterNet), GIoU near them, cross-entropy and dice on masks."""
    logits, boxes, features = model(part["images"])
    truth, has = part["boxes"], part["has"]
    ys, xs = ((torch.arange(n) + 0.5) * STRIDE for n in logits.shape[2:])
    cx, cy = ((truth[:, k] + truth[:, k + 2])[:, None, None] / 2 for k in (0, 1))
    size = (truth[:, 2:] - truth[:, :2]).amax(1).clamp(min=32)[:, None, None]
    heat = torch.exp(-((xs - cx) ** 2 + (ys[:, None] - cy) ** 2) / (2 * (0.07 * size) ** 2)) * has[:, None, None]
    peak = (heat >= heat.amax((1, 2), keepdim=True)) & (heat > 0)
    p = logits[:, 0].sigmoid().clamp(1e-5, 1 - 1e-5)
    focal = torch.where(peak, -((1 - p) ** 2) * p.log(), -((1 - heat) ** 4) * p**2 * (1 - p).log())
    near = (heat > 0.5) | peak
    away = generalized_box_iou_loss(boxes.permute(0, 2, 3, 1)[near], truth[near.nonzero()[:, 0]], reduction="mean")
    rois = F.pad(truth, (1, 0))
    rois[:, 0] = torch.arange(len(rois))
    extent = (rois[:, 3:] - rois[:, 1:3]).repeat(1, 2)
    rois[:, 1:] += torch.randn_like(extent).clamp(-2, 2) * 0.04 * extent
    said = model.masks(features, rois[has > 0])
    target = roi_align(part["labels"][:, None], rois[has > 0], (MASK, MASK), 1.0, 4, True)[:, 0]
    both, q = (1, 2), said.sigmoid()
    dice = 1 - (2 * (q * target).sum(both) + 1) / (q.sum(both) + target.sum(both) + 1)
    mask = 2 * F.binary_cross_entropy_with_logits(said, target) + dice.mean()
    total = focal.sum() / has.sum().clamp(min=1) + 2 * away + mask
    figures = {"GIoU": 1 - away.item(), "dice": dice.mean().item(), "score": p.amax(both)[has > 0].mean().item()}
    return total, figures


def export(checkpoint: Path, path: Path) -> None:
    """Writes a checkpoint as ONNX; weights stay float16 in the file and are cast when it is loaded."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors import safe_open
    from safetensors.torch import load_file

    model, names = build(), ["boxes", "scores", "classes", "masks"]
    model.load_state_dict({k: v.float() for k, v in load_file(checkpoint).items()})
    part = path.with_name(path.name + ".part")
    options = {"dynamo": False, "opset_version": 17, "dynamic_axes": {"img": {2: "height", 3: "width"}}}
    picture = (torch.zeros(1, 3, 240, 320),)
    torch.onnx.export(Export(model).eval(), picture, str(part), input_names=["img"], output_names=names, **options)
    whole = onnx.load(str(part))
    graph, casts, nodes = whole.graph, [], list(whole.graph.node)
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 64:
            half = numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}_half")
            graph.initializer.remove(tensor), graph.initializer.append(half)
            casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    with safe_open(checkpoint, "pt") as opened:
        helper.set_model_props(whole, opened.metadata())
    onnx.checker.check_model(whole)
    onnx.save(whole, str(part))
    part.replace(path)
