"""Measures the zoo and writes its cards: python -m fishlib.training.evaluate --work DIR [--photos DIR --masks DIR]."""

import argparse
import contextlib
import io
import json
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from tqdm import tqdm

from fishlib import zoo
from fishlib.files import writing
from fishlib.photos import masks
from fishlib.photos.decode import decode, working
from fishlib.removal import segmenters
from fishlib.removal.segmenters import gdino
from fishlib.removal.segmenters.gdino_sam import DEFAULTS
from fishlib.training import clip, data

WRONG = ("bird", "hand", "boat", "stone", "dog", "qwerty")
CARDS = Path(zoo.__file__).parent / "cards"
METHODS = {"gdino-sam": "gdino", "sam-clip": "clip", "detic": "detic"}  # method -> the card that tells its figures
SPARSE = 4
OPTIONS = ("pictures", "fishless", "seed", "minutes", "batch", "rate", "keep")  # of a training, kept in its header
BOX, MEAN, GOOD = "box: IoU 0.5 or more", "mask: mean IoU", "mask: IoU 0.8 or more"
ALARMS, SILENT = "pictures without fish with a false alarm", "wrong words that find nothing"
TRUE_BOX = "mask from the true box: mean IoU"
TARGETS = {  # (drawn or real, model, figure) -> (sign, bound): what the project set itself
    ("drawn", "gdino", BOX): (">=", 0.97),
    ("drawn", "gdino", MEAN): (">=", 0.90),
    ("drawn", "gdino", ALARMS): ("<=", 0.03),
    ("drawn", "gdino", SILENT): (">=", 0.90),
    ("drawn", "sam", TRUE_BOX): (">=", 0.92),
    ("real", "gdino", MEAN): (">=", 0.85),
    ("real", "gdino", GOOD): (">=", 0.80),
}


def box_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boxes XYXY."""
    both = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(both / max(1e-9, (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both))


def load_models() -> dict:
    """The three methods as every run builds them, and the zoo's SAM in the package's predictor."""
    from segment_anything import SamPredictor

    return {m: segmenters.build(m, {}, "cpu") for m in METHODS} | {"sam": SamPredictor(zoo.load("sam"))}


def measure(photo: np.ndarray, fish: np.ndarray, models: dict, k: int) -> dict[str, float]:
    """All figures of picture number k, with a fish; a missed fish has IoU 0. NaN: SAM-CLIP, being slow, sees every
    SPARSE-th picture only."""
    sam, box = models["sam"], data.box_of(fish)
    sam.set_image(photo)
    inner = cv2.distanceTransform(np.pad(fish, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    spot = np.array([np.unravel_index(inner.argmax(), fish.shape)[::-1]])
    row = {"true box": masks.iou(sam.predict(box=box, multimask_output=False)[0][0], fish)}
    row["point"] = masks.iou(sam.predict(spot, np.array([1]), multimask_output=False)[0][0], fish)
    for method in METHODS:
        row |= {method: np.nan, f"{method} box": np.nan}
        if method != "sam-clip" or k % SPARSE == 0:
            [found] = models[method].segment([photo], [""])
            row[method] = 0.0 if found.mask is None else masks.iou(found.mask, fish)
            row[f"{method} box"] = 0.0 if found.box is None else box_iou(found.box, box)
    [(boxes, _, _)] = gdino.detect(
        models["gdino-sam"].detector, [photo], WRONG[k % len(WRONG)], DEFAULTS["box_threshold"]
    )
    return row | {"silent": float(not len(boxes))}


def score(examples: list, models: dict) -> dict[str, dict[str, float]]:
    """Figures a card over pairs (photo uint8 (H, W, 3), mask bool (H, W), empty without a fish)."""
    fish = [pair for pair in examples if pair[1].any()]
    rows = [measure(*pair, models, k) for k, pair in enumerate(tqdm(fish, "with fish"))]
    column = {key: np.array([r[key] for r in rows if not np.isnan(r[key])]) for key in rows[0]}
    out = {"sam": {}}
    for key, title in (("true box", "mask from the true box"), ("point", "mask from one point inside")):
        values = column[key]
        out["sam"] |= {f"{title}: mean IoU": values.mean(), f"{title}: IoU 0.8 or more": (values >= 0.8).mean()}
    for method, name in METHODS.items():
        out[name] = {"box: mean IoU": column[f"{method} box"].mean(), BOX: (column[f"{method} box"] >= 0.5).mean()}
        out[name] |= {MEAN: column[method].mean(), GOOD: (column[method] >= 0.8).mean()}
    out["gdino"][SILENT] = column["silent"].mean()
    empty = [photo for photo, mask in examples if not mask.any()]
    for method, name in METHODS.items() if empty else ():
        seen = empty[::SPARSE] if method == "sam-clip" else empty
        found = [models[method].segment([photo], [""])[0].status for photo in tqdm(seen, f"without fish, {method}")]
        out[name][ALARMS] = np.mean([status != segmenters.NO_DETECTION for status in found])
    return {name: {k: float(v) for k, v in figures.items()} for name, figures in out.items()}


def score_clip(pictures: data.Pictures) -> dict[str, float]:
    """Shares of 600 held-out crops that the prompt with "fish" wins, against six others."""
    model, processor = zoo.load("clip")
    part = clip.batch(np.random.default_rng(7), pictures, 600)
    prompts = [f"a photo of a {w}" for w in ("fish", "hand", "stone", "boat", "box", "knife", "background")]
    text = processor(text=prompts, return_tensors="pt", padding=True)
    fish = (model(pixel_values=part["pixels"], **text).logits_per_image.softmax(1)[:, 0] > 0.5).float()
    kinds = {"crops of fish or parts called fish": part["fish"], "crops of other things called fish": ~part["fish"]}
    return {title: fish[chosen].mean().item() for title, chosen in kinds.items()}


def held(kind: str, name: str, figure: str, value: float) -> str:
    """The target of a figure and whether it is met, as the cards say it; empty where there is none."""
    sign, bound = TARGETS.get((kind, name, figure), ("", 0.0))
    met = value >= bound if sign == ">=" else value <= bound
    return f"{sign} {bound:.2f}: {'holds' if met else 'missed'}" * bool(sign)


def recipe(name: str, facts: dict[str, str]) -> list[str]:
    """The commands that train a model as its checkpoint's header tells, earlier legs first."""
    told = ", ".join(f"{k} {facts[k]}" for k in sorted(facts))  # "started from" comes after what a command needs
    legs = [leg for leg in f"{name} ({told}".split("started from ") if leg[0].islower()]
    commands, start = [], ""
    for k, leg in enumerate(reversed(legs), 1):
        model, of = re.match("[a-z]+", leg)[0], dict(re.findall(r"(\w+) ([\d.e-]+)", leg))
        folder = f"LEG{k}" if k < len(legs) else "DIR"
        given = (f" --{o} {of[o]}" for o in OPTIONS if o in of)
        commands.append(f"python -m fishlib.training.train {model} --out {folder}{''.join(given)}{start}")
        start = f" --start {folder}/{model}.safetensors"
    return commands


