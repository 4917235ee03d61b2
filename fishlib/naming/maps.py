"""The last feature map of a namer, before its places become one: for masks inside the network.

A map is float32 (N, h, w, C), a vector for each place of a grid laid over the picture, row 0 at its top. `pool` makes
features of it, of all places alike or of some more than others; the average over all places is what networks that
average (EfficientNet, Swin, most convolutional ones) answer themselves. Transformers with a class token answer that
token instead: what `pool` gives of their patches is another vector of the same length (see `averages`).
"""

from typing import Protocol

import numpy as np
import torch

from fishlib.errors import UserError
from fishlib.naming.namer import Classifier, blocks, evaluating, normalise


class Mapped(Protocol):
    """What a network of another family than timm's offers in `Classifier.model` to have a map."""

    averages: bool

    def feature_map(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, side, side) -> (B, h, w, C)."""

    def features_of(self, vector: torch.Tensor) -> torch.Tensor:
        """One vector in the place of every place, (B, C) -> what comes after the pooling, (B, D)."""


def compute(namer: Classifier, images: np.ndarray, batch: int | None = None) -> np.ndarray:
    """The last feature map, float32 (N, h, w, C), of uint8 (N, H, W, 3) RGB images.

    batch: as namer.features. Raises UserError for a network that has none.
    """
    found = []
    with evaluating(namer):
        for part in blocks(namer, images, batch):
            found.append(_map(namer, normalise(namer, part)).float().cpu().numpy())
    return np.concatenate(found)


def pool(namer: Classifier, maps: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Features, float32 (N, D), of maps (N, h, w, C): the mean over their places, then what the network does after it.

    weights: (N, h, w), 0 or more, how much each place counts (a mask, at the size of the map); None: all alike, which
    gives what namer.features gives where the network `averages`. A row of zeros counts all places alike.
    """
    n, height, width, channels = maps.shape
    if weights is None:
        weights = np.ones((n, height, width), np.float32)
    if weights.shape != (n, height, width) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"weights must be {(n, height, width)} numbers of 0 or more, not {weights.shape}")

    share = weights.reshape(n, -1).astype(np.float64)  # (N, h * w)
    share[share.sum(1) == 0] = 1
    share /= share.sum(1, keepdims=True)
    places = maps.reshape(n, -1, channels)  # (N, h * w, C)
    means = np.einsum("np,npc->nc", share, places).astype(np.float32)

    with evaluating(namer):
        found = _features_of(namer, torch.from_numpy(means).to(namer.device))  # (N, D)
    return found.float().cpu().numpy()


def averages(namer: Classifier) -> bool:
    """Are the network's own features the average over its map? Not where a class token is read, or attention pools."""
    own = getattr(namer.model, "averages", None)
    if own is not None:
        return own
    pooling = getattr(namer.model, "global_pool", "avg")
    return getattr(namer.model, "attn_pool", None) is None and pooling not in ("token", "map", "max", "catavgmax")


def _map(namer: Classifier, x: torch.Tensor) -> torch.Tensor:
    """(B, 3, side, side) -> (B, h, w, C)."""
    model = namer.model
    if hasattr(model, "feature_map"):
        return model.feature_map(x)
    if not hasattr(model, "forward_features") or getattr(model, "attn_pool", None) is not None:
        raise UserError(f"{namer.name} has no last feature map that could be masked; choose another network.")

    answer = model.forward_features(x)
    if answer.ndim == 4 and getattr(model, "output_fmt", "NCHW") == "NHWC":  # Swin
        return answer
    if answer.ndim == 4:
        return answer.permute(0, 2, 3, 1)
    return _grid(answer[:, model.num_prefix_tokens :], model.patch_embed.grid_size)


def _grid(tokens: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Tokens of patches in reading order, (B, h * w, C), as (B, h, w, C)."""
    return tokens.unflatten(1, tuple(size))


def _features_of(namer: Classifier, vector: torch.Tensor) -> torch.Tensor:
    """(B, C) -> (B, D): the network's head over a map of which every place holds that vector."""
    model = namer.model
    if hasattr(model, "features_of"):
        return model.features_of(vector)
    if getattr(model, "num_prefix_tokens", None) is not None:  # a transformer: its class token gives way to the vector
        tokens = vector[:, None].expand(-1, model.num_prefix_tokens + 1, -1)
        return model.forward_head(tokens, pre_logits=True)

    one_place = vector[:, None, None] if getattr(model, "output_fmt", "NCHW") == "NHWC" else vector[:, :, None, None]
    return model.forward_head(one_place, pre_logits=True)
