"""SAM-CLIP (paper, table 1): every mask of SAM's automatic generator is named by CLIP, the fish are kept."""

from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from fishlib import cache, zoo
from fishlib.errors import NotRun, UserError
from fishlib.photos import decode, masks
from fishlib.removal.segmenters import NO_DETECTION, Segmentation, checkpoints, common
from fishlib.zoo.quiet import quiet

DEFAULTS = {
    "sam": "zoo",  # or vit_b, vit_l, vit_h, a file
    "clip": "zoo",  # or clip (ViT-B/32, as the public SAM-CLIP recipes), a folder of transformers
    # ours (the paper gives no prompts): first what is looked for, then what such photos also show
    "labels": ["fish", "person", "hand", "boat", "rock", "water", "grass", "sand", "wood", "rope", "sky", "box"],
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
LIMITS = {
    "probability": common.SHARE,
    "points_per_side": (1, 256),
    "box_nms_thresh": common.SHARE,
    "batch": (1, 4096),
}
GENERATOR = ("points_per_side", "pred_iou_thresh", "stability_score_thresh", "box_nms_thresh")


def build(params: dict, device: str = "cpu", offline: bool = True) -> "SamClip":
    """params: any of DEFAULTS. UserError for another name, NotRun where a checkpoint is missing."""
    own = STAND_IN if params.get("sam", "zoo") == "zoo" else {}
    return SamClip(common.options("sam-clip", DEFAULTS | own, params, LIMITS), device, offline)


def needs(options: dict) -> dict[str, str]:
    """Part -> its checkpoint as the options name it."""
    return {"clip": options["clip"], "sam": options["sam"]}


def crop(image: np.ndarray, mask: np.ndarray) -> Image.Image:
    """The masked part alone on a black square: black as in the public recipes, square since CLIP's own
    preparation would cut the ends off a long fish."""
    x0, y0, x1, y1 = masks.box_of(mask).astype(int)
    part = image[y0:y1, x0:x1] * mask[y0:y1, x0:x1, None]
    height, width = part.shape[:2]
    side = max(height, width)

    square = np.zeros((side, side, 3), np.uint8)
    top = (side - height) // 2
    left = (side - width) // 2
    square[top : top + height, left : left + width] = part
    return Image.fromarray(square)


class SamClip:
    """Models are loaded at the first photo (a finished run needs none); their files are looked for now."""

    def __init__(self, options: dict, device: str, offline: bool):
        _check_words(options)
        self.options, self.device, self.offline = options, device, offline
        self.paths = checkpoints.locate_all(needs(options), offline)
        self.key = {
            "method": "sam-clip",
            "options": {k: v for k, v in options.items() if k not in ("sam", "clip", "dtype")},
            "bf16": common.wants_bf16(options["dtype"], device, options["sam"]),
            "checkpoints": {name: checkpoints.fingerprint(path, name) for name, path in self.paths.items()},
            "code": cache.code_version(__name__),
        }

    @cached_property
    def generator(self):
        from segment_anything import SamAutomaticMaskGenerator

        from fishlib.removal.segmenters import sam

        model = sam.load(self.options["sam"], self.device, self.offline, self.options["dtype"])
        return SamAutomaticMaskGenerator(model, **{name: self.options[name] for name in GENERATOR})

    @cached_property
    def clip(self):
        """(CLIPModel, its processor), from local files only."""
        from fishlib.device import choose_device

        folder = self.paths["clip"]
        model, processor = zoo.load("clip") if folder is None else read_clip(folder)
        return model.to(choose_device(self.device)).eval(), processor

    @cached_property
    def words(self):
        """Tensor (labels, d) of unit vectors, computed once a run."""
        import torch

        model, processor = self.clip
        texts = [self.options["template"].replace("{}", label) for label in self.options["labels"]]
        tokens = processor(text=texts, return_tensors="pt", padding=True).to(model.device)
        try:
            with torch.no_grad():
                return features_of(model.get_text_features(**tokens))
        except (ValueError, IndexError) as error:  # by transformers' release
            longest = max(texts, key=len)
            raise UserError(f"sam-clip: the prompt {longest!r} is too long for CLIP; shorten labels.") from error

    def probabilities(self, crops: list[Image.Image]) -> np.ndarray:
        """(crops, labels): CLIP's softmax over the labels."""
        import torch

        model, processor = self.clip
        rows = [np.empty((0, len(self.options["labels"])), np.float32)]
        size = self.options["batch"]
        for start in range(0, len(crops), size):
            pixels = processor(images=crops[start : start + size], return_tensors="pt").to(model.device)
            with torch.no_grad():
                seen = features_of(model.get_image_features(**pixels))
                likeness = model.logit_scale.exp() * seen @ self.words.T
            rows.append(likeness.softmax(-1).cpu().numpy())
        return np.concatenate(rows)

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        return [self.one(common.rgb(image)) for image in images]

    def generate(self, image: np.ndarray) -> list[dict]:
        """The generator's records, their masks bool (H, W) of the image. It holds a hundred masks at the size of what
        it is given, so that is no larger than SAM looks at."""
        side = self.generator.predictor.model.image_encoder.img_size
        found = []
        for record in self.generator.generate(decode.working(image, side)):
            mask = masks.resize_mask(record["segmentation"], image.shape[:2])
            if mask.any():
                found.append({**record, "segmentation": mask})
        return found

    def one(self, image: np.ndarray) -> Segmentation:
        """The union of all masks that CLIP names as the first label; image: uint8 (H, W, 3) RGB."""
        labels = self.options["labels"]
        found = self.generate(image)
        chances = self.probabilities([crop(image, record["segmentation"]) for record in found])
        is_fish = chances[:, 0] >= self.options["probability"]

        side = self.options["points_per_side"]
        why = f"{is_fish.sum()} of {len(found)} masks named {labels[0]}, {side} x {side} points"
        told = [_tell(*pair, labels) for pair in zip(found, chances, strict=True)]
        detail = {"candidates": told, "why": why}
        if not is_fish.any():
            return Segmentation(status=NO_DETECTION, reason=why, detail=detail)

        fish = [record["segmentation"] for record, named in zip(found, is_fish, strict=True) if named]
        union = np.any(fish, axis=0)
        return Segmentation(union, masks.box_of(union), float(chances[is_fish, 0].max()), detail=detail)


def _check_words(options: dict) -> None:
    """UserError for labels and a template that make no prompts."""
    labels = options["labels"]
    if len(labels) < 2 or not all(isinstance(label, str) and label.strip() for label in labels):
        raise UserError("sam-clip needs words: what is wanted and at least one rival; correct labels in the profile.")
    if "{}" not in options["template"]:
        raise UserError("sam-clip puts each label in the place of {} in template; add {} to it in the profile.")


def _tell(record: dict, chances: np.ndarray, labels: list[str]) -> dict:
    """JSON-able facts of one mask; chances (labels,)."""
    return {
        "rle": masks.to_rle(record["segmentation"]),
        "label": labels[int(chances.argmax())],
        "fish": round(float(chances[0]), 4),
        "iou": round(float(record["predicted_iou"]), 4),
        "stability": round(float(record["stability_score"]), 4),
    }


def read_clip(folder: Path) -> tuple:
    """(CLIPModel, CLIPProcessor) of a folder of transformers, from its files only; NotRun where it holds none."""
    from transformers import CLIPModel, CLIPProcessor

    from fishlib.zoo.clip import picture_processor

    try:
        with quiet():
            model, told = CLIPModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
            processor = CLIPProcessor.from_pretrained(folder, local_files_only=True)
            processor.image_processor = picture_processor().from_pretrained(folder, local_files_only=True)
    except MemoryError:
        raise
    except Exception as error:  # which one depends on which of the folder's files is missing or odd
        raise NotRun(f"{folder} is no CLIP of transformers; run `fishlib weights fetch clip`.") from error
    if told["missing_keys"]:  # transformers fills in random numbers and goes on
        missing = len(told["missing_keys"])
        raise NotRun(f"{folder} lacks {missing} weights of CLIP; run `fishlib weights fetch clip`.")
    return model, processor


def features_of(answer):
    """Unit vectors (n, d) from what CLIPModel's get_..._features answer: a tensor, or from transformers 5 on an output
    whose pooler_output it is."""
    import torch

    found = answer if torch.is_tensor(answer) else answer.pooler_output
    return torch.nn.functional.normalize(found, dim=-1)
