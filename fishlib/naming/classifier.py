"""Classifiers: timm backbones with the last layer apart, features, masked outputs (2-stage MA)."""

import difflib
import hashlib
import json
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors.torch
import timm
import torch

from fishlib.device import choose_device
from fishlib.errors import UserError
from fishlib.files import writing
from fishlib.naming.checkpoints import LITE0, beside, existing, identity, imagenet_file, read
from fishlib.photos.matching import masked_logits, match_classes, maybe

__all__ = ["identity", "masked_logits", "match_classes"]  # from here as well: one import for whoever has a classifier
# TensorFlow's EfficientNet-lite repository: MEAN_RGB 127, STDDEV_RGB 128
LITE0_MEAN, LITE0_STD = (127 / 255,) * 3, (128 / 255,) * 3


@dataclass
class Classifier:
    """A backbone in evaluation mode that gives pooled features, and its last linear layer, if any.

    mean, std: (3,) RGB in units of 0..1. head: (W (C, D), b (C,)) float32 on the CPU; classes: its C names.
    hash: sha256 of name, normalisation and weights. training_hashes: sha256 of the photos it was trained on.
    """

    model: torch.nn.Module
    name: str
    pretraining: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: list[str] | None = None
    head: tuple[torch.Tensor, torch.Tensor] | None = None
    training_hashes: set[str] = field(default_factory=set)
    history: dict = field(default_factory=dict)
    hash: str = ""

    @property
    def dim(self) -> int:
        """Length D of a feature vector."""
        return getattr(self.model, "head_hidden_size", None) or self.model.num_features

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def create(backbone: str, **options) -> torch.nn.Module:
    """An untrained timm model by name (num_classes=0: features only); UserError for an unknown name."""
    if ":" in backbone or not timm.is_model(backbone):  # "hf-hub:..." would download
        near = difflib.get_close_matches(backbone, timm.list_models(), 3)
        raise UserError(f"timm knows no backbone {backbone!r}; choose another{maybe(near)}.")
    return timm.create_model(backbone, pretrained=False, **options)


def load(
    source: str | Path,
    backbone: str = LITE0,
    device: str = "auto",
    seed: int = 0,
    offline: bool = True,
    classes_file: str | Path | None = None,
) -> Classifier:
    """A classifier from "none" (random weights of that seed), "imagenet", "zoo" (drawn specimens) or a file.

    A file is a fishlib .safetensors (backbone, classes and normalisation inside) or a timm/torch state dict
    (.safetensors, .pth: plain, EMA or DataParallel; an EMA is preferred) of `backbone` with a class list in
    `classes_file` or beside it as <file>.classes.csv or .json; without a list the head has no names.
    Raises UserError for a file that does not fit, NotRun when ImageNet weights are missing.
    """
    device = choose_device(device)
    if str(source) == "none":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            state = create(backbone, num_classes=0).state_dict()
        return build(backbone, state, device, pretraining="none")
    if str(source) == "imagenet":
        path = imagenet_file(backbone, offline)
        state, facts = read(path)[0], {"pretraining": "imagenet"}
        if backbone == LITE0:  # the same layers in the same order under another package's names
            state = dict(zip(create(LITE0).state_dict(), state.values(), strict=True))
            facts |= {"mean": LITE0_MEAN, "std": LITE0_STD}
        return build(backbone, state, device, path, **facts)
    path = existing(source)
    state, facts = read(path)
    facts = {"backbone": backbone, "pretraining": path.stem} | (facts or beside(path, classes_file))
    return build(facts.pop("backbone"), state, device, path, **facts)


