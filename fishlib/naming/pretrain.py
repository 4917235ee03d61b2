"""`fishlib pretrain`: fine-tune a timm backbone on a folder of many species, for 2-stage MA and TL."""

import hashlib
import itertools
import json
import math
import pickle
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from fishlib.errors import UserError
from fishlib.files import writing
from fishlib.naming import classifier
from fishlib.naming.checkpoints import SWIN_T
from fishlib.naming.classifier import Classifier
from fishlib.photos import decode
from fishlib.photos.composite import to_square
from fishlib.photos.manifest import scan

# Our choice; the earlier work behind the paper's classifier is not known in such detail. AdamW, warm-up and
# cosine, weight decay, smoothing and clipping are those of Swin (Liu et al. 2021, appendix A2.1).
PRESET = {
    "epochs": 30,
    "lr": 5e-4,
    "head_rate": 10,  # the new layer learns that many times faster than what is trained already
    "batch": 32,
    "accumulate": 1,  # a batch is computed in that many parts, for a small memory
    "warmup": 2,  # epochs
    "weight_decay": 0.05,
    "smoothing": 0.1,
    "clip": 5.0,  # norm of the gradient
    "held_out": 0.2,  # share of each species' photos, at least one of two
    "balanced": False,  # True: an epoch draws every species equally often
    "mixed": None,  # bfloat16; None: on a GPU that has it (on a CPU depthwise layers get slower)
    "size": 224,
    "least_area": 0.6,  # augmentation: smallest window, as a share of the photo
    "colour": 0.2,  # augmentation: brightness, contrast, saturation, each up to this share more or less
}
AHEAD = 3  # batches decoded while the network works


def pretrain(
    photos: str | Path,
    out: str | Path,
    backbone: str = SWIN_T,
    start: str = "imagenet",
    seed: int = 0,
    resume: bool = True,
    device: str = "auto",
    progress: bool = True,
    **settings,
) -> Classifier:
    """Fine-tune on PHOTOS/<species>/<photo>; the best epoch goes to `out`, the last to <stem>.last beside it.

    start: "imagenet", "none" or a checkpoint file, whose backbone is taken; settings override PRESET. Best is
    the highest held-out accuracy, the latest of equals. Both files hold classes, normalisation, sha256 of the
    training photos and history (settings, notes on species and photos left out, a row an epoch). Killed and
    started again it goes on after the last whole epoch and reaches the same weights; finished, it returns
    what is there. Raises UserError for unusable photos, settings or files.
    """
    if unknown := sorted(set(settings) - set(PRESET)):
        raise UserError(f"Pretraining has no setting {', '.join(unknown)}; choose from {', '.join(PRESET)}.")
    settings, photos, out = PRESET | settings, Path(photos), Path(out)
    if out.suffix != ".safetensors":
        raise UserError(f"{out} does not end in .safetensors; that is the format it is written in.")
    base = classifier.load(start, backbone, device, seed)
    train, test, notes = split(scan(photos, progress), settings["held_out"], seed)
    classes = sorted(train.species.unique())
    made_of = [base.hash, seed, settings, *(f[["species", "sha256"]].values.tolist() for f in (train, test))]
    history = {"fingerprint": hashlib.sha256(json.dumps(made_of).encode()).hexdigest(), "start": str(start)}
    history |= {"settings": settings, "notes": notes, "epochs": []}
    say = tqdm.write if progress else lambda _: None
    for note in notes:
        say(note)
    state_file = out.with_suffix(".resume.pt")
    model, optimiser = _prepare(base, len(classes), settings)
    if resume and state_file.is_file():
        _restore(state_file, model, optimiser, history)
    elif resume and (done := _finished(out, history)):
        return done

    with ThreadPoolExecutor() as pool:
        for epoch in range(len(history["epochs"]), settings["epochs"]):
            batches = _pictures(pool, photos, train, classes, settings, [seed, epoch])
            bar = tqdm(batches, f"epoch {epoch + 1}", _steps(train, settings), leave=False, disable=not progress)
            loss = _train(model, optimiser, base, bar, settings, [seed, epoch])
            accuracy = _accuracy(model, base, _pictures(pool, photos, test, classes, settings))
            say(f"epoch {epoch + 1} of {settings['epochs']}: loss {loss:.3f}, held out {accuracy:.1%} right")
            history["epochs"].append({"epoch": epoch + 1, "loss": loss, "held_out_accuracy": accuracy})
            state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
            facts = {"pretraining": out.stem, "mean": base.mean, "std": base.std, "classes": classes}
            facts |= {"history": history, "training_hashes": set(train.sha256)}
            now = classifier.build(base.name, dict(state), "cpu", **facts)
            # the state comes last: a kill before it repeats this epoch and writes the same files again
            classifier.save(now, out.with_suffix(".last.safetensors"))
            if accuracy >= max(e["held_out_accuracy"] for e in history["epochs"]):
                classifier.save(now, out)
            kept = {"model": state, "optimiser": optimiser.state_dict(), "history": json.dumps(history)}
            with writing.atomic(state_file) as temporary:
                torch.save(kept, temporary)
    best = replace(classifier.load(out, device=device), history=history)
    classifier.save(best, out)
    state_file.unlink(missing_ok=True)
    return best


