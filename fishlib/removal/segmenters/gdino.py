"""Grounding DINO: a prompt in, boxes out. The package's own classes and, in fp32, its very numbers."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import box_convert, nms

from fishlib import zoo
from fishlib.device import choose_device
from fishlib.errors import UserError
from fishlib.removal.segmenters import common
from fishlib.removal.segmenters.gdino_fast import prepare

with common.quiet():
    import groundingdino
    from groundingdino.datasets import transforms as T
    from groundingdino.models import build_model
    from groundingdino.util.misc import clean_state_dict
    from groundingdino.util.slconfig import SLConfig
    from groundingdino.util.utils import get_phrases_from_posmap

CONFIGS = {96: "GroundingDINO_SwinT_OGC.py", 128: "GroundingDINO_SwinB_cfg.py"}  # Swin's width -> config
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # groundingdino.util.inference.load_image


def build(config: str, bert: Path) -> nn.Module:
    """GroundingDINO of one of the package's configs; bert: a local folder with its text encoder."""
    args = SLConfig.fromfile(str(Path(groundingdino.__file__).parent / "config" / config))
    args.text_encoder_type = str(bert)
    args.use_checkpoint = args.use_transformer_ckpt = False  # saves memory in training only, and warns
    with common.quiet():
        return build_model(args)


def load(spec: str, bert: str = "bert", device: str = "cpu", offline: bool = True, dtype: str = "auto") -> nn.Module:
    """A prepared detector. spec: "zoo", "swint_ogc", "swinb_cogcoor" or a file of either; bert: a folder.

    Raises NotRun when a file is missing, UserError when it holds something else.
    """
    bf16, path, device = common.wants_bf16(dtype, device, spec), common.locate(spec, offline), choose_device(device)
    if path is None:
        return prepare(zoo.load("gdino"), device, bf16, dtype != "fp32")
    folder = common.locate(bert, offline)
    state = clean_state_dict(common.read_state(path))
    width = state.get("backbone.0.patch_embed.proj.weight", torch.empty(0)).shape[0]
    if width not in CONFIGS:
        raise UserError(f"{path} holds no Grounding DINO with Swin-T or Swin-B; fetch groundingdino_swint_ogc.")
    model = build(CONFIGS[width], folder)
    try:
        missing = model.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:
        raise UserError(f"{path} does not fit Grounding DINO and {folder}; fetch both again.") from error
    if missing:
        raise UserError(f"{path} lacks {len(missing)} weights of Grounding DINO; fetch it again.")
    return prepare(model, device, bf16, dtype != "fp32")


def to_input(model: nn.Module, image: np.ndarray) -> Tensor:
    """uint8 (H, W, 3) RGB -> float32 (3, h, w) as load_image: short side 800, long at most 1333.

    A model that names its own `image_side` (the zoo's) resizes by itself.
    """
    own = [] if hasattr(model, "image_side") else [T.RandomResize([800], max_size=1333)]
    return T.Compose([*own, T.ToTensor(), T.Normalize(MEAN, STD)])(Image.fromarray(image), None)[0]


@torch.no_grad()
def detect(
    model: nn.Module, images: list[np.ndarray], caption: str, box_threshold: float,
    text_threshold: float = 0.25, nms_iou: float = 1.0, max_boxes: int | None = None,
) -> list[tuple[np.ndarray, np.ndarray, list[str]]]:  # fmt: skip
    """For each photo, best first: boxes float32 (n, 4) XYXY in its pixels, scores (n,), phrases found.

    The package's `predict`, then NMS (overlap above nms_iou drops the weaker) and at most max_boxes.
    Photos of one size share a pass. text_threshold only chooses the words of the phrase, as in the package.
    """
    caption, inputs, found = (
        common.prompt(caption),
        [to_input(model, image) for image in images],
        [None] * len(images),
    )
    tokens = model.tokenizer(caption)
    device = next(model.parameters()).device
    for shape in dict.fromkeys(x.shape for x in inputs):
        same = [i for i, x in enumerate(inputs) if x.shape == shape]
        with common.quiet():
            out = model(torch.stack([inputs[i] for i in same]).to(device), captions=[caption] * len(same))
        for i, logits, boxes in zip(same, out["pred_logits"].cpu().sigmoid(), out["pred_boxes"].cpu(), strict=True):
            scores = logits.max(1)[0]
            h, w = images[i].shape[:2]
            corners = box_convert(boxes, "cxcywh", "xyxy") * torch.tensor([w, h, w, h])
            kept = torch.nonzero(scores > box_threshold)[:, 0]
            kept = kept[nms(corners[kept], scores[kept], nms_iou)][:max_boxes]
            phrases = [get_phrases_from_posmap(logits[k] > text_threshold, tokens, model.tokenizer) for k in kept]
            boxes = np.clip(corners[kept].numpy(), 0, [w, h, w, h]).astype(np.float32)
            found[i] = (boxes, scores[kept].numpy(), [phrase.replace(".", "") for phrase in phrases])
    return found
