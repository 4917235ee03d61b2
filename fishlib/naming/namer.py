"""What every namer gives: pooled features, outputs with names where it has them, and its last feature map (see maps).

A namer is a network behind one contract, whoever made it: a timm backbone, a tower of CLIP, a model of another program.
`classifier.load` makes one of a file.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch

from fishlib.errors import UserError

Head = tuple[torch.Tensor, torch.Tensor]  # weight (C, D) and bias (C,) of the last layer, float32 on the CPU


@dataclass
class Classifier:
    """A network in evaluation mode that gives pooled features, and its last linear layer, if any.

    model: pictures (B, 3, side, side) -> pooled features (B, D). dim: D. side: pixels that the network demands, None
    where it takes any. mean, std: (3,) RGB in units of 0..1. head: (W (C, D), b (C,)) float32 on the CPU; classes: its
    C names. hash: sha256 of name, normalisation and weights. training_hashes: sha256 of the photos it was trained on.
    notes: what was left out of the file it was read from.
    """

    model: torch.nn.Module
    name: str
    pretraining: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dim: int
    side: int | None = None
    classes: list[str] | None = None
    head: Head | None = None
    training_hashes: set[str] = field(default_factory=set)
    history: dict = field(default_factory=dict)
    hash: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def normalise(model: Classifier, images: np.ndarray) -> torch.Tensor:
    """What the network takes, float32 (B, 3, H, W), channels last in memory, of uint8 (B, H, W, 3) RGB."""
    mean = 255 * torch.tensor(model.mean, device=model.device).view(1, 3, 1, 1)
    std = 255 * torch.tensor(model.std, device=model.device).view(1, 3, 1, 1)
    pictures = torch.tensor(images).to(model.device)  # (B, H, W, 3)
    return pictures.permute(0, 3, 1, 2).float().sub_(mean).div_(std)


def features(model: Classifier, images: np.ndarray, batch: int | None = None, dtype: str = "float32") -> np.ndarray:
    """Pooled features before the last layer, float32 (N, D), of uint8 (N, H, W, 3) RGB images.

    batch: by default 8 on a CPU, whose caches then hold the activations (measured faster than 32), else 32.
    dtype "bfloat16" runs under autocast. The size of a batch changes the last digits (about 1e-6): pass the
    same blocks to get the same bytes.
    """
    found = np.empty((len(images), model.dim), np.float32)
    start = 0
    with evaluating(model, dtype):
        for part in blocks(model, images, batch):
            x = normalise(model, part)  # (B, 3, H, W)
            found[start : start + len(part)] = model.model(x).float().cpu().numpy()  # (B, D)
            start += len(part)
    return found


def blocks(model: Classifier, images: np.ndarray, batch: int | None = None) -> Iterator[np.ndarray]:
    """The images, uint8 (N, H, W, 3), in the parts that go through the network together (see `features`)."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images must be uint8 (N, H, W, 3), not {images.dtype} {images.shape}")
    if batch is None:
        batch = 8 if model.device.type == "cpu" else 32
    for start in range(0, len(images), batch):
        yield images[start : start + batch]


@contextmanager
def evaluating(model: Classifier, dtype: str = "float32") -> Iterator[None]:
    """Nothing is kept for learning, and a GPU repeats its answers; dtype "bfloat16": under autocast."""
    mixed = torch.autocast(model.device.type, torch.bfloat16, enabled=dtype == "bfloat16")
    with torch.inference_mode(), _exact(model.device), mixed:
        yield


def _exact(device: torch.device):
    """On a GPU: convolutions that repeat their answers to the last digit. Elsewhere nothing, for the flags are shared
    by all threads."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def logits(model: Classifier, feats: np.ndarray) -> np.ndarray:
    """Outputs of the last layer, float32 (N, C), of features (N, D). Raises UserError without a head."""
    if model.head is None:
        raise UserError(f"{model.name} ({model.pretraining}) has no output layer; give a trained one.")
    weight, bias = (v.double().numpy() for v in model.head)
    return (feats.astype(np.float64) @ weight.T + bias).astype(np.float32)  # float64: no trace of the block


def predict(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(winners int64 (N,), the first of equal ones; their softmax shares float64 (N,)) of logits (N, T)."""
    winners = logits.argmax(axis=1)
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    shares = 1 / np.exp(shifted).sum(axis=1)  # the winner's own term is exp(0)
    return winners, shares
