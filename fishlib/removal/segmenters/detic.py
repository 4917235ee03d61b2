"""Detic (paper, table 1) without detectron2: an ONNX export through onnxruntime."""

from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from fishlib import cache, zoo
from fishlib.errors import NotRun
from fishlib.photos import masks
from fishlib.removal.segmenters import MASK_REJECTED, NO_DETECTION, Segmentation, checkpoints, common

DEFAULTS = {
    "model": "zoo",  # the stand-in; or detic (Swin-B, LVIS vocabulary, `fishlib weights fetch detic`), a file
    # LVIS v1 ids counted from 0: fish, fish_(food), goldfish, salmon_(fish); LVIS's own ids are one more
    "classes": [446, 447, 502, 906],
    "threshold": 0.5,  # Detic's demo; it takes 0.3 where the vocabulary is custom
    "mask_threshold": 0.5,  # detectron2's paste_masks_in_image
    "short_side": 800,  # detectron2's test size; the export's own demo (axinc-ai/ailia-models) takes 800 for both
    "long_side": 1333,
}
LIMITS = {
    "threshold": common.SHARE,
    "mask_threshold": common.SHARE,
    "short_side": (32, 4096),
    "long_side": (32, 4096),
}
OUTPUTS = ("boxes", "scores", "classes", "masks")  # of an export, in this order, whatever their names
WHOLE = "im_hw"  # the second input of an export that answers at the photo's own size
DEVIATION = (
    "The export has LVIS's 1203 names built in, so a fish may be given to a neighbour of the class fish; "
    "the paper limits Detic to the one prompt Fish. The neighbours named in the options are counted as fish."
)


def build(params: dict, device: str = "cpu", offline: bool = True) -> "Detic":
    """params: any of DEFAULTS. UserError for another name, NotRun where the export is missing."""
    options = common.options("detic", DEFAULTS, params, LIMITS)
    return Detic(options, device, offline)


def needs(options: dict) -> dict[str, str]:
    """Part -> its checkpoint as the options name it."""
    return {"detic": options["model"]}


def to_input(image: np.ndarray, short: int, long: int) -> np.ndarray:
    """uint8 (H, W, 3) RGB -> float32 (1, 3, h, w), 0..255; short side as given, long side at most."""
    height, width = image.shape[:2]
    scale = min(short / min(height, width), long / max(height, width))
    size = (max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5)))
    resized = Image.fromarray(image).resize(size, Image.BILINEAR)
    return np.asarray(resized, np.float32).transpose(2, 0, 1)[None]


