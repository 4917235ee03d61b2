"""SAM 3 by the word "fish": every instance of the concept with its mask and score; the choice as in the adjustment."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from PIL import Image

from fishlib import cache
from fishlib.errors import UserError
from fishlib.photos import masks
from fishlib.removal.segmenters import MASK_REJECTED, NO_DETECTION, OK, Segmentation, adjust, checkpoints, common
from fishlib.removal.segmenters.gdino_sam import CLEAN
from fishlib.removal.segmenters.gdino_sam import DEFAULTS as PROPOSAL

DEFAULTS = {
    "sam3": "sam3",  # a gated checkpoint, see `fishlib weights list`; or a folder of transformers
    "prompt": "Fish",  # paper 3
    "threshold": 0.5,  # of an instance's score, as SAM 3's own demos; transformers' processor takes 0.3
    "mask_threshold": 0.5,  # transformers' post_process_instance_segmentation
    "morphology": True,  # from here to `hole` as in GDINO-SAM
    **{name: PROPOSAL[name] for name in CLEAN},
    "dtype": "auto",  # bf16 where the device has units for it; fp32: the package's very numbers
}
LIMITS = {
    "threshold": common.SHARE,
    "mask_threshold": common.SHARE,
    "opening": common.SHARE,
    "closing": common.SHARE,
    "hole": common.SHARE,
}
KINDS = ("sam3", "sam3_video")  # the published file is the video model's, whose detector is SAM 3


def build(params: dict, device: str = "cpu", offline: bool = True) -> "Sam3":
    """params: any of DEFAULTS. UserError for another name, NotRun where the checkpoint is missing."""
    return Sam3(common.options("sam3", DEFAULTS, params, LIMITS), device, offline)


def needs(options: dict) -> dict[str, str]:
    """Part -> its checkpoint as the options name it."""
    return {"sam3": options["sam3"]}


class Instances(NamedTuple):
    """What SAM 3 found in one photo, best first: logits Tensor (n, L, L) of the photo stretched to a square, boxes
    float32 (n, 4) XYXY in pixels of the photo, scores (n,)."""

    logits: object
    boxes: np.ndarray
    scores: np.ndarray


class Sam3:
    """The model is loaded at the first photo (a finished run needs none); its folder is looked for now."""

    def __init__(self, options: dict, device: str, offline: bool):
        self.options, self.device = options, device
        self.words = common.concept(options["prompt"])  # a useless prompt fails here, before any photo
        self.folder = checkpoints.locate_all(needs(options), offline)["sam3"]
        self.bf16 = common.wants_bf16(options["dtype"], device)
        self.key = {
            "method": "sam3",
            "options": {k: v for k, v in options.items() if k not in ("sam3", "dtype")},
            "bf16": self.bf16,
            "checkpoints": {"sam3": checkpoints.fingerprint(self.folder, "sam3")},
            "code": cache.code_version(__name__),
        }

    @cached_property
    def model(self) -> tuple:
        """(Sam3Model, its processor), from local files only."""
        from fishlib.device import choose_device
        from fishlib.removal.segmenters import hub

        hub.hold_kind(self.folder, KINDS, "SAM 3", "sam3")
        classes = hub.of_transformers("Sam3Model"), hub.of_transformers("Sam3Processor")
        model, processor = hub.read(self.folder, *classes, "SAM 3", "sam3")
        return model.to(choose_device(self.device)), processor

    @cached_property
    def tokens(self) -> dict:
        """The prompt as the model takes it, padded to a fixed length; UserError where it is longer."""
        model, processor = self.model
        tokens = processor(text=self.words, return_tensors="pt")
        longest = model.config.text_config.max_position_embeddings
        if tokens["input_ids"].shape[1] > longest:
            raise UserError(f"sam3: the prompt {self.words!r} is too long for SAM 3; shorten it in the profile.")
        return {name: tokens[name].to(model.device) for name in ("input_ids", "attention_mask")}

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        return [self.one(common.rgb(image)) for image in images]

    def one(self, image: np.ndarray) -> Segmentation:
        """The plausible instance near the centre, cleaned; image: uint8 (H, W, 3) RGB."""
        o = self.options
        found = self.ask(image)
        if not len(found.scores):
            return Segmentation(status=NO_DETECTION, reason=f"no {self.words} scored above {o['threshold']}")

        small, scores = self.score(found, image.shape[:2])
        best = int(scores["total"].argmax())
        detail = self.tell(image, found, small, scores, best)

        box = found.boxes[best]
        mask = self.mask(found, best, image.shape[:2])
        if o["morphology"]:
            mask = adjust.clean(mask, box, **{name: o[name] for name in CLEAN})
        fault = adjust.fault(mask, box)
        return Segmentation(
            mask=None if fault else mask,
            box=box,
            score=float(found.scores[best]),
            status=MASK_REJECTED if fault else OK,
            reason=fault,
            detail=detail,
        )

    def ask(self, image: np.ndarray) -> Instances:
        """All instances above the threshold."""
        import torch

        model, processor = self.model
        # as a picture, since of an array 3 pixels high the processor would take the rows for the colours
        pixels = processor(images=Image.fromarray(image), return_tensors="pt")["pixel_values"].to(model.device)
        with torch.no_grad():
            with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.bf16):
                seen = model.get_vision_features(pixels)
            answer = model(vision_embeds=in_fp32(seen), **self.tokens)

        scores = answer.pred_logits[0].sigmoid() * answer.presence_logits[0].sigmoid()  # (queries,)
        order = scores.argsort(descending=True, stable=True)
        kept = order[scores[order] > self.options["threshold"]]

        height, width = image.shape[:2]
        sides = np.float32([width, height, width, height])
        boxes = answer.pred_boxes[0, kept].cpu().numpy() * sides
        return Instances(
            logits=answer.pred_masks[0, kept],
            boxes=np.clip(boxes, 0, sides).astype(np.float32),
            scores=scores[kept].cpu().numpy(),
        )

    def score(self, found: Instances, size: tuple[int, int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Masks bool (n, h, w) in the photo's shape, and what speaks for each (see adjust.score).

        Instances are different fish, so neither their agreement says anything nor does SAM 3 estimate an IoU: its own
        score, the nearness to the centre and the share of the box decide. size: (height, width) of the photo.
        """
        from fishlib.removal.segmenters import squares

        small = squares.photo_shaped(found.logits.sigmoid(), size) > self.options["mask_threshold"]
        to_small = np.array([small.shape[2] / size[1], small.shape[1] / size[0]] * 2, np.float32)
        scores = {
            "centre": adjust.centrality(found.boxes, size),
            "detector": found.scores,
            "share": adjust.box_share(small, found.boxes * to_small),
        }
        scores["total"] = adjust.total(scores, small)
        return small, scores

    def mask(self, found: Instances, number: int, size: tuple[int, int]) -> np.ndarray:
        """The mask of one instance at the photo's size (height, width), as the processor's post-processing makes it."""
        from fishlib.removal.segmenters import squares

        chances = found.logits[number : number + 1].sigmoid()
        return squares.full_size(chances, size)[0] > self.options["mask_threshold"]

    def tell(self, image: np.ndarray, found: Instances, small: np.ndarray, scores: dict, best: int) -> dict:
        """JSON-able facts of one look, to be kept beside the mask."""
        told = []
        for number, candidate in enumerate(small):
            fact = {"box": number, "rle": masks.to_rle(candidate)}  # small: stretch to draw it
            for name, values in scores.items():
                fact[name] = round(float(values[number]), 4)
            told.append(fact)
        return {
            "size": list(image.shape[:2]),
            "boxes": found.boxes.round(2).tolist(),
            "box_scores": [round(float(score), 4) for score in found.scores],
            "tried": found.boxes.round(2).tolist(),  # each as it is
            "candidates": told,
            "chosen": best,
            "why": adjust.why(scores, best),
        }


def in_fp32(seen):
    """What the image encoder saw, its feature maps in fp32."""
    seen.fpn_hidden_states = tuple(level.float() for level in seen.fpn_hidden_states)
    seen.fpn_position_encoding = tuple(level.float() for level in seen.fpn_position_encoding)
    return seen
