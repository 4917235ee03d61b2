"""The stand-ins: their targets on held-out drawn pictures, bf16 beside fp32, text and photos read, memory."""

import subprocess
import sys
import tempfile
import time
import timeit
import warnings
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import psutil

from bench.rows import row

FISH, EMPTY = 100, 60  # held-out drawn pictures, seed data.HELD_OUT_SEED
ALIKE = 40  # of them, for bf16 beside fp32
READ = 20  # photos of 12 MP, decoded ahead or in turn
BLOCK, PHOTOS = 100, 1000  # memory is compared after so many photos


@cache
def pictures() -> list[tuple[np.ndarray, np.ndarray]]:
    """(photo uint8 (H, W, 3), mask bool (H, W), empty without fish), drawn as no training saw them."""
    from fishlib.training import data

    with tempfile.TemporaryDirectory() as folder:
        drawn = data.Pictures(
            data.draw_all(Path(folder) / "drawn", FISH + EMPTY, data.HELD_OUT_SEED, 2, EMPTY / (FISH + EMPTY), 640)
        )
        return [(photo.copy(), label > 0) for photo, label in drawn]


def quality():
    """Every target of the zoo that drawn pictures can show; the cards have it for more of them."""
    from fishlib.training import evaluate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figures = evaluate.score(pictures(), evaluate.load_models())
    count = sum(mask.any() for _, mask in pictures())
    how = f"{count} held-out drawn pictures with fish, {len(pictures()) - count} without"
    for (kind, model, figure), (sign, bound) in evaluate.TARGETS.items():
        if kind == "drawn":
            name = f"zoo_{model}_{'_'.join(figure.replace(':', '').lower().split())}"
            yield row(name, figures[model][figure], f"{sign} {bound:g}", how)


def bf16_beside_fp32():
    """The masks SAM makes, each beside its fellow, and the one that is chosen and cleaned, near ties among them."""
    from fishlib.photos import masks
    from fishlib.removal import segmenters

    photos = [photo for photo, mask in pictures() if mask.any()][:ALIKE]
    ids, made, final = [str(k) for k in range(len(photos))], [], []
    full, half = (segmenters.build("gdino-sam", {"dtype": d}, "cpu").segment(photos, ids) for d in ("fp32", "bf16"))
    for a, b in zip(full, half, strict=True):
        both = a.mask is not None and b.mask is not None
        final.append(masks.iou(a.mask, b.mask) if both else float(a.status == b.status))
        pairs = [[masks.from_rle(c["rle"]) for c in found.detail.get("candidates", [])] for found in (a, b)]
        if len(pairs[0]) == len(pairs[1]):  # else a box fell on one side of a threshold; the final masks show it
            made += [masks.iou(*pair) for pair in zip(*pairs, strict=True) if any(m.any() for m in pair)]
    how = f"GDINO-SAM on {len(photos)} held-out drawn pictures, mean IoU of bf16 and fp32"
    return [
        row("zoo_candidates_bf16_fp32_iou", np.mean(made), ">= 0.99", f"{how}: {len(made)} candidate masks"),
        row("zoo_masks_bf16_fp32_iou", np.mean(final), ">= 0.99", f"{how}: final masks, smallest {min(final):.3f}"),
    ]


def adjustment_beside_plain_box():
    """Every step of the mask adjustment left out, beside SAM's single best mask of the best box as it is."""
    from fishlib.photos import masks
    from fishlib.removal import ablation
    from fishlib.removal.segmenters import gdino_sam

    method, ious = gdino_sam.build({}), {}
    for k, (photo, fish) in enumerate(pair for pair in pictures() if pair[1].any()):
        steps = method.one(photo).detail.get("steps", {})
        found = {name: masks.from_rle(rle) if rle else fish & False for name, rle in steps.items()}
        ious[k] = {name: masks.iou(mask, fish) for name, mask in found.items()}
    table = ablation.summary(pd.DataFrame.from_dict(ious, orient="index").fillna(0.0), 0.8)
    said = [f"{r.steps} {r.mean_iou:.4f} ({r.difference:+.4f}, {r.lo:+.4f} to {r.hi:+.4f})" for r in table.itertuples()]
    how = f"lower end of the 95 % interval of the paired difference in IoU, {len(ious)} held-out drawn pictures: "
    return [row("adjustment_over_plain_box_low", table.lo[0], ">= 0", how + "; ".join(said))]


