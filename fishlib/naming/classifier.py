"""Classifiers: timm backbones with the last layer apart, features, masked outputs (2-stage MA)."""

import difflib
import hashlib
import json
from collections.abc import Iterable
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
from fishlib.files.tensors import brief
from fishlib.naming import layouts
from fishlib.naming.checkpoints import LITE0, existing, identity, imagenet_file, read, with_classes
from fishlib.photos.matching import masked_logits, match_classes, maybe

__all__ = ["identity", "masked_logits", "match_classes"]  # from here as well: one import for whoever has a classifier
# TensorFlow's EfficientNet-lite repository: MEAN_RGB 127, STDDEV_RGB 128
LITE0_MEAN = (127 / 255,) * 3
LITE0_STD = (128 / 255,) * 3
Head = tuple[torch.Tensor, torch.Tensor]  # weight (C, D) and bias (C,) of the last layer, float32 on the CPU


@dataclass
class Classifier:
    """A backbone in evaluation mode that gives pooled features, and its last linear layer, if any.

    mean, std: (3,) RGB in units of 0..1. head: (W (C, D), b (C,)) float32 on the CPU; classes: its C names.
    hash: sha256 of name, normalisation and weights. training_hashes: sha256 of the photos it was trained on.
    notes: what was left out of the file it was read from.
    """

    model: torch.nn.Module
    name: str
    pretraining: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: list[str] | None = None
    head: Head | None = None
    training_hashes: set[str] = field(default_factory=set)
    history: dict = field(default_factory=dict)
    hash: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def dim(self) -> int:
        """Length D of a feature vector."""
        return _width(self.model)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def _width(model: torch.nn.Module) -> int:
    """Length D of what a timm model without its last layer answers."""
    return getattr(model, "head_hidden_size", None) or model.num_features