def build(backbone: str, state: dict, device: str, path: Path | str = "", **facts) -> Classifier:
    """A Classifier from a timm state dict, the last layer apart; path only names the file in errors."""
    model = create(backbone, num_classes=0)
    key = model.pretrained_cfg["classifier"]
    rename = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if rename and not set(model.state_dict()) <= set(state):
        state = rename(state, model)  # timm's own way from the original authors' names
    head = state.pop(f"{key}.weight", None), state.pop(f"{key}.bias", None)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path} does not hold the weights of {backbone}; name its timm backbone.") from error
    head = None if head[0] is None or head[1] is None else (head[0].float(), head[1].float())
    classes = facts.get("classes")
    if classes and (head is None or len(classes) != len(head[1])):
        outputs = "no output layer" if head is None else f"{len(head[1])} outputs"
        raise UserError(f"{path} has {outputs}, its list {len(classes)} classes; give the model's own list.")
    for name in ("mean", "std"):
        facts[name] = tuple(float(v) for v in facts.get(name) or model.pretrained_cfg[name])
    digest = hashlib.sha256(json.dumps([backbone, facts["mean"], facts["std"], classes]).encode())
    for name, value in [*sorted(model.state_dict().items()), *zip("Wb", head or (), strict=False)]:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    model = model.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    facts["training_hashes"] = set(facts.get("training_hashes", ()))
    return Classifier(model, backbone, head=head, hash=digest.hexdigest(), **facts)


def save(classifier: Classifier, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a checkpoint as safetensors with timm's own key names, atomically; float16 halves it."""
    state = dict(classifier.model.state_dict())
    if classifier.head is not None:
        key = classifier.model.pretrained_cfg["classifier"]
        state |= {f"{key}.weight": classifier.head[0], f"{key}.bias": classifier.head[1]}
    state = {k: v.to("cpu", dtype if v.is_floating_point() else None).contiguous() for k, v in state.items()}
    facts = {k: getattr(classifier, k) for k in ("pretraining", "mean", "std", "classes", "history")}
    facts |= {"backbone": classifier.name, "training_hashes": sorted(classifier.training_hashes)}
    # one entry: safetensors writes several in random order, and the file's hash would change
    metadata = {"fishlib": json.dumps({"format": 1} | facts, ensure_ascii=False)}
    with writing.atomic(Path(path)) as temporary:
        safetensors.torch.save_file(state, temporary, metadata)


def normalise(model: Classifier, images: np.ndarray) -> torch.Tensor:
    """What the network takes, float32 (B, 3, H, W), channels last in memory, of uint8 (B, H, W, 3) RGB."""
    mean, std = (255 * torch.tensor(v, device=model.device).view(1, 3, 1, 1) for v in (model.mean, model.std))
    return torch.tensor(images).to(model.device).permute(0, 3, 1, 2).float().sub_(mean).div_(std)


def features(model: Classifier, images: np.ndarray, batch: int | None = None, dtype: str = "float32") -> np.ndarray:
    """Pooled features before the last layer, float32 (N, D), of uint8 (N, H, W, 3) RGB images.

    batch: by default 8 on a CPU, whose caches then hold the activations (measured faster than 32), else 32.
    dtype "bfloat16" runs under autocast. The size of a batch changes the last digits (about 1e-6): pass the
    same blocks to get the same bytes.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images must be uint8 (N, H, W, 3), not {images.dtype} {images.shape}")
    found = np.empty((len(images), model.dim), np.float32)
    batch = batch or (8 if model.device.type == "cpu" else 32)
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    exact = exact if model.device.type == "cuda" else nullcontext()  # the flags are shared by all threads
    mixed = torch.autocast(model.device.type, torch.bfloat16, enabled=dtype == "bfloat16")
    with torch.inference_mode(), exact, mixed:
        for start in range(0, len(images), batch):
            x = normalise(model, images[start : start + batch])
            found[start : start + batch] = model.model(x).float().cpu().numpy()
    return found


def logits(model: Classifier, feats: np.ndarray) -> np.ndarray:
    """Outputs of the last layer, float32 (N, C), of features (N, D). Raises UserError without a head."""
    if model.head is None:
        raise UserError(f"{model.name} ({model.pretraining}) has no output layer; give a trained one.")
    weight, bias = (v.double().numpy() for v in model.head)
    return (feats.astype(np.float64) @ weight.T + bias).astype(np.float32)  # float64: no trace of the block


def predict(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(winners int64 (N,), the first of equal ones; their softmax shares float64 (N,)) of logits (N, T)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return logits.argmax(axis=1), 1 / np.exp(shifted).sum(axis=1)  # the winner's own term is exp(0)