def split(manifest: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """(training rows, held-out rows, notes) of a manifest: a seeded share of each species is held out.

    Copies of a file count once; a species with one photo trains but is not held out; notes name it, and every
    species without a readable photo. Raises UserError for fewer than two species or nothing to hold out.
    """
    readable = manifest[manifest.status == "ok"]
    usable = readable.drop_duplicates("sha256")
    train, test = [], []
    for _, rows in usable.groupby("species"):
        rows = rows.sort_values("sha256").sample(frac=1, random_state=seed)
        n = min(max(1, round(share * len(rows))), len(rows) - 1)
        test.append(rows[:n])
        train.append(rows[n:])
    if len(train) < 2 or not sum(map(len, test)):
        raise UserError("Pretraining needs two species with a readable photo, one of them with two; add photos.")
    alone = [rows.species.iloc[0] for rows, held in zip(train, test, strict=True) if held.empty]
    lost = sorted(set(manifest.species) - set(usable.species) - {""})
    notes = []
    if lost:
        notes.append(f"Species left out, without a photo of their own that can be read: {', '.join(lost)}.")
    if alone:
        notes.append(f"Species trained on their only photo, none held out: {', '.join(alone)}.")
    if twice := len(readable) - len(usable):
        notes.append(f"Photos left out as copies of another: {twice}.")
    return pd.concat(train), pd.concat(test), notes


def augment(image: np.ndarray, random: np.random.Generator, settings: dict) -> np.ndarray:
    """A training view, uint8 (size, size, 3), of uint8 (H, W, 3): a window, maybe mirrored, colours shifted.

    Windows are squashed to the square like whole photos in evaluation; they keep at least `least_area`.
    """
    height, width = image.shape[:2]
    area, stretch = random.uniform(settings["least_area"], 1), math.exp(random.uniform(-0.1, 0.1))
    h = min(height, max(1, round(height * math.sqrt(area) * stretch)))
    w = min(width, max(1, round(width * math.sqrt(area) / stretch)))
    top, left = random.integers(height - h + 1), random.integers(width - w + 1)
    view = to_square(image[top : top + h, left : left + w], settings["size"]).astype(np.float32)
    if random.random() < 0.5:
        view = view[:, ::-1]
    brightness, contrast, saturation = 1 + settings["colour"] * random.uniform(-1, 1, 3)
    grey = view.mean(2, keepdims=True)
    view = grey + saturation * (view - grey)
    view = brightness * (view.mean() + contrast * (view - view.mean()))
    return np.clip(np.rint(view), 0, 255).astype(np.uint8)


def _steps(rows: pd.DataFrame, settings: dict) -> int:
    return math.ceil(len(rows) / settings["batch"])


def _pictures(
    pool, photos: Path, rows: pd.DataFrame, classes: list[str], settings: dict, seeds: list[int] | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches (uint8 (B, size, size, 3), class indices (B,)); seeds shuffle and augment, for training."""
    labels, order = np.array([classes.index(s) for s in rows.species]), np.arange(len(rows))
    if seeds:
        share = 1 / (np.bincount(labels)[labels] * len(set(labels))) if settings["balanced"] else None
        order = np.random.default_rng(seeds).choice(order, len(order), settings["balanced"], share)

    def one(place: int) -> np.ndarray:
        image = decode.decode(photos / rows.path.iloc[order[place]])
        if seeds is None:
            return to_square(image, settings["size"])
        return augment(image, np.random.default_rng([*seeds, place]), settings)

    def begin(places: np.ndarray):
        return [pool.submit(one, place) for place in places], labels[order[places]]

    # parts of nearly one size: batch norm suffers from a last batch of two photos
    batches = iter(np.array_split(np.arange(len(order)), _steps(rows, settings)))
    waiting = deque(map(begin, itertools.islice(batches, AHEAD)))
    while waiting:
        pending, target = waiting.popleft()
        waiting.extend(map(begin, itertools.islice(batches, 1)))
        yield np.stack([p.result() for p in pending]), target


def _prepare(base: Classifier, n_classes: int, settings: dict):
    """The backbone with a new last layer of zeros, and AdamW that leaves biases and norms undecayed."""
    model = classifier.create(base.name, num_classes=n_classes)
    head = list(model.get_classifier().parameters())
    for parameter in head:
        torch.nn.init.zeros_(parameter)  # EfficientNet's own draw starts at twice the loss of guessing
    model.load_state_dict(base.model.state_dict(), strict=False)  # all but the new layer
    model.to(base.device, memory_format=torch.channels_last)
    rest = [p for p in model.parameters() if all(p is not h for h in head)]
    groups = []
    for parameters, rate in ((rest, 1), (head, settings["head_rate"])):
        for some, decay in ((lambda p: p.ndim > 1, settings["weight_decay"]), (lambda p: p.ndim <= 1, 0)):
            groups.append({"params": [*filter(some, parameters)], "weight_decay": decay, "rate": rate})
    return model, torch.optim.AdamW(groups, lr=settings["lr"])


def _train(model, optimiser, base: Classifier, bar: tqdm, settings: dict, seeds: list[int]) -> float:
    """One epoch, the mean loss a photo; random layers are seeded by (seed, epoch): a resumed run repeats."""
    steps, device, losses, count = bar.total, base.device, 0.0, 0
    warm = settings["warmup"] * steps
    rest = max(1, settings["epochs"] * steps - warm)
    cuda, mixed = device.type == "cuda", settings["mixed"]
    mixed = cuda and torch.cuda.is_bf16_supported() if mixed is None else mixed
    model.train()
    norms = torch.nn.modules.batchnorm._BatchNorm if settings.get("frozen_norms") else ()
    for layer in filter(lambda layer: isinstance(layer, norms), model.modules()):
        layer.eval()
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with torch.random.fork_rng(devices=[device] if cuda else []), exact:
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
        for step, (images, labels) in enumerate(bar, start=seeds[1] * steps):
            rate = (step + 1) / warm if step < warm else 0.5 + 0.5 * math.cos(math.pi * (step - warm) / rest)
            for group in optimiser.param_groups:
                group["lr"] = settings["lr"] * group["rate"] * rate
            for part in np.array_split(np.arange(len(labels)), min(settings["accumulate"], len(labels))):
                with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                    out = model(classifier.normalise(base, images[part])).float()  # (B, C)
                target = torch.from_numpy(labels[part]).to(device)
                loss = cross_entropy(out, target, label_smoothing=settings["smoothing"], reduction="sum")
                (loss / len(labels)).backward()
                losses, count = losses + loss.item(), count + len(part)
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
            optimiser.step()
            optimiser.zero_grad()
    return losses / count


def _accuracy(model, base: Classifier, batches) -> float:
    labels = []
    answers = _answers(model, base, (labels.append(y) or x for x, y in batches))
    return float((answers == np.concatenate(labels)).mean())


def _answers(model, base: Classifier, batches) -> np.ndarray:
    """Winning class of every picture, int64 (N,); batches: uint8 (B, H, W, 3) each."""
    model.eval()
    with torch.inference_mode():
        return np.concatenate([model(classifier.normalise(base, x)).argmax(1).cpu().numpy() for x in batches])


def _restore(path: Path, model, optimiser, history: dict) -> None:
    """Continue from the state of a killed training; UserError when it belongs to another one."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        kept = json.loads(state["history"])
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} is no state of a training; delete it to start anew.") from error
    if kept["fingerprint"] != history["fingerprint"]:
        raise UserError(f"{path} is from other photos or settings; delete it or choose another --out.")
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    history["epochs"] = kept["epochs"]


def _finished(out: Path, history: dict) -> Classifier | None:
    """What an earlier, finished training of the same photos and settings left; UserError for another's."""
    if not out.is_file():
        return None
    kept = classifier.load(out)
    if kept.history.get("fingerprint") != history["fingerprint"]:
        raise UserError(f"{out} is there, from other photos or settings; delete it or choose another --out.")
    return kept if len(kept.history["epochs"]) == history["settings"]["epochs"] else None
