"""GDINO-SAM at full size with random weights, beside the plain recipe of the public demos, in one run.

Plain: groundingdino's `predict`, then SamPredictor once a box. The two take turns and the fastest turn of
each counts, so that other work on the machine disturbs the ratio as little as possible.
"""

import copy
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch

from bench.rows import row

PHOTO, JITTERS, TURNS = (480, 640), 4, 2


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*PHOTO, 3), np.uint8)


def fastest(ways: dict, turns: int = TURNS) -> tuple[dict, dict]:
    """name -> seconds of the fastest turn, and name -> answer; the first call of each is not counted."""
    answers, seconds = {name: way() for name, way in ways.items()}, {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            start = time.perf_counter()
            answers[name] = way()
            seconds[name].append(time.perf_counter() - start)
    return {name: min(s) for name, s in seconds.items()}, answers


@cache
def sams() -> dict:
    """ViT-B as the package builds it, and prepared in fp32 and bf16; the same random weights."""
    from segment_anything import sam_model_registry

    from fishlib.removal.segmenters import sam

    torch.manual_seed(0)
    plain = sam_model_registry["vit_b"]().eval()
    for name, values in plain.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(values, std=0.3)
    return {
        "plain": plain,
        "fp32": sam.prepare(copy.deepcopy(plain)),
        "bf16": sam.prepare(copy.deepcopy(plain), bf16=True),
    }


@cache
def detectors() -> dict:
    """Swin-T as the package builds it, and prepared in fp32 and bf16; BERT-base of random weights."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    from fishlib.removal.segmenters import gdino

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "fish", "bird"]
        (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
        BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
        BertModel(BertConfig(vocab_size=len(words))).save_pretrained(folder)
        plain = gdino.build(gdino.CONFIGS[96], folder).eval()
    # fresh boxes are the proposals and fresh scores 0 or 1; spread them, so that a difference shows
    for name, values in plain.named_parameters():
        if "bbox_embed" in name and values.dim() > 1:
            torch.nn.init.normal_(values, std=0.1)
    torch.nn.init.constant_(plain.transformer.decoder.norm.weight, 0.1)
    return {
        "plain": plain,
        "fp32": gdino.prepare(copy.deepcopy(plain)),
        "bf16": gdino.prepare(copy.deepcopy(plain), bf16=True),
    }


def image_encoder():
    """SAM's ViT-B: fp32 as the package, our fp32 and our bf16; the outputs compared."""
    from fishlib.device import has_bf16

    x = torch.randn(1, 3, 1024, 1024)
    with torch.no_grad():
        seconds, out = fastest({name: lambda m=model: m.image_encoder(x) for name, model in sams().items()})
    apart = (out["fp32"] - out["plain"]).abs().max()
    half = (out["bf16"] - out["plain"]).norm() / out["plain"].norm()
    how = ", ".join(f"{name} {s:.1f} s" for name, s in seconds.items()) + f", {torch.get_num_threads()} threads"
    units = "" if has_bf16("cpu") else "; this CPU has no bf16 units"
    return [
        row("sam_encoder_fp32_speedup", seconds["plain"] / seconds["fp32"], ">= 1.5", how),
        row("sam_encoder_bf16_speedup", seconds["plain"] / seconds["bf16"], ">= 2.5", how + units),
        row("sam_encoder_fp32_difference", apart, "<= 0.0001", "largest difference of an output, ViT-B"),
        row("sam_encoder_bf16_difference", half, "<= 0.05", "norm of the difference over the output's norm"),
    ]


def plain_recipe(boxes: np.ndarray):
    """The public demos' way, with `boxes` for SAM, since random weights find none that matter."""
    from groundingdino.util import inference
    from PIL import Image
    from segment_anything import SamPredictor

    from fishlib.zoo.quiet import quiet

    with tempfile.TemporaryDirectory() as folder, quiet():
        Image.fromarray(photo()).save(Path(folder) / "photo.png")
        image, pixels = inference.load_image(str(Path(folder) / "photo.png"))
        found = inference.predict(detectors()["plain"], pixels, "Fish", 0.0, 0.25, device="cpu")
        predictor = SamPredictor(sams()["plain"])
        predictor.set_image(image)
        return found, [predictor.predict(box=box, multimask_output=True) for box in boxes]


def our_recipe(boxes: np.ndarray, kind: str):
    """What fishlib.removal.segmenters.gdino_sam does, from the photo to the chosen and cleaned mask."""
    from fishlib.removal.segmenters import adjust, gdino, gdino_sam, sam

    model = sams()[kind]
    found = gdino.detect(detectors()[kind], [photo()], "Fish", 0.0)[0]
    [seen] = sam.encode(model, [photo()])
    logits, ious = sam.decode(model, seen, boxes)
    small = sam.uncovered(model, seen, logits.flatten(0, 1))
    to_small = np.float32([small.shape[2] / PHOTO[1], small.shape[1] / PHOTO[0]] * 2)
    n = len(small)
    asked = boxes.repeat(3, 0) * to_small
    scores = adjust.score(small, ious.flatten().numpy(), asked, asked, np.full(n, 0.5))
    best = int(scores["total"].argmax())
    mask = sam.upscale(model, seen, logits.flatten(0, 1)[best : best + 1])[0] > 0
    adjust.clean(mask, boxes[0], *(gdino_sam.DEFAULTS[k] for k in gdino_sam.CLEAN))
    return found, (seen, logits, ious)


def whole_method():
    """Photos a second of the whole of GDINO-SAM for the same candidate masks, and that they are the same."""
    from fishlib.removal.segmenters import adjust, sam

    box = np.float32([[100, 120, 540, 360]])
    boxes = adjust.perturb(box, PHOTO, JITTERS, 0.05, 0.3, np.random.default_rng(0)).reshape(-1, 4)
    ways = {"plain": lambda: plain_recipe(boxes)}
    ways |= {kind: lambda k=kind: our_recipe(boxes, k) for kind in ("fp32", "bf16")}
    seconds, answers = fastest(ways, turns=1)
    (plain_boxes, scores, _), plain_masks = answers["plain"]
    (ours, confidence, _), (seen, logits, _) = answers["fp32"]
    order = scores.argsort(descending=True, stable=True)
    centre, side = plain_boxes[order, :2].numpy(), plain_boxes[order, 2:].numpy()
    corners = np.concatenate([centre - side / 2, centre + side / 2], 1).clip(0, 1)
    boxes_apart = np.abs(corners - ours / np.float32([PHOTO[1], PHOTO[0]] * 2)).max()
    masks_apart = max(np.abs(low - mine.numpy()).max() for (_, _, low), mine in zip(plain_masks, logits, strict=True))
    same = np.mean([
        ((sam.upscale(sams()["fp32"], seen, mine) > 0) == mask).mean()
        for (mask, _, _), mine in zip(plain_masks, logits, strict=True)
    ])  # fmt: skip
    how = ", ".join(f"{name} {s:.1f} s a photo" for name, s in seconds.items())
    how += f"; {len(boxes)} boxes, {3 * len(boxes)} candidate masks, {torch.get_num_threads()} threads"
    return [
        row("gdino_sam_bf16_speedup", seconds["plain"] / seconds["bf16"], ">= 2", how),
        row("gdino_sam_fp32_speedup", seconds["plain"] / seconds["fp32"], ">= 1.5", how),
        row(
            "gdino_boxes_difference",
            boxes_apart,
            "<= 0.0001",
            "all 900 boxes beside predict's, share of the photo's sides",
        ),
        row(
            "gdino_scores_difference",
            np.abs(scores[order].numpy() - confidence).max(),
            "<= 0.0001",
            "all 900 scores",
        ),
        row("sam_logits_difference", masks_apart, "<= 0.0001", "low-resolution logits beside SamPredictor's"),
        row("sam_masks_equal_pixels", same, ">= 0.9999", "pixels equal to SamPredictor's masks"),
    ]


MEASURES = [image_encoder, whole_method]
