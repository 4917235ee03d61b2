"""What SAM 2 and SAM 3 answer about a photo that they saw stretched to a square: masks back in the photo's shape."""

import numpy as np
from torch import Tensor
from torch.nn import functional as F


def photo_shaped(logits: Tensor, photo_size: tuple[int, int]) -> np.ndarray:
    """Logits (n, L, L) of the square -> float32 (n, h, w) with the photo's proportions, the longer side L.

    photo_size: (height, width). Small, so that scoring dozens of candidates costs little; distances to the photo's
    centre are right in it, as they are not in the square.
    """
    side = logits.shape[-1]
    longest = max(photo_size)
    height, width = (max(1, round(side * length / longest)) for length in photo_size)
    return full_size(logits, (height, width))


def full_size(values: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Values (n, L, L) -> float32 (n, height, width), bilinear, as transformers' own processors enlarge masks."""
    return F.interpolate(values[None].float(), size, mode="bilinear", align_corners=False)[0].cpu().numpy()
