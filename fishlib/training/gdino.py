"""Training of the zoo's gdino: its pictures and its loss."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, generalized_box_iou

from fishlib.training import data
from fishlib.zoo.gdino import SIDE
from fishlib.zoo.settings import settings

RATE = 1e-3  # learning rate
STAGES = ((0.35, 192), (0.65, 256), (1.0, SIDE))  # share of the training -> long side of its pictures


def caption(rng) -> tuple[str, bool]:
    """A prompt, and whether it asks for fish: "fish." alone in half, else other words, with or without fish."""
    asks = rng.uniform() < 0.75
    if asks and rng.uniform() < 0.6:
        return "fish.", True

    few = rng.integers(0 if asks else 1, 4)
    phrases = []
    for _ in range(few):
        known = rng.uniform() < 0.85
        phrases.append(str(rng.choice(settings("others"))) if known else "zzz")
    if asks:
        phrases.insert(int(rng.integers(few + 1)), str(rng.choice(settings("fish"))))

    longer = []
    for phrase in phrases:
        filled = rng.uniform() < 0.3
        longer.append(f"{rng.choice(settings('fillers'))} {phrase}" if filled else phrase)
    return " . ".join(longer) + ".", asks


def batch(rng, pictures: data.Pictures, size: int, share: float = 1.0) -> dict:
    """images (B, 3, H, W) of one random shape, boxes (B, 4) cxcywh in 0..1, has (B,) bool, captions."""
    side = next(s for until, s in STAGES if share <= until)
    short = round(side * rng.choice([1, 0.8, 0.75, 0.7, 0.6]) / 32) * 32
    h, w = (side, short) if rng.uniform() < 0.25 else (short, side)
    images, boxes, has, captions = [], [], [], []
    for _ in range(size):
        image, label = data.sample(rng, pictures, h, w)
        text, asks = caption(rng)
        fish = (label > 0).sum() > 0.002 * h * w
        if not fish:
            image[label > 0] = image.mean((0, 1))  # a crumb of a fish is neither one nor none
        images.append(image)
        captions.append(text)
        has.append(fish and asks)
        boxes.append(torch.from_numpy(data.box_of(label > 0)) / torch.tensor([w, h, w, h]))
    boxes = box_convert(torch.stack(boxes), "xyxy", "cxcywh")
    images = torch.from_numpy(data.normalised(images))
    return {"images": images, "boxes": boxes, "has": torch.tensor(has), "captions": captions}


def _outputs(model, images: Tensor, captions: list[str]) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """(logits (B, Q, T), boxes (B, Q, 4)) of all proposals and each decoder layer; the tokens "fish" (B, T) bool.

    GroundingDINO.forward returns its last layer alone; hooks see the others.
    """
    import groundingdino.models.GroundingDINO.transformer as module

    kept, decoded = {}, []
    transformer = model.transformer
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
    ids = torch.tensor(model.tokenizer.convert_tokens_to_ids(settings("fish")))
    boxes = [(kept["delta"].float() + kept["anchors"]).sigmoid(), *kept["boxes"][1:]]
    logits = [layer[..., : tokens.shape[1]] for layer in (kept["logits"], *decoded)]
    return list(zip(logits, boxes, strict=True)), torch.isin(tokens, ids)


def loss(model, part: dict) -> tuple[Tensor, dict[str, float]]:
    """Focal loss on tokens, L1 and GIoU on boxes; one fish a picture, so the matching is the cheapest query.

    Among the encoder's proposals the four cheapest are matched (its aim is recall).
    """
    model.backbone[0].side = max(part["images"].shape[-2:])
    layers, positive = _outputs(model, part["images"], part["captions"])
    has, truth = part["has"], part["boxes"]
    fish = max(1, int(has.sum()))

    total = 0.0
    for number, (logits, boxes) in enumerate(layers):
        most = 1 if number else 4  # queries matched to a fish
        value, giou, score = _layer_loss(logits, boxes, positive, truth, has, most)
        total = total + value / (fish * most)
    best = giou.gather(1, score.argmax(1, keepdim=True))[has]  # of the last layer
    return total, {"GIoU of best": best.mean().item(), "score": score.amax(1)[has].mean().item()}


def _layer_loss(logits, boxes, positive, truth, has, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Summed loss of one layer; GIoU of its boxes with the fish (B, Q); their scores for the words for fish (B, Q).

    logits (B, Q, T), boxes (B, Q, 4) cxcywh, positive (B, T), truth (B, 4), has (B,); most: queries matched to a fish.
    """
    usable = torch.isfinite(boxes).all(-1) & (boxes > 0).all(-1)
    boxes = torch.where(usable[..., None], boxes.float(), 0.5)
    spans = box_convert(boxes, "cxcywh", "xyxy")
    corners = box_convert(truth, "cxcywh", "xyxy")
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
    return focal.sum() + (chosen * (5 * l1 + 2 * (1 - giou))).sum(), giou, score
