"""Detic (stand-in): a small instance segmenter of one class, exported to ONNX with the interface of a Detic export.

It is not Detic. It finds the centre of each fish on a map, its box from there, and a 28 x 28 mask in the box.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from fishlib.zoo.backbone import Lite0, Pyramid, mixer

SIDE, DIM, STRIDE, MASK, TOP = 256, 96, 8, 28, 10
FISH = 446  # 0-based number of "fish" among LVIS' 1203 classes


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
