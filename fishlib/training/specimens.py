"""The zoo's classifier: Lite0 from ImageNet, then drawn specimens: python -m fishlib.training.specimens --out DIR."""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from fishlib import phantom, zoo
from fishlib.files import writing
from fishlib.naming.checkpoints import LITE0
from fishlib.photos import composite
from fishlib.training import data

SIDE = 320  # px, of specimens: at 224 px a classifier sees no more
SEED = 700_001  # the phantom's seed of the training specimens: no profile, test or card draws with it
# Over the preset of `fishlib pretrain`; our choice, by the time there was and shorter trials on specimens, before any
# angler's photo was shown to it. Windows and colours vary more, since specimens lie on plain grounds in even light and
# an angler's fish do not; few epochs, since drawings are easy.
SETTINGS = {"epochs": 2, "warmup": 0.5, "held_out": 0.125, "least_area": 0.5, "colour": 0.4}
CARD = Path(zoo.__file__).parent / "cards" / "classifier.txt"  # with places for {recipe} and {scores}


def draw(job: tuple[Path, str, int, int, int]) -> None:
    """Writes one specimen as JPEG; a file that is there is kept."""
    file, name, seed, index, side = job
    if not file.exists():
        cv2.setNumThreads(1)
        photo = phantom.draw(name, seed, index, "specimen", side=side).photo
        code = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        with writing.atomic(file) as part:
            part.write_bytes(code.tobytes())


def draw_specimens(folder: Path, species: list[str], pictures: int, seed: int = SEED, side=SIDE, workers=2) -> Path:
    """Fills folder/<species>/<nnnn>.jpg with so many specimens a species, no two alike; same arguments, same bytes."""
    jobs = []
    for place, name in enumerate(species):
        (folder / name).mkdir(parents=True, exist_ok=True)
        jobs += [(folder / name / f"{i:04d}.jpg", name, seed, i * 1000 + place, side) for i in range(pictures)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(draw, jobs, chunksize=8))
    return folder


def train(photos: Path, out: Path, **settings):
    """`fishlib pretrain` of Lite0 from ImageNet, then `out` (.safetensors) as float16, half of the file.

    settings override SETTINGS. Started again, it goes on where it was stopped. Returns the Classifier.
    """
    import torch  # here, since the processes that draw would wait for it

    from fishlib.naming import classifier, pretrain

    whole = out.with_name(f"{out.stem}.float32.safetensors")
    model = pretrain.pretrain(photos, whole, LITE0, device="cpu", **SETTINGS | settings)
    classifier.save(replace(model, pretraining="specimen"), out, torch.float16)
    return classifier.load(out, device="cpu")


def measure(model, each: int) -> dict[str, float]:
    """Shares of right answers on unseen drawings, `each` a species: specimens, and anglers' photos in each variant."""
    from fishlib.naming import classifier

    known = [name for name in phantom.traits.load() if name in model.classes]
    target = known[: len(phantom.COUNTS)]  # the paper's 17 come first

    def right(pictures: np.ndarray, truth: list[str], among: list[str]) -> float:
        places = [model.classes.index(name) for name in among]
        logits = classifier.logits(model, classifier.features(model, pictures))
        winners = classifier.predict(classifier.masked_logits(logits, places))[0]
        return float(np.mean([among[w] == name for w, name in zip(winners, truth, strict=True)]))

    truth = [name for name in known for _ in range(each)]
    drawn = (phantom.draw(name, data.HELD_OUT_SEED, k, "specimen", side=SIDE).photo for k, name in enumerate(truth))
    specimens = np.stack([composite.to_square(photo) for photo in drawn])
    mine = [k for k, name in enumerate(truth) if name in target]
    found = {f"specimens, all {len(known)} outputs": right(specimens, truth, known)}
    truth = [truth[k] for k in mine]
    found[f"specimens, {len(target)} outputs (MA)"] = right(specimens[mine], truth, target)
    views = {name: [] for name in composite.BASIC}
    for k, name in enumerate(truth):
        fish = phantom.draw(name, data.HELD_OUT_SEED, k)
        for variant, made in composite.BASIC.items():
            views[variant].append(composite.compose(fish.photo, fish.body | fish.fins, fish.box, made))
    for variant, pictures in views.items():
        title = f"anglers' photos, {len(target)} outputs (MA): {composite.LABELS[variant]}"
        found[title] = right(np.stack(pictures), truth, target)
    return found | {"by chance (MA)": 1 / len(target)}


def card(model, pictures: int, seconds: dict[str, float], scores: dict[str, float], each: int, mb: float) -> str:
    """The card as Markdown: data and recipe from the checkpoint, seconds a stage, scores as shares."""
    rows, epochs = {"drawn specimens": f"{pictures} a species, seed {SEED}"}, model.history["epochs"]
    best = max(e["held_out_accuracy"] for e in epochs)
    rows |= {"trained on": f"{len(model.training_hashes)} of them, the others held out"}
    rows |= {name: str(value) for name, value in model.history["settings"].items()}
    rows |= {"held out, best epoch": f"{best:.1%}"}
    rows |= {"of all epochs": ", ".join(f"{e['held_out_accuracy']:.1%}" for e in epochs)}
    rows |= {f"seconds, {name}": f"{value:.0f}" for name, value in seconds.items()}
    rows |= {"file size, MB": f"{mb:.1f}", "hash of the classifier": model.hash}
    scores = {name: f"{value:.1%}" for name, value in scores.items()} | {"pictures a species": str(each)}
    tables = ["\n".join(["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in t.items())]) for t in (rows, scores)]
    text = CARD.read_text(encoding="utf-8")
    return text.format(backbone=model.name, n=len(model.classes), recipe=tables[0], scores=tables[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the specimens, the checkpoint and its card")
    parser.add_argument("--pictures", type=int, default=48, help="specimens a species")
    parser.add_argument("--species", type=int, help="only the first so many of the trait table")
    parser.add_argument("--held-out", type=int, default=12, help="pictures a species to measure on")
    parser.add_argument("--threads", type=int, default=1, help="others may change the last digits")
    parser.add_argument("--epochs", type=int, default=SETTINGS["epochs"])
    args = parser.parse_args()
    species = list(phantom.traits.load())[: args.species]
    start = time.monotonic()
    folder = draw_specimens(args.out / f"specimens-{len(species)}x{args.pictures}", species, args.pictures)
    drawn = time.monotonic()
    import torch

    torch.set_num_threads(args.threads)
    file = args.out / "classifier.safetensors"
    model = train(folder, file, epochs=args.epochs, warmup=min(SETTINGS["warmup"], args.epochs / 2))
    seconds = {"drawing": drawn - start, "training": time.monotonic() - drawn}
    scores = measure(model, args.held_out)
    text = card(model, args.pictures, seconds, scores, args.held_out, file.stat().st_size / 1e6)
    writing.write_text(args.out / "classifier.md", text)
    print(text)


if __name__ == "__main__":
    main()
