"""2-stage TL: new last layers trained on K photos a species, all draws in one batched computation.

The paper (section 4.3.2): only the new output layer is trained, Adam, learning rate 5e-4, 100 epochs. Full
batch, no augmentation and no weight decay are our choice; the paper gives none. `tune_all` is the other way,
which the paper did not take: the whole network learns.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fishlib.errors import UserError
from fishlib.naming import finetune
from fishlib.naming.classifier import Classifier


def train_heads(
    features: np.ndarray,
    labels: np.ndarray,
    draws: np.ndarray,
    n_classes: int,
    epochs: int = 100,
    lr: float = 5e-4,
    seeds: Sequence[int] | None = None,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Train R linear heads together: (W (R, C, D), b (R, C)), float32.

    features: float32 (N, D); labels: int (N,) below n_classes = C; draws: int (R, n) rows each head learns
    from; seeds: R seeds of the initial weights, torch.nn.Linear's own (default 0..R-1). Each head equals one
    trained alone with torch.optim.Adam on the mean cross-entropy. Raises UserError for an empty draw.
    """
    draws = np.asarray(draws)
    if draws.ndim != 2 or 0 in draws.shape:
        raise UserError("No photo was drawn to train on; give more photos a species.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if seeds is None:
        seeds = range(len(draws))

    layers = [_linear(features.shape[1], n_classes, seed) for seed in seeds]
    weight = torch.stack([w for w, _ in layers]).to(device)  # (R, C, D)
    bias = torch.stack([b for _, b in layers]).to(device)  # (R, C)
    x = torch.from_numpy(np.ascontiguousarray(features[draws], np.float32)).to(device)  # (R, n, D)
    drawn_labels = torch.from_numpy(np.asarray(labels, np.int64)[draws])  # (R, n)
    target = torch.nn.functional.one_hot(drawn_labels, n_classes).to(device, torch.float32)  # (R, n, C)
    shots = draws.shape[1]

    adam = torch.optim.Adam([weight, bias], lr=lr, fused=True)  # one pass over the weights a step
    with torch.no_grad():
        for _ in range(epochs):
            logits = torch.baddbmm(bias[:, None], x, weight.mT)  # (R, n, C)
            # the gradient of the mean cross-entropy by hand: (softmax - one-hot) / n
            error = logits.softmax(-1).sub_(target).div_(shots)
            weight.grad = torch.bmm(error.mT, x)  # (R, C, D)
            bias.grad = error.sum(1)  # (R, C)
            adam.step()
    return weight.cpu().numpy(), bias.cpu().numpy()


def predict_heads(features: np.ndarray, weight: np.ndarray, bias: np.ndarray, chunk: int = 4096) -> np.ndarray:
    """Winning class of each head and photo, int64 (R, N): features (N, D), weight (R, C, D), bias (R, C)."""
    heads, classes, dim = weight.shape
    every_weight = torch.from_numpy(weight).view(-1, dim)  # (R * C, D)
    every_bias = torch.from_numpy(bias).view(-1)  # (R * C,)
    found = np.empty((heads, len(features)), np.int64)
    for start in range(0, len(features), chunk):
        x = torch.from_numpy(np.ascontiguousarray(features[start : start + chunk], np.float32))  # (B, D)
        logits = torch.addmm(every_bias, x, every_weight.T).view(-1, heads, classes)  # (B, R, C)
        found[:, start : start + chunk] = logits.argmax(-1).T.numpy()
    return found


def tune_all(
    base: Classifier, pictures: np.ndarray, labels: np.ndarray, draw: np.ndarray, n_classes: int, seed: int, **settings
) -> np.ndarray:
    """Train the whole network on one draw; the winning class of every picture, int64 (N,).

    pictures: uint8 (N, H, W, 3); labels: int (N,); draw: the rows to learn from; settings override
    finetune.PRESET (AdamW, warm-up and cosine, smoothing, clipping as Swin's authors have them). The pictures
    are not augmented, so that this differs from a head only in what learns, and batch norms keep their
    averages: a batch of K photos a species is too small for new ones. Costs about three forward passes for
    each drawn photo and epoch, and one for each photo of the study: on two cores and with EfficientNet-Lite0 a
    minute a draw, half a day for a figure of 600 draws; Swin-T takes five times as long.
    """
    settings = finetune.PRESET | {"frozen_norms": True} | settings
    model, optimiser = finetune.prepare(base, n_classes, settings)
    steps = finetune.steps_of(len(draw), settings)

    for epoch in range(settings["epochs"]):
        order = np.random.default_rng([seed, epoch]).permutation(draw)
        batches = [(pictures[rows], labels[rows]) for rows in np.array_split(order, steps)]
        finetune.train_epoch(model, optimiser, base, batches, steps, settings, [seed, epoch])

    parts = np.array_split(np.arange(len(pictures)), range(8, len(pictures), 8))
    return finetune.answers(model, base, (pictures[rows] for rows in parts))


def _linear(dim: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """(weight (C, D), bias (C,)) of a new torch.nn.Linear."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = torch.nn.Linear(dim, classes)
    return layer.weight.detach(), layer.bias.detach()
