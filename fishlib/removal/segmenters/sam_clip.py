"""SAM-CLIP (paper, table 1): every mask of SAM's automatic generator is named by CLIP, the fish are kept."""

from functools import cached_property

import numpy as np
from PIL import Image

from fishlib import cache, zoo
from fishlib.errors import UserError
from fishlib.photos import decode, masks
from fishlib.removal.segmenters import NO_DETECTION, Segmentation, common

DEFAULTS = {
    "sam": "zoo",  # or vit_b, vit_l, vit_h, a file
    "clip": "zoo",  # or clip (ViT-B/32, as the public SAM-CLIP recipes), a folder of transformers
    # ours (the paper gives no prompts): first what is looked for, then what such photos also show
    "labels": [
        "fish",
        "person",
        "hand",
        "boat",
        "rock",
        "water",
        "grass",
        "sand",
        "wood",
        "rope",
        "sky",
        "box",
    ],
    "template": "a photo of a {}",  # CLIP's zero-shot prompt (Radford et al. 2021, section 3.1.4)
    "probability": 0.5,  # ours: more likely a fish than all rivals together (softmax over labels)
    "points_per_side": 32,  # from here SamAutomaticMaskGenerator's defaults
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "box_nms_thresh": 0.7,
    "batch": 64,  # crops CLIP sees at once
    "dtype": "auto",
}
# Where SAM is the zoo's. It says 0.85 of a mask that is right to 0.9, and is as stable: from the package's
# thresholds, made for SAM's ViTs, only the ground round the fish passes. From 0.5 to 0.75 nothing changes, above 0.8
# whole fish are lost (measured on drawn pictures that no figure is made of). 64 points go through the decoder at once.
STAND_IN = {"points_per_side": 8, "pred_iou_thresh": 0.7, "stability_score_thresh": 0.7}
GENERATOR = ("points_per_side", "pred_iou_thresh", "stability_score_thresh", "box_nms_thresh")


def build(params: dict, device: str = "cpu", offline: bool = True) -> "SamClip":
    """params: any of DEFAULTS. UserError for another name, NotRun where a checkpoint is missing."""
    own = STAND_IN if params.get("sam", "zoo") == "zoo" else {}
    return SamClip(common.options("sam-clip", DEFAULTS | own, params), device, offline)


def crop(image: np.ndarray, mask: np.ndarray) -> Image.Image:
    """The masked part alone on a black square: black as in the public recipes, square since CLIP's own
    preparation would cut the ends off a long fish."""
    x0, y0, x1, y1 = masks.box_of(mask).astype(int)
    part = image[y0:y1, x0:x1] * mask[y0:y1, x0:x1, None]
    side = max(part.shape[:2])
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - part.shape[0]) // 2, (side - part.shape[1]) // 2
    square[top : top + part.shape[0], left : left + part.shape[1]] = part
    return Image.fromarray(square)


class SamClip:
    """Models are loaded at the first photo (a finished run needs none); their files are looked for now."""

    def __init__(self, options: dict, device: str, offline: bool):
        if len(options["labels"]) < 2:
            raise UserError("sam-clip needs the wanted label and at least one rival; add to labels in the profile.")
        self.options, self.device, self.offline = options, device, offline
        self.path = common.locate(options["clip"], offline)
        paths = {"clip": self.path, "sam": common.locate(options["sam"], offline)}
        self.key = {
            "method": "sam-clip",
            "options": {k: v for k, v in options.items() if k not in ("sam", "clip", "dtype")},
            "bf16": common.wants_bf16(options["dtype"], device, options["sam"]),
            "checkpoints": {name: common.fingerprint(path, name) for name, path in paths.items()},
            "code": cache.code_version(__name__),
        }

    @cached_property
    def generator(self):
        from segment_anything import SamAutomaticMaskGenerator

        from fishlib.removal.segmenters import sam

        model = sam.load(self.options["sam"], self.device, self.offline, self.options["dtype"])
        return SamAutomaticMaskGenerator(model, **{k: self.options[k] for k in GENERATOR})

    @cached_property
    def clip(self):
        """(CLIPModel, its processor), from local files only."""
        from fishlib.device import choose_device

        if self.path is None:
            model, processor = zoo.load("clip")
        else:
            from transformers import CLIPModel, CLIPProcessor

            try:
                with common.quiet():
                    model = CLIPModel.from_pretrained(self.path, local_files_only=True)
                    processor = CLIPProcessor.from_pretrained(self.path, local_files_only=True)
            except (OSError, ValueError, RuntimeError) as error:
                raise UserError(f"{self.path} is no CLIP of transformers; run fishlib weights fetch clip.") from error
        return model.to(choose_device(self.device)).eval(), processor

    @cached_property
    def words(self):
        """Tensor (labels, d) of unit vectors, computed once a run."""
        import torch

        model, processor = self.clip
        texts = [self.options["template"].format(label) for label in self.options["labels"]]
        tokens = processor(text=texts, return_tensors="pt", padding=True).to(model.device)
        with torch.no_grad():
            return torch.nn.functional.normalize(model.get_text_features(**tokens), dim=-1)

    def probabilities(self, crops: list[Image.Image]) -> np.ndarray:
        """(crops, labels): CLIP's softmax over the labels."""
        import torch

        model, processor = self.clip
        rows = [np.empty((0, len(self.options["labels"])), np.float32)]
        for start in range(0, len(crops), self.options["batch"]):
            some = crops[start : start + self.options["batch"]]
            pixels = processor(images=some, return_tensors="pt").to(model.device)
            with torch.no_grad():
                seen = torch.nn.functional.normalize(model.get_image_features(**pixels), dim=-1)
                rows.append((model.logit_scale.exp() * seen @ self.words.T).softmax(-1).cpu().numpy())
        return np.concatenate(rows)

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        return [self.one(common.rgb(image)) for image in images]

    def generate(self, image: np.ndarray) -> list[dict]:
        """The generator's records, their masks bool (H, W) of the image. It holds a hundred masks at the size of what
        it is given, so that is no larger than SAM looks at."""
        side = self.generator.predictor.model.image_encoder.img_size
        found = self.generator.generate(decode.working(image, side))
        found = [m | {"segmentation": masks.resize_mask(m["segmentation"], image.shape[:2])} for m in found]
        return [m for m in found if m["segmentation"].any()]

    def one(self, image: np.ndarray) -> Segmentation:
        found = self.generate(image)
        chances = self.probabilities([crop(image, m["segmentation"]) for m in found])
        fish, names = chances[:, 0] >= self.options["probability"], self.options["labels"]
        points = "{0} x {0} points".format(self.options["points_per_side"])
        detail = {"candidates": [], "why": f"{fish.sum()} of {len(found)} masks named {names[0]}, {points}"}
        for m, p in zip(found, chances, strict=True):
            numbers = {"fish": p[0], "iou": m["predicted_iou"], "stability": m["stability_score"]}
            fact = {"rle": masks.to_rle(m["segmentation"]), "label": names[int(p.argmax())]}
            detail["candidates"].append(fact | {k: round(float(v), 4) for k, v in numbers.items()})
        if not fish.any():
            return Segmentation(status=NO_DETECTION, reason=detail["why"], detail=detail)
        union = np.any([m["segmentation"] for m, k in zip(found, fish, strict=True) if k], axis=0)
        return Segmentation(union, masks.box_of(union), float(chances[fish, 0].max()), detail=detail)
