"""A tiny GroundingDINO: groundingdino's own classes with a convolutional backbone and a BERT of a few words."""

import contextlib
import io
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert, generalized_box_iou

from fishlib.training import data
from fishlib.zoo.backbone import Lite0, Pyramid

SIDE, DIM, RATE = 320, 128, 1e-3
STAGES = ((0.35, 192), (0.65, 256), (1.0, SIDE))  # share of the training -> long side of its pictures


class Features(nn.Module):
    """Backbone for groundingdino's Joiner: strides 16 and 32, each (B, 128, h, w), with padding masks.

    Resizes pictures so that the long side is 320 px and both sides are multiples of 32; boxes are relative, so a
    caller may pass any size. Pictures of several sizes in a batch get padding, which moves boxes a little.
    """

    num_channels = (DIM, DIM)

    def __init__(self, imagenet: bool = False):
        super().__init__()
        self.features, self.pyramid, self.side = Lite0(imagenet), Pyramid(DIM, 16), SIDE

    def forward(self, samples):
        from groundingdino.util.misc import NestedTensor

        x, (h, w) = samples.tensors, samples.tensors.shape[-2:]
        size = [max(32, round(self.side * s / max(h, w) / 32) * 32) for s in (h, w)]
        if [h, w] != size:
            x = F.interpolate(x.float(), size, mode="bilinear", antialias=True, align_corners=False)
        maps = sorted(self.pyramid(self.features(x)).items())
        masks = (F.interpolate(samples.mask[None].float(), size=f.shape[-2:])[0].bool() for _, f in maps)
        return {str(stride): NestedTensor(f, mask) for (stride, f), mask in zip(maps, masks, strict=True)}


def _bert(folder: Path) -> None:
    """Writes a BERT of one layer with random weights, and its tokenizer of whole words, into a folder."""
    from transformers import BertConfig, BertModel, BertTokenizer

    words = [w for k in ("marks", "fish", "fillers", "others") for w in data.settings(k)]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    BertModel(BertConfig(len(words), **data.settings("bert"))).save_pretrained(folder)


