"""Measures the zoo and writes its cards: python -m fishlib.zoo.evaluate --work DIR [--photos DIR --masks DIR]."""

import argparse
import contextlib
import io
import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open

from fishlib import zoo
from fishlib.dataset import decode, working
from fishlib.zoo import clip, data

WRONG = ("bird", "hand", "boat", "stone", "dog", "qwerty")
CARDS = Path(__file__).parent / "cards"


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two masks bool (H, W), or of two boxes XYXY."""
    if a.ndim == 1:
        both = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
        return float(both / max(1e-9, (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both))
    return float((a & b).sum() / max(1, (a | b).sum()))


def detect(model, photo: np.ndarray, word: str = "fish") -> np.ndarray | None:
    """The best box XYXY in px of uint8 (H, W, 3) RGB, or None, by the package's predict at its demo's thresholds."""
    from groundingdino.util.inference import predict

    image = working(photo, model.image_side) / np.float32(255)
    boxes, scores, _ = predict(model, torch.from_numpy(data.normalised([image])[0]), word, 0.35, 0.25, "cpu")
    if not len(boxes):
        return None
    middle, half = boxes[scores.argmax()].numpy().reshape(2, 2) * photo.shape[1::-1] * [[1], [0.5]]
    return np.float32([*(middle - half), *(middle + half)])


def detect_detic(session, photo: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Best box with a score above 0.3, or None, and its mask pasted into the photo's size, bool (H, W)."""
    boxes, scores, _, masks = session.run(None, {"img": np.float32(photo.transpose(2, 0, 1)[None])})
    (x, y), (sx, sy) = boxes[0][:2], (boxes[0][2:] - boxes[0][:2]) / 28
    paste = np.float32([[sx, 0, x + sx / 2 - 0.5], [0, sy, y + sy / 2 - 0.5]])
    mask = cv2.warpAffine(masks[0], paste, photo.shape[1::-1]) > 0.5
    return (boxes[0] if scores[0] > 0.3 else None), mask


def measure(photo: np.ndarray, fish: np.ndarray, models: dict, words: tuple[str, ...]) -> dict[str, float]:
    """All figures of one picture with a fish; a missed fish has IoU 0."""
    sam, box = models["sam"], data.box_of(fish)
    sam.set_image(photo)
    (found, mask), inner = detect_detic(models["detic"], photo), np.pad(fish, 1).astype(np.uint8)
    inner = cv2.distanceTransform(inner, cv2.DIST_L2, 5)[1:-1, 1:-1]
    spot = np.array([np.unravel_index(inner.argmax(), fish.shape)[::-1]])
    row = {"true box": iou(sam.predict(box=box, multimask_output=False)[0][0], fish)}
    row["point"] = iou(sam.predict(spot, np.array([1]), multimask_output=False)[0][0], fish)
    row |= {"detic box": 0.0, "detic": 0.0, "box": 0.0, "both": 0.0}
    if found is not None:
        row |= {"detic box": iou(found, box), "detic": iou(mask, fish)}
    if (found := detect(models["gdino"], photo)) is not None:
        row |= {"box": iou(found, box), "both": iou(sam.predict(box=found, multimask_output=False)[0][0], fish)}
    row["silent"] = float(np.mean([detect(models["gdino"], photo, word) is None for word in words]))
    return row


def score(examples: list, models: dict) -> dict[str, dict[str, float]]:
    """Figures of sam, gdino and detic over pairs (photo uint8 (H, W, 3), mask bool (H, W), empty without a fish)."""
    fish = [pair for pair in examples if pair[1].any()]
    rows = [measure(*pair, models, WRONG[k % 3 :: 3]) for k, pair in enumerate(fish)]
    out = {"sam": {}, "gdino": {}, "detic": {}}
    for name, key, title in (
        ("sam", "true box", "mask from the true box"),
        ("sam", "point", "mask from one point inside"),
        ("gdino", "box", "box"),
        ("gdino", "both", "mask by SAM, not adjusted"),
        ("detic", "detic box", "box"),
        ("detic", "detic", "mask"),
    ):
        column, level = np.array([r[key] for r in rows]), 0.5 if title == "box" else 0.8
        out[name] |= {f"{title}: mean IoU": column.mean(), f"{title}: IoU {level} or more": (column >= level).mean()}
    out["gdino"]["wrong words that find nothing"] = np.mean([r["silent"] for r in rows])
    if empty := [photo for photo, mask in examples if not mask.any()]:
        alarms = [detect(models["gdino"], photo) is not None for photo in empty]
        out["gdino"]["pictures without fish with a false alarm"] = np.mean(alarms)
        alarms = [detect_detic(models["detic"], photo)[0] is not None for photo in empty]
        out["detic"]["pictures without fish with a false alarm"] = np.mean(alarms)
    return out