def paste(mask: np.ndarray, box: np.ndarray, size: tuple[int, int], threshold: float = 0.5) -> np.ndarray:
    """Probabilities (m, m) over a box XYXY -> bool (H, W): sampled at pixel centres (detectron2)."""
    height, width = size
    x0, y0, x1, y1 = box
    rows, columns = mask.shape
    x = ((np.arange(width) + 0.5 - x0) / (x1 - x0) * columns - 0.5).astype(np.float32)
    y = ((np.arange(height) + 0.5 - y0) / (y1 - y0) * rows - 0.5).astype(np.float32)
    at_x, at_y = np.meshgrid(np.clip(x, -2, columns + 1), np.clip(y, -2, rows + 1))
    sampled = cv2.remap(mask.astype(np.float32), at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return sampled >= threshold


class Found(NamedTuple):
    """What an export answers for one photo: boxes float32 (n, 4) XYXY in its pixels and within it, scores (n,),
    classes int (n,), masks (n, m, m) of the boxes' insides, or (n, H, W) of the whole photo, not `inside`."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray
    inside: bool


class Detic:
    """The session is opened at the first photo; its file is looked for now.

    An export with the input im_hw is told the photo's height and width and answers at that size: boxes in its pixels,
    masks of the whole photo. One without answers in pixels of the picture it is given, masks inside the boxes.
    """

    def __init__(self, options: dict, device: str, offline: bool):
        self.options, self.device = options, device
        [path] = checkpoints.locate_all(needs(options), offline).values()
        self.path = zoo.path("detic") if path is None else path
        self.key = {
            "method": "detic",
            "options": {k: v for k, v in options.items() if k != "model"},
            "checkpoints": {"detic": checkpoints.fingerprint(path, "detic")},
            "code": cache.code_version(__name__),
        }

    @cached_property
    def session(self):
        """NotRun for a file that onnxruntime cannot open and for one that is no Detic."""
        import onnxruntime

        from fishlib.device import choose_device

        providers = ["CPUExecutionProvider"]
        gpu = "CUDAExecutionProvider"
        if choose_device(self.device).startswith("cuda") and gpu in onnxruntime.get_available_providers():
            providers.insert(0, gpu)
        try:
            session = onnxruntime.InferenceSession(str(self.path), providers=providers)
        except Exception as error:  # onnxruntime has a kind for every way a file can be broken
            how = "take the export that `fishlib weights list` names, or fetch it again"
            raise NotRun(f"{self.path} cannot be opened by onnxruntime ({self.said(error)}); {how}.") from error

        names = [given.name for given in session.get_inputs()]
        if len(names) not in (1, 2) or (len(names) == 2 and WHOLE not in names):
            raise NotRun(f"{self.path} is no Detic export: it takes {', '.join(names)}, not img alone or with {WHOLE}.")
        if len(session.get_outputs()) != len(OUTPUTS):
            raise NotRun(f"{self.path} is no Detic export: {', '.join(OUTPUTS)} are needed in this order.")
        return session

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        return [self.one(common.rgb(image)) for image in images]

    def one(self, image: np.ndarray) -> Segmentation:
        """Union of the masks of all fish found; the box goes round their boxes."""
        o = self.options
        found = self.ask(image)
        is_fish = np.isin(found.classes, o["classes"]) & (found.scores >= o["threshold"])
        is_fish &= (found.boxes[:, 2:] > found.boxes[:, :2]).all(1)
        fish = Found(
            found.boxes[is_fish], found.scores[is_fish], found.classes[is_fish], found.masks[is_fish], found.inside
        )
        detail = {
            "classes": fish.classes.tolist(),
            "scores": fish.scores.round(4).tolist(),
            "boxes": fish.boxes.round(2).tolist(),
            "deviation": DEVIATION,
        }
        if not is_fish.any():
            return Segmentation(status=NO_DETECTION, reason=f"no fish scored {o['threshold']} or more", detail=detail)

        pieces = self.pieces(fish, image.shape[:2])
        detail["candidates"] = [{"rle": masks.to_rle(piece)} for piece in pieces]
        mask = np.any(pieces, axis=0)
        box = np.concatenate([fish.boxes[:, :2].min(0), fish.boxes[:, 2:].max(0)]).astype(np.float32)
        best = float(fish.scores.max())
        if not mask.any():
            return Segmentation(None, box, best, MASK_REJECTED, "the mask vanished", detail)
        return Segmentation(mask, box, best, detail=detail)

    def ask(self, image: np.ndarray) -> Found:
        """What the export finds in uint8 (H, W, 3) RGB; NotRun where it cannot be run on it."""
        height, width = image.shape[:2]
        pixels = to_input(image, self.options["short_side"], self.options["long_side"])
        names = [given.name for given in self.session.get_inputs()]
        given = {name: pixels for name in names if name != WHOLE}
        if WHOLE in names:
            given[WHOLE] = np.array([height, width], np.int64)

        try:
            boxes, scores, classes, parts = self.session.run(None, given)
            boxes = boxes.reshape(-1, 4)
            parts = parts.reshape(len(boxes), *parts.shape[-2:])  # without the axis of one channel that some keep
        except Exception as error:  # onnxruntime's own kinds, and answers of other shapes
            raise NotRun(f"{self.path} is no Detic export: it fails on a photo ({self.said(error)}).") from error

        if WHOLE not in names:
            boxes = boxes * np.float32([width / pixels.shape[3], height / pixels.shape[2]] * 2)
        boxes = np.clip(boxes, 0, np.float32([width, height, width, height]))
        inside = WHOLE not in names or parts.shape[1:] != (height, width)
        return Found(boxes, scores, classes.astype(int), parts, inside)

    def said(self, error: Exception) -> str:
        """What onnxruntime said, in one line; the file's path is in ours."""
        text = str(error).replace(f"Load model from {self.path} failed:", "")
        return " ".join(text.split())[:200].rstrip(". ")

    def pieces(self, fish: Found, size: tuple[int, int]) -> list[np.ndarray]:
        """The mask of each fish, bool (H, W) at the photo's size (height, width)."""
        threshold = self.options["mask_threshold"]
        if not fish.inside:
            return [mask >= threshold for mask in fish.masks]
        return [paste(mask, box, size, threshold) for mask, box in zip(fish.masks, fish.boxes, strict=True)]
