"""Grounding DINO: a prompt in, boxes out. The package's own classes and, in fp32, its very numbers."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import box_convert, nms

from fishlib import zoo
from fishlib.device import choose_device
from fishlib.errors import NotRun
from fishlib.removal.segmenters import checkpoints, common
from fishlib.removal.segmenters.gdino_fast import prepare
from fishlib.zoo.quiet import quiet
from fishlib.zoo.text_encoder import reads_text_with

with quiet():
    import groundingdino
    from groundingdino.datasets import transforms as T
    from groundingdino.models import build_model
    from groundingdino.util.misc import clean_state_dict
    from groundingdino.util.slconfig import SLConfig
    from groundingdino.util.utils import get_phrases_from_posmap

CONFIGS = {96: "GroundingDINO_SwinT_OGC.py", 128: "GroundingDINO_SwinB_cfg.py"}  # Swin's width -> config
MEAN = [0.485, 0.456, 0.406]  # groundingdino.util.inference.load_image, as STD
STD = [0.229, 0.224, 0.225]


def build(config: str, bert: Path) -> nn.Module:
    """GroundingDINO of one of the package's configs, random but for its text encoder.

    bert: a local folder with that text encoder and its tokenizer; NotRun where it holds none.
    """
    args = SLConfig.fromfile(str(Path(groundingdino.__file__).parent / "config" / config))
    args.text_encoder_type = str(bert)
    args.use_checkpoint = args.use_transformer_ckpt = False  # saves memory in training only, and warns
    with quiet(), reads_text_with(*read_bert(bert)):
        return build_model(args)


def read_bert(folder: Path) -> tuple:
    """(tokenizer, BertModel) of a folder of transformers, from its files only; NotRun where it holds none."""
    from transformers import AutoTokenizer, BertModel

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            bert = BertModel.from_pretrained(folder, local_files_only=True)
    except MemoryError:
        raise
    except Exception as error:  # which one depends on which of the folder's files is missing or odd
        raise NotRun(f"{folder} is no BERT of transformers; run `fishlib weights fetch bert`.") from error

    marks = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"])  # by which the detector parts a caption
    words = bert.get_input_embeddings().num_embeddings
    if None in marks or tokenizer.unk_token_id in marks or len(tokenizer) > words:
        raise NotRun(f"{folder} has a tokenizer of another model than BERT; run `fishlib weights fetch bert`.")
    return tokenizer, bert


def load(spec: str, bert: str = "bert", device: str = "cpu", offline: bool = True, dtype: str = "auto") -> nn.Module:
    """A prepared detector. spec: "zoo", "swint_ogc", "swinb_cogcoor" or a file of either; bert: a folder.

    The weights stay mapped from the file, so that they are in memory once. Raises NotRun when a file is missing or
    holds something else.
    """
    bf16 = common.wants_bf16(dtype, device, spec)
    lean = dtype != "fp32"
    path = checkpoints.locate("gdino", spec, offline)
    device = choose_device(device)
    if path is None:
        return prepare(zoo.load("gdino"), device, bf16, lean)

    folder = checkpoints.locate("bert", bert, offline)
    state = clean_state_dict(checkpoints.read(path))
    patches = state.get("backbone.0.patch_embed.proj.weight")
    width = None if patches is None or not patches.ndim else patches.shape[0]
    if width not in CONFIGS:
        raise NotRun(f"{path} holds no Grounding DINO with Swin-T or Swin-B; fetch groundingdino_swint_ogc.")

    model = build(CONFIGS[width], folder)
    try:
        missing = checkpoints.put(state, model, strict=False)  # it also holds what only training needs
    except RuntimeError as error:
        raise NotRun(f"{path} does not fit Grounding DINO and {folder}; fetch both again.") from error
    if missing:
        raise NotRun(f"{path} lacks {len(missing)} weights of Grounding DINO; fetch it again.")
    return prepare(model, device, bf16, lean)


def to_input(model: nn.Module, image: np.ndarray) -> Tensor:
    """uint8 (H, W, 3) RGB -> float32 (3, h, w) as load_image: short side 800, long at most 1333.

    A model that names its own `image_side` (the zoo's) resizes by itself.
    """
    steps = [T.ToTensor(), T.Normalize(MEAN, STD)]
    if not hasattr(model, "image_side"):
        steps.insert(0, T.RandomResize([800], max_size=1333))
    pixels, _ = T.Compose(steps)(Image.fromarray(image), None)
    return pixels


@torch.no_grad()
def detect(
    model: nn.Module, images: list[np.ndarray], caption: str, box_threshold: float,
    text_threshold: float = 0.25, nms_iou: float = 1.0, max_boxes: int | None = None,
) -> list[tuple[np.ndarray, np.ndarray, list[str]]]:  # fmt: skip
    """For each photo, best first: boxes float32 (n, 4) XYXY in its pixels, scores (n,), phrases found.

    The package's `predict`, then NMS (overlap above nms_iou drops the weaker) and at most max_boxes.
    Photos of one size share a pass. text_threshold only chooses the words of the phrase, as in the package.
    """
    caption = common.prompt(caption)
    inputs = [to_input(model, image) for image in images]
    device = next(model.parameters()).device

    found = {}
    for shape in dict.fromkeys(x.shape for x in inputs):
        same = [i for i, x in enumerate(inputs) if x.shape == shape]
        batch = torch.stack([inputs[i] for i in same]).to(device)
        with quiet():
            out = model(batch, captions=[caption] * len(same))
        chances = out["pred_logits"].cpu().sigmoid()  # (photos, queries, tokens)
        for i, chance, boxes in zip(same, chances, out["pred_boxes"].cpu(), strict=True):
            height, width = images[i].shape[:2]
            corners = box_convert(boxes, "cxcywh", "xyxy") * torch.tensor([width, height, width, height])
            kept = _best(corners, chance.max(1)[0], box_threshold, nms_iou)[:max_boxes]
            found[i] = (
                np.clip(corners[kept].numpy(), 0, [width, height, width, height]).astype(np.float32),
                chance.max(1)[0][kept].numpy(),
                _phrases(model.tokenizer, caption, chance[kept] > text_threshold),
            )
    return [found[i] for i in range(len(images))]


def _best(corners: Tensor, scores: Tensor, box_threshold: float, nms_iou: float) -> Tensor:
    """Numbers of the queries above the threshold that no better one overlaps by more than nms_iou; best first.

    corners (queries, 4) XYXY, scores (queries,).
    """
    above = torch.nonzero(scores > box_threshold)[:, 0]
    return above[nms(corners[above], scores[above], nms_iou)]


def _phrases(tokenizer, caption: str, named: Tensor) -> list[str]:
    """The words of the caption that each box was named by; named (n, tokens) bool."""
    tokens = tokenizer(caption)
    return [get_phrases_from_posmap(row, tokens, tokenizer).replace(".", "") for row in named]