def score_clip(pictures: data.Pictures) -> dict[str, float]:
    """Shares of 600 held-out crops that the prompt with "fish" wins, against six others."""
    model, processor = zoo.load("clip")
    part = clip.batch(np.random.default_rng(7), pictures, 600)
    prompts = [f"a photo of a {w}" for w in ("fish", "hand", "stone", "boat", "box", "knife", "background")]
    text = processor(text=prompts, return_tensors="pt", padding=True)
    fish = (model(pixel_values=part["pixels"], **text).logits_per_image.softmax(1)[:, 0] > 0.5).float()
    kinds = {"fish or parts called fish": part["fish"], "other things called fish": ~part["fish"]}
    return {title: fish[chosen].mean().item() for title, chosen in kinds.items()}


def write_card(name: str, results: dict[str, dict], facts: dict[str, str]) -> None:
    """One card: what it is, how it was trained (from the checkpoint's own header), what it scores."""
    text = json.loads((CARDS / "texts.json").read_text(encoding="utf-8"))[name]
    facts = facts | {"file size, MB": f"{zoo.path(name).stat().st_size / 1e6:.1f}", "sha256": zoo.sha256(name)}
    lines = [f"# {text['title']}", "", text["what"], "", "Trained on drawn fish only.", "", text["recipe"], ""]
    for title, rows in {"Recipe": facts, **{t: found[name] for t, found in results.items() if name in found}}.items():
        lines += [f"## {title}", "", "| | |", "| --- | --- |"]
        lines += [f"| {k} | {v if isinstance(v, str) else format(v, '.3f')} |" for k, v in rows.items()] + [""]
    again = f"Again: `python -m fishlib.zoo.train {name} --out DIR` with the settings above, then fishlib.zoo.evaluate."
    (CARDS / f"{name}.md").write_text(
        "\n".join([*lines, "## Limits", "", text["limits"], "", again, ""]), encoding="utf-8"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the held-out pictures")
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--photos", type=Path, help="real photos, a folder a species")
    parser.add_argument("--masks", type=Path, help="their masks, the same tree as .png")
    parser.add_argument("--skip", nargs="*", default=["shrimp"], help="folders of --photos that hold no fish")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        import onnxruntime
        from segment_anything import SamPredictor

        drawn = args.work / f"held-out-{args.pictures}"
        drawn = data.Pictures(data.draw_all(drawn, args.pictures, data.HELD_OUT_SEED, 2, 0.25, 640))
        session = onnxruntime.InferenceSession(str(zoo.path("detic")))
        models = {"sam": SamPredictor(zoo.load("sam")), "gdino": zoo.load("gdino"), "detic": session}
        title = f"Held-out drawn pictures ({len(drawn) - len(drawn.fishless)} with fish, {len(drawn.fishless)} without)"
        results = {title: score([(photo, label > 0) for photo, label in drawn], models)}
        results[title]["clip"] = score_clip(drawn)
        if args.photos:
            files = sorted(f for f in args.photos.rglob("*.jpg") if f.parent.name not in args.skip)
            masks = (args.masks / f.relative_to(args.photos).with_suffix(".png") for f in files)
            pairs = [(working(decode(f)), working(decode(m))[..., 0] > 127) for f, m in zip(files, masks, strict=True)]
            results[f"{len(files)} real photos, never trained on"] = score(pairs, models)
        facts = {"detic": session.get_modelmeta().custom_metadata_map}
    for name in results[title]:
        if name != "detic":
            with safe_open(zoo.path(name), "pt") as opened:
                facts[name] = opened.metadata()
        write_card(name, results, dict(sorted(facts[name].items())))
    print(json.dumps(results, indent=1, default=float))


if __name__ == "__main__":
    main()
