"""A whole network learns, all its layers: what pre-training and the tuning of a draw have in common.

AdamW, warm-up and cosine, weight decay, smoothing and clipping are those of Swin (Liu et al. 2021, appendix A2.1).
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from fishlib.naming import classifier
from fishlib.naming.classifier import Classifier

# Our choice; the earlier work behind the paper's classifier is not known in such detail.
PRESET = {
    "epochs": 30,
    "lr": 5e-4,
    "head_rate": 10,  # the new layer learns that many times faster than what is trained already
    "batch": 32,
    "accumulate": 1,  # a batch is computed in that many parts, for a small memory
    "warmup": 2,  # epochs
    "weight_decay": 0.05,
    "smoothing": 0.1,
    "clip": 5.0,  # norm of the gradient
    "held_out": 0.2,  # share of each species' photos, at least one of two
    "balanced": False,  # True: an epoch draws every species equally often
    "mixed": None,  # bfloat16; None: on a GPU that has it (on a CPU depthwise layers get slower)
    "size": 224,
    "least_area": 0.6,  # augmentation: smallest window, as a share of the photo
    "colour": 0.2,  # augmentation: brightness, contrast, saturation, each up to this share more or less
}


def prepare(base: Classifier, n_classes: int, settings: dict) -> tuple[torch.nn.Module, torch.optim.AdamW]:
    """The backbone with a new last layer of zeros, and AdamW that leaves biases and norms undecayed."""
    model = classifier.create(base.name, num_classes=n_classes)
    new = list(model.get_classifier().parameters())
    for parameter in new:
        torch.nn.init.zeros_(parameter)  # EfficientNet's own draw starts at twice the loss of guessing
    model.load_state_dict(base.model.state_dict(), strict=False)  # all but the new layer
    model.to(base.device, memory_format=torch.channels_last)

    trained = [p for p in model.parameters() if all(p is not other for other in new)]
    groups = []
    for parameters, rate in ((trained, 1), (new, settings["head_rate"])):
        matrices = [p for p in parameters if p.ndim > 1]
        vectors = [p for p in parameters if p.ndim <= 1]  # biases and norms
        groups.append({"params": matrices, "weight_decay": settings["weight_decay"], "rate": rate})
        groups.append({"params": vectors, "weight_decay": 0, "rate": rate})
    return model, torch.optim.AdamW(groups, lr=settings["lr"])


def steps_of(n_photos: int, settings: dict) -> int:
    """How many batches an epoch has."""
    return math.ceil(n_photos / settings["batch"])


def rate_at(step: int, steps: int, settings: dict) -> float:
    """Share of the learning rate at a step of the whole training: a linear warm-up, then half a cosine down to 0.

    steps: of one epoch.
    """
    warm = settings["warmup"] * steps
    if step < warm:
        return (step + 1) / warm
    rest = max(1, settings["epochs"] * steps - warm)
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / rest)


def train_epoch(
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    base: Classifier,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    steps: int,
    settings: dict,
    seeds: list[int],
) -> float:
    """One epoch; the mean loss a photo.

    batches: `steps` of (uint8 (B, H, W, 3), class indices int (B,)); seeds: [seed, epoch], which also seed the random
    layers, so that a resumed run repeats itself.
    """
    device = base.device
    cuda = device.type == "cuda"
    mixed = settings["mixed"]
    if mixed is None:
        mixed = cuda and torch.cuda.is_bf16_supported()

    model.train()
    if settings.get("frozen_norms"):
        _freeze_norms(model)

    total, count = 0.0, 0
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with torch.random.fork_rng(devices=[device] if cuda else []), exact:
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
        first = seeds[1] * steps
        for step, (images, labels) in enumerate(batches, start=first):
            for group in optimiser.param_groups:
                group["lr"] = settings["lr"] * group["rate"] * rate_at(step, steps, settings)

            parts = min(settings["accumulate"], len(labels))
            for part in np.array_split(np.arange(len(labels)), parts):
                target = torch.from_numpy(labels[part]).to(device)
                with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                    logits = model(classifier.normalise(base, images[part])).float()  # (B, C)
                loss = cross_entropy(logits, target, label_smoothing=settings["smoothing"], reduction="sum")
                (loss / len(labels)).backward()
                total += loss.item()
                count += len(part)

            torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
            optimiser.step()
            optimiser.zero_grad()
    return total / count


def answers(model: torch.nn.Module, base: Classifier, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Winning class of every picture, int64 (N,); batches: uint8 (B, H, W, 3) each."""
    model.eval()
    winners = []
    with torch.inference_mode():
        for images in batches:
            logits = model(classifier.normalise(base, images))  # (B, C)
            winners.append(logits.argmax(1).cpu().numpy())
    return np.concatenate(winners)


def _freeze_norms(model: torch.nn.Module) -> None:
    """Batch norms keep their averages."""
    for layer in model.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.eval()