def write_card(name: str, results: dict[str, dict], facts: dict[str, str]) -> None:
    """One card: what it is, how it was trained (from the checkpoint's own header), what it scores."""
    text = json.loads((CARDS / "texts.json").read_text(encoding="utf-8"))[name]
    known = facts | {"file size, MB": f"{zoo.path(name).stat().st_size / 1e6:.1f}", "sha256": zoo.sha256(name)}
    lines = [f"# {text['title']}", "", "A stand-in, trained on drawn fish only. " + text["what"], ""]
    lines += ["## Recipe", "", text["recipe"], "", "| | |", "| --- | --- |"]
    lines += [f"| {k} | {v} |" for k, v in sorted(known.items())]
    time = (
        "It trains for a fixed time, so that another machine takes other steps and gives another, similar checkpoint."
    )
    lines += ["", time, "", "```", *recipe(name, facts), "```", ""]
    for title, (kind, found) in results.items():
        if name in found:
            lines += [f"## {title}", "", "| figure | value | target |", "| --- | --: | --- |"]
            lines += [f"| {k} | {v:.3f} | {held(kind, name, k, v)} |" for k, v in found[name].items()] + [""]
    again = "Measured by `python -m fishlib.training.evaluate --work DIR --photos PHOTOS --masks MASKS`."
    lines += [f"{text['scores']} {again}", "", "## Limits", "", text["limits"], ""]
    writing.write_text(CARDS / f"{name}.md", "\n".join(lines))


def real(photos: Path, truth: Path, skip: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """(photo at the working size, mask) of a tree of photos, each with its mask of the same name as .png."""
    files = sorted(f for f in photos.rglob("*.jpg") if f.parent.name not in skip)
    return [
        (working(decode(f)), working(decode((truth / f.relative_to(photos)).with_suffix(".png")))[..., 0] > 127)
        for f in files
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the held-out pictures")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--photos", type=Path, help="real photos, a folder a species")
    parser.add_argument("--masks", type=Path, help="their masks, the same tree as .png")
    parser.add_argument("--skip", nargs="*", default=["shrimp"], help="folders of --photos that hold no fish")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        models, drawn = load_models(), args.work / f"held-out-{args.pictures}"
        drawn = data.Pictures(data.draw_all(drawn, args.pictures, data.HELD_OUT_SEED, 2, 0.25, 640))
        title = f"Held-out drawn pictures ({len(drawn) - len(drawn.fishless)} with fish, {len(drawn.fishless)} without)"
        figures = score([(photo, label > 0) for photo, label in drawn], models)
        figures["clip"] = score_clip(drawn) | figures["clip"]
        results = {title: ("drawn", figures)}
        if args.photos:
            pairs = real(args.photos, args.masks, args.skip)
            title = f"{len(pairs)} real photos of fish on a wet bench, never trained on"
            results[title] = "real", score(pairs, models)
        facts = {"detic": models["detic"].session.get_modelmeta().custom_metadata_map}
    for name in figures:
        if name != "detic":
            with safe_open(zoo.path(name), "pt") as opened:
                facts[name] = opened.metadata()
        write_card(name, results, facts[name])
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