def text_read_once():
    from fishlib.removal import segmenters

    photos, calls = [photo for photo, _ in pictures()[:6]], {"gdino-sam": 0, "sam-clip": 0}
    for method in calls:
        segmenter = segmenters.build(method, {}, "cpu")
        reader = segmenter.detector.bert.bert if method == "gdino-sam" else segmenter.clip[0].text_model

        def count(*_, method=method):
            calls[method] += 1

        reader.register_forward_pre_hook(count)
        segmenter.segment(photos, list("abcdef"))
    how = f"calls of the text encoder over {len(photos)} photos: {calls}"
    return [row("text_encoder_calls_a_run", max(calls.values()), "<= 1", how)]


def photos_read_ahead():
    """The segments stage's reading, with a model that computes elsewhere for as long as a photo takes to decode."""
    from fishlib.photos import decode

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        cv2.imwrite(str(path), cv2.resize(pictures()[0][0], (4000, 3000)))
        seconds = {}

        def load(_):
            return decode.working(decode.decode(path))

        pause = min(timeit.repeat(lambda: load(path), number=1, repeat=5))  # the first are slower
        ways = {
            "in turn": lambda rows: zip(rows, map(load, rows), strict=True),
            "ahead": lambda r: decode.ahead(r, load),
        }
        for name in [*ways] * 2:  # the faster of two turns, as other work on the machine disturbs them
            start = time.perf_counter()
            for _ in ways[name](list(range(READ))):
                time.sleep(pause)
            seconds[name] = min(seconds.get(name, np.inf), time.perf_counter() - start)
    how = f"{READ} photos of 12 MP, {pause:.2f} s to decode and as long for a model on another device: "
    how += ", ".join(f"{name} {s:.1f} s" for name, s in seconds.items())
    return [row("photos_read_ahead_speedup", seconds["in turn"] / seconds["ahead"], ">= 1.5", how)]


def memory_is_flat():
    """In a process of its own: resident memory after 100 and after 1,000 photos of many sizes."""
    out = subprocess.run([sys.executable, "-m", "bench.zoo"], check=True, capture_output=True, text=True).stdout
    first, last, seconds = map(float, out.split()[-3:])
    how = (
        f"{first:.0f} MB after {BLOCK}, {last:.0f} MB after {PHOTOS} photos in {seconds:.0f} s, without box processing"
    )
    return [row("zoo_memory_1000_over_100_photos", last / first, "<= 1.1", how)]


def _many_photos() -> None:
    from fishlib import phantom
    from fishlib.removal import segmenters

    names, random = list(phantom.traits.load()), np.random.default_rng(0)
    drawn = [phantom.draw(names[k], 900_004, k, side=320).photo for k in range(10)]
    segmenter, start = segmenters.build("gdino-sam", {"jitters": 0, "max_boxes": 1}, "cpu"), time.perf_counter()
    for k in range(PHOTOS):
        width, height = random.integers(96, 320, 2).tolist()
        segmenter.segment([cv2.resize(drawn[k % 10], (width, height))], [str(k)])
        if k + 1 in (BLOCK, PHOTOS):
            print(psutil.Process().memory_info().rss / 1e6)
    print(time.perf_counter() - start)


MEASURES = [text_read_once, photos_read_ahead, bf16_beside_fp32, adjustment_beside_plain_box, quality, memory_is_flat]

if __name__ == "__main__":
    _many_photos()
