"""Detic (paper, table 1) without detectron2: an ONNX export through onnxruntime."""

from functools import cached_property

import cv2
import numpy as np
from PIL import Image

from fishlib import cache, zoo
from fishlib.errors import UserError
from fishlib.photos import masks
from fishlib.removal.segmenters import MASK_REJECTED, NO_DETECTION, Segmentation, common

DEFAULTS = {
    "model": "zoo",  # the stand-in; or detic (Swin-B, LVIS vocabulary, `fishlib weights fetch detic`), a file
    # LVIS v1 ids counted from 0: fish, fish_(food), goldfish, salmon_(fish); LVIS's own ids are one more
    "classes": [446, 447, 502, 906],
    "threshold": 0.5,  # Detic's demo; it takes 0.3 where the vocabulary is custom
    "mask_threshold": 0.5,  # detectron2's paste_masks_in_image
    "short_side": 800,  # the export's own preparation (axinc-ai/ailia-models), as detectron2's test size
    "long_side": 1333,
}
DEVIATION = (
    "The export has LVIS's 1203 names built in, so a fish may be given to a neighbour of the class fish; "
    "the paper limits Detic to the one prompt Fish. The neighbours named in the options are counted as fish."
)


def build(params: dict, device: str = "cpu", offline: bool = True) -> "Detic":
    """params: any of DEFAULTS. UserError for another name, NotRun where the export is missing."""
    return Detic(common.options("detic", DEFAULTS, params), device, offline)


def to_input(image: np.ndarray, short: int, long: int) -> np.ndarray:
    """uint8 (H, W, 3) RGB -> float32 (1, 3, h, w), 0..255; short side as given, long side at most."""
    h, w = image.shape[:2]
    scale = min(short / min(h, w), long / max(h, w))
    size = (max(1, int(w * scale + 0.5)), max(1, int(h * scale + 0.5)))
    return np.asarray(Image.fromarray(image).resize(size, Image.BILINEAR), np.float32).transpose(2, 0, 1)[None]


def paste(mask: np.ndarray, box: np.ndarray, size: tuple[int, int], threshold: float = 0.5) -> np.ndarray:
    """Probabilities (m, m) over a box XYXY -> bool (H, W): sampled at pixel centres (detectron2)."""
    (h, w), (x0, y0, x1, y1) = size, box
    rows, columns = mask.shape
    x = ((np.arange(w) + 0.5 - x0) / (x1 - x0) * columns - 0.5).astype(np.float32)
    y = ((np.arange(h) + 0.5 - y0) / (y1 - y0) * rows - 0.5).astype(np.float32)
    at = np.meshgrid(np.clip(x, -2, columns + 1), np.clip(y, -2, rows + 1))
    return cv2.remap(mask.astype(np.float32), *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) >= threshold


class Detic:
    """The session is opened at the first photo; its file is looked for now."""

    def __init__(self, options: dict, device: str, offline: bool):
        self.options, self.device = options, device
        self.path = common.locate(options["model"], offline)
        self.key = {
            "method": "detic",
            "options": {k: v for k, v in options.items() if k != "model"},
            "checkpoints": {"detic": common.fingerprint(self.path, "detic")},
            "code": cache.code_version(__name__),
        }

    @cached_property
    def session(self):
        import onnxruntime

        from fishlib.device import choose_device

        if self.path is None:
            self.path = zoo.path("detic")
        wanted = ["CUDAExecutionProvider"] * choose_device(self.device).startswith("cuda") + ["CPUExecutionProvider"]
        providers = [p for p in wanted if p in onnxruntime.get_available_providers()]
        try:
            session = onnxruntime.InferenceSession(str(self.path), providers=providers)
        except Exception as error:  # onnxruntime has a kind for every way a file can be broken
            raise UserError(f"{self.path} is no ONNX model that onnxruntime can open; fetch it again.") from error
        if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 4:
            raise UserError(f"{self.path} is no Detic export: one input and boxes, scores, classes, masks are needed.")
        return session

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        return [self.one(common.rgb(image)) for image in images]

    def one(self, image: np.ndarray) -> Segmentation:
        """Union of the masks of all fish found; the box goes round their boxes."""
        o, (h, w) = self.options, image.shape[:2]
        pixels = to_input(image, o["short_side"], o["long_side"])
        boxes, scores, classes, parts = self.session.run(None, {self.session.get_inputs()[0].name: pixels})
        boxes = boxes.reshape(-1, 4) * np.float32([w / pixels.shape[3], h / pixels.shape[2]] * 2)
        boxes = np.clip(boxes, 0, np.float32([w, h, w, h]))
        fish = np.isin(classes.astype(int), o["classes"]) & (scores >= o["threshold"])
        fish &= (boxes[:, 2:] > boxes[:, :2]).all(1)
        detail = {"classes": classes[fish].astype(int).tolist(), "scores": scores[fish].round(4).tolist()}
        detail |= {"boxes": boxes[fish].round(2).tolist(), "deviation": DEVIATION}
        if not fish.any():
            return Segmentation(status=NO_DETECTION, reason=f"no fish scored {o['threshold']} or more", detail=detail)
        pieces = [paste(np.squeeze(parts[i]), boxes[i], (h, w), o["mask_threshold"]) for i in np.flatnonzero(fish)]
        detail["candidates"] = [{"rle": masks.to_rle(piece)} for piece in pieces]
        box = np.concatenate([boxes[fish, :2].min(0), boxes[fish, 2:].max(0)]).astype(np.float32)
        found = Segmentation(np.any(pieces, axis=0), box, float(scores[fish].max()), detail=detail)
        if not found.mask.any():
            found.mask, found.status, found.reason = None, MASK_REJECTED, "the mask vanished"
        return found