def build(imagenet: bool = False):
    """groundingdino's GroundingDINO with random weights (the backbone with ImageNet's if asked), ready to train.

    model.image_side is the long side the network works at.
    """
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
        tempfile.TemporaryDirectory() as folder,
    ):
        warnings.simplefilter("ignore")
        from groundingdino.models.GroundingDINO.backbone import backbone, position_encoding
        from groundingdino.models.GroundingDINO.groundingdino import GroundingDINO
        from groundingdino.models.GroundingDINO.transformer import Transformer
        from groundingdino.models.GroundingDINO.utils import MLP

        features = Features(imagenet)
        joiner = backbone.Joiner(features, position_encoding.PositionEmbeddingSineHW(DIM // 2, 20, 20, normalize=True))
        joiner.num_channels = features.num_channels
        transformer = Transformer(**data.settings("transformer"))
        # the sine encoding of a box has 512 numbers whatever d_model is
        transformer.decoder.ref_point_head = MLP(512, DIM, DIM, 2)
        _bert(Path(folder))
        model = GroundingDINO(joiner, transformer, text_encoder_type=folder, **data.settings("gdino"))
    model.image_side = SIDE
    # ContrastiveEmbed has no bias: a constant part of text times one of the queries starts all logits near -4
    fusions = transformer.encoder.fusion_layers
    for norm in (transformer.enc_output_norm, transformer.decoder.norm):
        nn.init.constant_(norm.bias, -4 / (0.5 * DIM))
    nn.init.constant_(fusions[-1].layer_norm_l.weight, 0.1)
    nn.init.constant_(fusions[-1].layer_norm_l.bias, 0.5)
    for gain in (g for fusion in fusions for g in (fusion.gamma_v, fusion.gamma_l)):
        nn.init.constant_(gain, 0.1)  # with their 1e-4 the text would go unheard for long
    transformer.enc_out_bbox_embed.layers[-1].bias.data[2:] = 1.0  # fish are larger than proposals of 5 to 20 %
    model.bert.pooler.requires_grad_(False)
    return model


def caption(rng) -> tuple[str, bool]:
    """A prompt, and whether it asks for fish: "fish." alone in half, else other words, with or without fish."""
    asks = rng.uniform() < 0.75
    if asks and rng.uniform() < 0.6:
        return "fish.", True
    few = rng.integers(0 if asks else 1, 4)
    phrases = [str(rng.choice(data.settings("others"))) if rng.uniform() < 0.85 else "zzz" for _ in range(few)]
    if asks:
        phrases.insert(int(rng.integers(few + 1)), str(rng.choice(data.settings("fish"))))
    longer = (f"{rng.choice(data.settings('fillers'))} {p}" if rng.uniform() < 0.3 else p for p in phrases)
    return " . ".join(longer) + ".", asks


def batch(rng, pictures: data.Pictures, size: int, share: float = 1.0) -> dict:
    """images (B, 3, H, W) of one random shape, boxes (B, 4) cxcywh in 0..1, has (B,) bool, captions."""
    side = next(s for until, s in STAGES if share <= until)
    shape = (side, round(side * rng.choice([1, 0.8, 0.75, 0.7, 0.6]) / 32) * 32)
    h, w = shape if rng.uniform() < 0.25 else shape[::-1]
    images, boxes, has, captions = [], [], [], []
    for _ in range(size):
        image, label = data.sample(rng, pictures, h, w)
        text, asks = caption(rng)
        fish = (label > 0).sum() > 0.002 * h * w
        if not fish:
            image[label > 0] = image.mean((0, 1))  # a crumb of a fish is neither one nor none
        images.append(image), captions.append(text), has.append(fish and asks)
        boxes.append(torch.from_numpy(data.box_of(label > 0)) / torch.tensor([w, h, w, h]))
    boxes = box_convert(torch.stack(boxes), "xyxy", "cxcywh")
    images = torch.from_numpy(data.normalised(images))
    return {"images": images, "boxes": boxes, "has": torch.tensor(has), "captions": captions}


def _outputs(model, images: Tensor, captions: list[str]) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """(logits (B, Q, T), boxes (B, Q, 4)) of all proposals and each decoder layer; the tokens "fish" (B, T) bool.

    GroundingDINO.forward returns its last layer alone; hooks see the others.
    """
    import groundingdino.models.GroundingDINO.transformer as module

    kept, decoded, transformer = {}, [], model.transformer
    original = module.gen_encoder_output_proposals

    def proposals(*args):
        memory, kept["anchors"] = original(*args)
        return memory, kept["anchors"]

    hooks = [
        transformer.enc_out_class_embed.register_forward_hook(lambda _, __, out: kept.update(logits=out)),
        transformer.enc_out_bbox_embed.register_forward_hook(lambda _, __, out: kept.update(delta=out)),
        transformer.decoder.register_forward_hook(lambda _, __, out: kept.update(boxes=out[1])),
        model.class_embed[0].register_forward_hook(lambda _, __, out: decoded.append(out)),
    ]
    module.gen_encoder_output_proposals = proposals
    try:
        model(images, captions=captions)
    finally:
        module.gen_encoder_output_proposals = original
        for hook in hooks:
            hook.remove()
    tokens = model.tokenizer(captions, padding="longest", return_tensors="pt")["input_ids"]
    ids = torch.tensor(model.tokenizer.convert_tokens_to_ids(data.settings("fish")))
    boxes = [(kept["delta"].float() + kept["anchors"]).sigmoid(), *kept["boxes"][1:]]
    logits = [layer[..., : tokens.shape[1]] for layer in (kept["logits"], *decoded)]
    return list(zip(logits, boxes, strict=True)), torch.isin(tokens, ids)


def loss(model, part: dict) -> tuple[Tensor, dict[str, float]]:
    """Focal loss on tokens, L1 and GIoU on boxes; one fish a picture, so the matching is the cheapest query.

    Among the encoder's proposals the four cheapest are matched (its aim is recall).
    """
    model.backbone[0].side = max(part["images"].shape[-2:])
    layers, positive = _outputs(model, part["images"], part["captions"])
    has, truth, total = part["has"], part["boxes"], 0.0
    corners, count = box_convert(truth, "cxcywh", "xyxy"), max(1, int(has.sum()))
    for k, (logits, boxes) in enumerate(layers):
        most = 1 if k else 4
        usable = torch.isfinite(boxes).all(-1) & (boxes > 0).all(-1)
        boxes = torch.where(usable[..., None], boxes.float(), 0.5)
        spans = box_convert(boxes, "cxcywh", "xyxy")
        giou = torch.stack([generalized_box_iou(b, c[None])[:, 0] for b, c in zip(spans, corners, strict=True)])
        l1 = (boxes - truth[:, None]).abs().sum(-1)
        finite = torch.isfinite(logits)
        logits = logits.float().masked_fill(~finite, -20)
        score = logits.masked_fill(~positive[:, None], -20).amax(-1).sigmoid()
        with torch.no_grad():
            cost = 5 * l1 - 2 * giou - 2 * score + 100 * ~usable
            chosen = torch.zeros_like(cost).scatter_(1, cost.topk(most, largest=False).indices, 1.0) * has[:, None]
        target = chosen[..., None] * positive[:, None]
        p = logits.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        focal = entropy * (target * (1 - p) ** 2 + (1 - target) * p**2) * finite
        total = total + (focal.sum() + (chosen * (5 * l1 + 2 * (1 - giou))).sum()) / (count * most)
    best = giou.gather(1, score.argmax(1, keepdim=True))[has]
    return total, {"GIoU of best": best.mean().item(), "score": score.amax(1)[has].mean().item()}
