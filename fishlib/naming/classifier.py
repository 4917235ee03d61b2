"""Namers made of what people have: random weights, ImageNet's, the zoo's, checkpoint files; and written to files."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import safetensors.torch
import torch

from fishlib.device import choose_device
from fishlib.errors import UserError
from fishlib.files import writing
from fishlib.naming import layouts, networks
from fishlib.naming.checkpoints import LITE0, existing, identity, imagenet_file, parted, read, with_classes
from fishlib.naming.namer import Classifier, Head, features, logits, normalise, predict
from fishlib.naming.networks import create
from fishlib.photos.matching import masked_logits, match_classes

# from here as well: one import for whoever has a classifier
__all__ = ["Classifier", "features", "identity", "logits", "masked_logits", "match_classes", "normalise", "predict"]
# TensorFlow's EfficientNet-lite repository: MEAN_RGB 127, STDDEV_RGB 128
LITE0_MEAN = (127 / 255,) * 3
LITE0_STD = (128 / 255,) * 3


def load(
    source: str | Path,
    backbone: str = LITE0,
    device: str = "auto",
    seed: int = 0,
    offline: bool = True,
    classes_file: str | Path | None = None,
    side: int | None = None,
) -> Classifier:
    """A namer from "none" (random weights of that seed), "imagenet", "zoo" (drawn specimens) or a file.

    A file is a fishlib .safetensors (backbone, classes and normalisation inside) or a timm/torch state dict
    (.safetensors, .pth: plain, EMA, DataParallel, Lightning; an EMA is preferred) of `backbone` with a class list in
    `classes_file` or beside it as <file>.classes.csv or .json; without a list the head has no names.
    BACKBONE@SOURCE: the same with a backbone of its own. side: of the pictures, for a network that is made for one
    size, whose position embeddings are resized as timm does; its own by default.
    Raises UserError for a file that does not fit, NotRun when ImageNet weights are missing.
    """
    device = choose_device(device)
    backbone, source = parted(source, backbone)
    if str(source) == "none":
        return build(backbone, _random_state(backbone, seed, side), device, pretraining="none", side=side)
    if str(source) == "imagenet":
        return _imagenet(backbone, device, offline, side)

    path = existing(source)
    state, facts = read(path)
    facts = {"backbone": backbone, "pretraining": path.stem} | with_classes(facts, path, classes_file)
    return build(facts.pop("backbone"), state, device, path, **facts, side=side)


def _random_state(backbone: str, seed: int, side: int | None) -> dict:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(backbone, side, num_classes=0).state_dict()


def _imagenet(backbone: str, device: str, offline: bool, side: int | None) -> Classifier:
    path = imagenet_file(backbone, offline)
    state, _ = read(path)
    if backbone != LITE0:
        return build(backbone, state, device, path, pretraining="imagenet", side=side)

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
    side: int | None = None,
) -> Classifier:
    """A namer from a state dict, the last layer apart; the rest are its fields.

    state: name -> tensor under the names of timm, or of a program that wraps its models (see layouts.fit); mean, std:
    timm's own where they are None; side: as `load`; path only names the file in errors. Raises UserError where the
    weights are those of another network or no numbers, and where there are not as many classes as outputs.
    """
    model = create(backbone, side, num_classes=0)
    state, notes = layouts.fit(state, model, backbone, path)
    state, head = networks.without_head(state, model)
    if head is not None and (head[1].ndim != 1 or head[0].shape != (len(head[1]), networks.width(model))):
        raise UserError(layouts.no_weights(path, backbone, f"its last layer is {networks.size_text(head[0])}"))
    networks.put(model, state, backbone, path)
    networks.hold_finite(
        path, {**model.state_dict(), **dict(zip(("last weight", "last bias"), head or (), strict=False))}
    )
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
        dim=networks.width(model),
        side=networks.side_of(model, side),
        classes=classes,
        head=head,
        training_hashes=set(training_hashes),
        history=history or {},
        hash=digest,
        notes=notes,
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
