"""Training of the zoo's detic: its pictures and its loss."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, roi_align

from fishlib.files import tensors
from fishlib.training import data
from fishlib.zoo.detic import MASK, SIDE, STRIDE, Export, Segmenter, build

RATE = 1e-3  # learning rate
STAGES = ((0.4, 192), (1.0, SIDE))  # share of the training -> side of its pictures


def batch(rng, pictures: data.Pictures, size: int, share: float = 1.0) -> dict[str, Tensor]:
    """images (B, 3, S, S), boxes (B, 4) px, has (B,), labels (B, S, S) 0/1. Pictures are squeezed to a square."""
    side = next(s for until, s in STAGES if share <= until)
    drawn = [data.sample(rng, pictures, side, side) for _ in range(size)]
    fish = [label > 0 for _, label in drawn]
    arrays = {
        "images": data.normalised([image for image, _ in drawn]),
        "boxes": [data.box_of(mask) for mask in fish],
        "has": [mask.sum() > 100 for mask in fish],
        "labels": np.stack(fish),
    }
    return {name: torch.from_numpy(np.float32(values)) for name, values in arrays.items()}


def loss(model: Segmenter, part: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Penalty-reduced focal loss on centres (CenterNet), GIoU near them, cross-entropy and dice on masks."""
    logits, boxes, features = model(part["images"])
    truth, has = part["boxes"], part["has"]

    heat = _heat(truth, has, logits.shape[2:])  # (B, h, w)
    peak = (heat >= heat.amax((1, 2), keepdim=True)) & (heat > 0)
    p = logits[:, 0].sigmoid().clamp(1e-5, 1 - 1e-5)
    focal = torch.where(peak, -((1 - p) ** 2) * p.log(), -((1 - heat) ** 4) * p**2 * (1 - p).log())

    near = (heat > 0.5) | peak
    away = generalized_box_iou_loss(boxes.permute(0, 2, 3, 1)[near], truth[near.nonzero()[:, 0]], reduction="mean")

    rois = _jittered(truth)[has > 0]
    said = model.masks(features, rois)
    target = roi_align(part["labels"][:, None], rois, (MASK, MASK), 1.0, 4, True)[:, 0]
    q = said.sigmoid()
    dice = 1 - (2 * (q * target).sum((1, 2)) + 1) / (q.sum((1, 2)) + target.sum((1, 2)) + 1)
    mask = 2 * F.binary_cross_entropy_with_logits(said, target) + dice.mean()

    total = focal.sum() / has.sum().clamp(min=1) + 2 * away + mask
    score = p.amax((1, 2))[has > 0].mean()
    return total, {"GIoU": 1 - away.item(), "dice": dice.mean().item(), "score": score.item()}


def _heat(truth: Tensor, has: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, h, w): 1 at the centre of the fish of each picture, less round it, 0 without one. truth (B, 4) XYXY, px."""
    height, width = size
    ys = ((torch.arange(height) + 0.5) * STRIDE)[:, None]
    xs = (torch.arange(width) + 0.5) * STRIDE
    centre_x = (truth[:, 0] + truth[:, 2])[:, None, None] / 2
    centre_y = (truth[:, 1] + truth[:, 3])[:, None, None] / 2
    long = (truth[:, 2:] - truth[:, :2]).amax(1).clamp(min=32)[:, None, None]
    distance = (xs - centre_x) ** 2 + (ys - centre_y) ** 2
    return torch.exp(-distance / (2 * (0.07 * long) ** 2)) * has[:, None, None]


def _jittered(truth: Tensor) -> Tensor:
    """(B, 5): number of the picture and its box, sides off by some 4 %."""
    rois = F.pad(truth, (1, 0))
    rois[:, 0] = torch.arange(len(rois))
    extent = (rois[:, 3:] - rois[:, 1:3]).repeat(1, 2)
    rois[:, 1:] += torch.randn_like(extent).clamp(-2, 2) * 0.04 * extent
    return rois


def export(checkpoint: Path, path: Path) -> None:
    """Writes a checkpoint as ONNX; weights stay float16 in the file and are cast when it is loaded."""
    import onnx
    from onnx import helper

    model = build()
    state, facts = tensors.read_state(checkpoint)
    model.load_state_dict(state)
    part = path.with_name(path.name + ".part")
    torch.onnx.export(
        Export(model).eval(),
        (torch.zeros(1, 3, 240, 320),),
        str(part),
        input_names=["img"],
        output_names=["boxes", "scores", "classes", "masks"],
        dynamic_axes={"img": {2: "height", 3: "width"}},
        opset_version=17,
        dynamo=False,
    )
    whole = onnx.load(str(part))
    _halve(whole.graph)
    helper.set_model_props(whole, facts)
    onnx.checker.check_model(whole)
    onnx.save(whole, str(part))
    part.replace(path)


def _halve(graph) -> None:
    """The weights of an ONNX graph as float16, each cast to float32 before anything else runs."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size <= 64:
            continue
        half = numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}_half")
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
