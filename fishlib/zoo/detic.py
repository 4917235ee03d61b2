"""Detic (stand-in): a small instance segmenter of one class, exported to ONNX with the interface of a Detic export.

It is not Detic. It finds the centre of each fish on a map, its box from there, and a 28 x 28 mask in the box.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from fishlib.zoo.backbone import Lite0, Pyramid, mixer

SIDE = 256  # px of the square a picture is squeezed to
DIM = 96
STRIDE = 8  # px of the picture a cell of the centre map stands for
MASK = 28  # cells of a mask each way
TOP = 10  # boxes an export answers with
FISH = 446  # 0-based number of "fish" among LVIS' 1203 classes


class Segmenter(nn.Module):
    """Centre map, boxes and features of normalised pictures (B, 3, H, W), sides multiples of 32."""

    def __init__(self, imagenet: bool = False):
        super().__init__()
        self.backbone = Lite0(imagenet)
        self.pyramid = Pyramid(DIM, STRIDE)
        self.deep = nn.Sequential(mixer(2 * DIM), nn.Conv2d(2 * DIM, DIM, 1), nn.GELU())
        self.centre = nn.Conv2d(DIM, 1, 1)
        self.sides = nn.Conv2d(DIM, 4, 1)
        self.mask = nn.Sequential(
            nn.Conv2d(DIM, 64, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.GELU(),
            nn.ConvTranspose2d(64, 32, 2, 2),
            nn.GELU(),
            nn.Conv2d(32, 1, 1),
        )
        nn.init.constant_(self.centre.bias, -4.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Centre logits (B, 1, h, w), boxes (B, 4, h, w) XYXY in px, features (B, 96, h, w); stride 8."""
        features = self.pyramid(self.backbone(x))
        wide = F.interpolate(features[32], scale_factor=4.0, mode="bilinear", align_corners=False)
        deep = self.deep(torch.cat([features[STRIDE], wide], 1))
        left, top, right, bottom = (4 * STRIDE * F.softplus(self.sides(deep).float())).unbind(1)  # (B, h, w) each
        height, width = x.shape[2:]
        ys = ((torch.arange(height // STRIDE, device=x.device) + 0.5) * STRIDE)[:, None]
        xs = (torch.arange(width // STRIDE, device=x.device) + 0.5) * STRIDE
        boxes = torch.stack([xs - left, ys - top, xs + right, ys + bottom], 1)
        return self.centre(deep).float(), boxes, features[STRIDE]

    def masks(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Mask logits (N, 28, 28) inside boxes (N, 5): number of the picture, XYXY in px."""
        inside = roi_align(
            features.float(), boxes, (MASK // 2, MASK // 2), spatial_scale=1 / STRIDE, sampling_ratio=2, aligned=True
        )
        return self.mask(inside)[:, 0].float()


class Export(nn.Module):
    """img float32 (1, 3, H, W) RGB 0..255 -> boxes (N, 4) XYXY in its px, scores (N,), classes (N,), masks (N, 28, 28).

    The picture is squeezed to 256 x 256 inside; the N are peaks of the centre map, best first, scores 0..1.
    """

    def __init__(self, model: Segmenter):
        super().__init__()
        self.model = model

    def forward(self, img: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]  # ImageNet's, of 0..255
        std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
        x = F.interpolate((img - mean) / std, (4 * SIDE, 4 * SIDE), mode="bilinear", align_corners=False)
        x = F.avg_pool2d(x, 4)  # so that large pictures are averaged, not sampled
        centre, boxes, features = self.model(x)

        is_peak = F.max_pool2d(centre, kernel_size=5, stride=1, padding=2) == centre
        scores, where = (centre.sigmoid() * is_peak).flatten().topk(TOP)
        found = boxes[0].flatten(1).t()[where].clamp(0, SIDE)  # (N, 4)
        masks = self.model.masks(features, F.pad(found, (1, 0))).sigmoid()  # all in picture 0

        across = torch.tensor([1.0, 0, 1, 0]) / SIDE
        down = torch.tensor([0, 1.0, 0, 1]) / SIDE
        to_picture = across * img.shape[3] + down * img.shape[2]
        return found * to_picture, scores, torch.full_like(where, FISH), masks


def build(imagenet: bool = False) -> Segmenter:
    return Segmenter(imagenet)