def create(backbone: str, **options) -> torch.nn.Module:
    """An untrained timm model by name (num_classes=0: features only); UserError for an unknown name."""
    if ":" in backbone or not timm.is_model(backbone):  # "hf-hub:..." would download
        near = difflib.get_close_matches(backbone, timm.list_models(), 3)
        raise UserError(f"timm knows no backbone {brief(backbone)!r}; choose another{maybe(near)}.")
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
    (.safetensors, .pth: plain, EMA, DataParallel, Lightning; an EMA is preferred) of `backbone` with a class list in
    `classes_file` or beside it as <file>.classes.csv or .json; without a list the head has no names.
    Raises UserError for a file that does not fit, NotRun when ImageNet weights are missing.
    """
    device = choose_device(device)
    if str(source) == "none":
        return build(backbone, _random_state(backbone, seed), device, pretraining="none")
    if str(source) == "imagenet":
        return _imagenet(backbone, device, offline)

    path = existing(source)
    state, facts = read(path)
    facts = {"backbone": backbone, "pretraining": path.stem} | with_classes(facts, path, classes_file)
    return build(facts.pop("backbone"), state, device, path, **facts)


def _random_state(backbone: str, seed: int) -> dict:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(backbone, num_classes=0).state_dict()


def _imagenet(backbone: str, device: str, offline: bool) -> Classifier:
    path = imagenet_file(backbone, offline)
    state, _ = read(path)
    if backbone != LITE0:
        return build(backbone, state, device, path, pretraining="imagenet")

    # the same layers in the same order under another package's names
    names = create(LITE0).state_dict()
    if len(names) != len(state):
        raise UserError(f"{path} has {len(state)} layers, {LITE0} {len(names)}; install the pinned package again.")
    state = dict(zip(names, state.values(), strict=True))
    return build(backbone, state, device, path, pretraining="imagenet", mean=LITE0_MEAN, std=LITE0_STD)


def build(
    backbone: str,
    state: dict,
    device: str,
    path: Path | str = "",
    pretraining: str = "",
    classes: list[str] | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    history: dict | None = None,
    training_hashes: Iterable[str] = (),
) -> Classifier:
    """A Classifier from a state dict, the last layer apart; the rest are its fields.

    state: name -> tensor under the names of timm, or of a program that wraps its models (see layouts.fit); mean, std:
    timm's own where they are None; path only names the file in errors. Raises UserError where the weights are those of
    another network or no numbers, and where there are not as many classes as outputs.
    """
    model = create(backbone, num_classes=0)
    state, notes = layouts.fit(state, model, backbone, path)
    state, head = _without_head(state, model)
    if head is not None and (head[1].ndim != 1 or head[0].shape != (len(head[1]), _width(model))):
        raise UserError(layouts.no_weights(path, backbone, f"its last layer is {_size(head[0])}"))
    _load(model, state, backbone, path)
    _hold_finite(path, {**model.state_dict(), **dict(zip(("last weight", "last bias"), head or (), strict=False))})
    if classes:
        _hold_count(path, head, classes)

    mean = tuple(float(v) for v in mean or model.pretrained_cfg["mean"])
    std = tuple(float(v) for v in std or model.pretrained_cfg["std"])
    digest = _hash(backbone, model, head, mean, std, classes)
    model = model.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    return Classifier(
        model=model,
        name=backbone,
        pretraining=pretraining,
        mean=mean,
        std=std,
        classes=classes,
        head=head,
        training_hashes=set(training_hashes),
        history=history or {},
        hash=digest,
        notes=notes,
    )


def _without_head(state: dict, model: torch.nn.Module) -> tuple[dict, Head | None]:
    """(the state without the last layer, that layer as (W (C, D), b (C,)) float32 or None)."""
    key = model.pretrained_cfg.get("classifier")  # timm's name of the last layer
    names = [f"{key}.weight", f"{key}.bias"]
    rest = {name: value for name, value in state.items() if name not in names}
    if not all(name in state for name in names):
        return rest, None
    weight, bias = (state[name].to(torch.float32, copy=True) for name in names)  # no longer the file's own memory
    return rest, (weight, bias)


def _load(model: torch.nn.Module, state: dict, backbone: str, path: Path | str) -> None:
    """Put the weights into the model, all of them; UserError, with the first that does not fit."""
    own = model.state_dict()
    why = ""
    for name in [*own, *state]:
        if name not in state:
            why = f"it lacks {brief(name)}"
        elif name not in own:
            why = f"it has {brief(name)} besides"
        elif state[name].shape != own[name].shape:
            why = f"{name} is {_size(state[name])}, not {_size(own[name])}"
        if why:
            raise UserError(layouts.no_weights(path, backbone, why))
    try:
        model.load_state_dict(state)
    except Exception as error:  # numbers of a kind that cannot be copied into the network's
        raise UserError(layouts.no_weights(path, backbone)) from error


def _size(value: torch.Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "a single number"


def _hold_finite(path: Path | str, state: dict) -> None:
    """UserError where a weight is no number: every answer would be one species."""
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise UserError(
                f"{path} holds weights that are no numbers ({name}); its training failed, or it is damaged."
            )


def _hold_count(path: Path | str, head: Head | None, classes: list[str]) -> None:
    if head is None:
        raise UserError(f"{path} has no output layer, its list {len(classes)} classes; give the model's own list.")
    outputs = len(head[1])
    if outputs != len(classes):
        raise UserError(
            f"{path} has {outputs} outputs, its list {len(classes)} classes; give the model's own list (the first row "
            "of a CSV is its header)."
        )


def _hash(backbone: str, model: torch.nn.Module, head: Head | None, mean, std, classes) -> str:
    """sha256 of name, normalisation, classes and weights, the last layer's at the end."""
    digest = hashlib.sha256(json.dumps([backbone, mean, std, classes]).encode())
    named = sorted(model.state_dict().items())
    if head is not None:
        named += [("W", head[0]), ("b", head[1])]
    for name, value in named:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def save(classifier: Classifier, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a checkpoint as safetensors with timm's own key names, atomically; float16 halves it.

    Raises UserError where the disk is full or cannot be written.
    """
    state = dict(classifier.model.state_dict())
    if classifier.head is not None:
        key = classifier.model.pretrained_cfg["classifier"]
        state[f"{key}.weight"], state[f"{key}.bias"] = classifier.head
    written = {}
    for name, value in state.items():
        kept = dtype if value.is_floating_point() else value.dtype
        written[name] = value.to("cpu", kept).contiguous()

    facts = {
        "format": 1,
        "pretraining": classifier.pretraining,
        "mean": classifier.mean,
        "std": classifier.std,
        "classes": classifier.classes,
        "history": classifier.history,
        "backbone": classifier.name,
        "training_hashes": sorted(classifier.training_hashes),
    }
    # one entry: safetensors writes several in random order, and the file's hash would change
    metadata = {"fishlib": json.dumps(facts, ensure_ascii=False)}
    with writing.atomic(Path(path), keep=True) as temporary:
        try:
            safetensors.torch.save_file(written, temporary, metadata)
        except safetensors.SafetensorError as error:  # its way to say that the disk is full
            raise UserError(writing.failed(path, error)) from error


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
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images must be uint8 (N, H, W, 3), not {images.dtype} {images.shape}")
    on_cpu = model.device.type == "cpu"
    if batch is None:
        batch = 8 if on_cpu else 32

    found = np.empty((len(images), model.dim), np.float32)
    mixed = torch.autocast(model.device.type, torch.bfloat16, enabled=dtype == "bfloat16")
    with torch.inference_mode(), _exact(model.device), mixed:
        for start in range(0, len(images), batch):
            x = normalise(model, images[start : start + batch])  # (B, 3, H, W)
            found[start : start + batch] = model.model(x).float().cpu().numpy()  # (B, D)
    return found


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
