"""Training of the zoo's detic: its pictures and its loss."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, roi_align

from fishlib.training import data
from fishlib.zoo.detic import MASK, SIDE, STRIDE, Export, Segmenter, build

RATE = 1e-3  # learning rate
STAGES = ((0.4, 192), (1.0, SIDE))  # share of the training -> side of its pictures


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
