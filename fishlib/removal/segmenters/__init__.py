"""Segmenters: one file a method, one protocol, one registry. A segmenter turns photos into masks and boxes."""

import importlib
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fishlib.errors import UserError

OK = "ok"
NO_DETECTION = "no_detection"
MASK_REJECTED = "mask_rejected"


@dataclass
class Segmentation:
    """What one method found in one photo.

    mask: bool (H, W) of the given image, None unless status is "ok".
    box: float32 (4,) XYXY in pixels of the given image, None when nothing was detected.
    score: the detector's confidence, NaN where the method has none.
    status: "ok", "no_detection" or "mask_rejected" (a box, but no usable mask).
    reason: one phrase why the status is not "ok".
    detail: JSON-able facts kept beside the mask (candidates as COCO RLE, their scores, the choice).
    """

    mask: np.ndarray | None = None
    box: np.ndarray | None = None
    score: float = float("nan")
    status: str = OK
    reason: str = ""
    detail: dict = field(default_factory=dict)


class Segmenter(Protocol):
    """key holds everything that changes the result (parameters, checkpoint hashes, code version)."""

    key: dict

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        """images: uint8 (H, W, 3) RGB, sizes may differ; the answer has their order and length."""


# method -> the module whose build(params: dict, device: str, offline: bool) returns a Segmenter
MODULES = {
    "imported": "fishlib.removal.segmenters.imported",
    "grabcut": "fishlib.removal.segmenters.grabcut",
    "gdino-sam": "fishlib.removal.segmenters.gdino_sam",
    "gdino-sam2": "fishlib.removal.segmenters.gdino_sam2",
    "sam3": "fishlib.removal.segmenters.sam3",
    "sam-clip": "fishlib.removal.segmenters.sam_clip",
    "detic": "fishlib.removal.segmenters.detic",
    "rembg": "fishlib.removal.segmenters.rembg",
}
LABELS = {
    "gdino-sam": "GDINO-SAM",
    "gdino-sam2": "GDINO-SAM 2",
    "sam3": "SAM 3",
    "sam-clip": "SAM-CLIP",
    "detic": "Detic",
    "grabcut": "GrabCut",
    "rembg": "rembg",
    "imported": "imported",
    "truth": "truth",
}
# options that take the zoo's checkpoints, and whether they do where nothing is said
ZOO = {
    "gdino-sam": {"gdino": "zoo", "sam": "zoo"},
    "gdino-sam2": {"gdino": ""},
    "sam-clip": {"sam": "zoo", "clip": "zoo"},
    "detic": {"model": "zoo"},
}


def label(method: str, params: dict) -> str:
    """The name a table shows; what runs on the zoo's tiny checkpoints is called a stand-in."""
    name = LABELS.get(method, method)
    if "masks" in params:
        return name
    options = {**ZOO.get(method, {}), **params}
    on_zoo = any(options[option] == "zoo" for option in ZOO.get(method, ()))
    return f"{name} (stand-in)" if on_zoo else name


def check(method: str, params: dict) -> None:
    """UserError for an option that the method does not have, a value of another type or outside its limits.

    Nothing is loaded for it.
    """
    if method not in MODULES or "masks" in params:  # the truth, and masks of another program
        return
    from fishlib.removal.segmenters import common

    module = importlib.import_module(MODULES[method])
    common.options(method, module.DEFAULTS, params, getattr(module, "LIMITS", None))


def defaults(method: str) -> dict:
    """Every option of a method that there is, with its value where nothing is said."""
    return dict(importlib.import_module(MODULES[method]).DEFAULTS)


def needs(method: str, params: dict | None = None) -> dict[str, str]:
    """Part of a method -> its checkpoint: a name of the weights' manifest, a path, or zoo; {} where it takes none."""
    params = params or {}
    if method not in MODULES or "masks" in params:
        return {}
    from fishlib.removal.segmenters import checkpoints

    module = importlib.import_module(MODULES[method])
    if not hasattr(module, "needs"):
        return {}
    named = module.needs({**module.DEFAULTS, **params})
    return {part: checkpoints.SHORT.get(spec, spec) for part, spec in named.items()}


def build(method: str, params: dict | None = None, device: str = "cpu", offline: bool = True) -> Segmenter:
    """The segmenter of that name; UserError for an unknown name, NotRun where it cannot run here.

    Cheap: with the zoo's checkpoints no network's package is imported and no device touched before the first photo;
    with others, whose number format depends on the device (dtype auto), torch is.
    """
    if method not in MODULES:
        from fishlib.removal.segmenters import own

        if method in own.NAMED:
            return own.NAMED[method]
        known = ", ".join(sorted(MODULES))
        raise UserError(
            f"Unknown method {method!r}; choose one of {known}, or name one of your own as --method module:function "
            "(a profile or a run folder cannot)."
        )
    return importlib.import_module(MODULES[method]).build(params or {}, device, offline)
