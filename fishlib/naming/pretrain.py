"""`fishlib pretrain`: fine-tune a timm backbone on a folder of many species, for 2-stage MA and TL."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from fishlib.errors import UserError
from fishlib.files import locks, tensors, writing
from fishlib.files.frames import write_frame
from fishlib.naming import classifier, finetune, lessons
from fishlib.naming.checkpoints import SWIN_T
from fishlib.naming.classifier import Classifier
from fishlib.naming.finetune import PRESET
from fishlib.photos.manifest import scan


@dataclass
class Training:
    """A training under way.

    train, test: rows of the manifest; classes: the species, sorted; history: what the checkpoint will tell (settings,
    notes, a row an epoch). changed: photo_id -> reason of photos that were not what the scan saw; optimiser: AdamW.
    """

    photos: Path
    out: Path
    seed: int
    settings: dict
    base: Classifier
    train: pd.DataFrame
    test: pd.DataFrame
    classes: list[str]
    history: dict
    changed: dict[str, str]
    model: torch.nn.Module
    optimiser: torch.optim.Optimizer

    @property
    def state_file(self) -> Path:
        """What a killed training goes on from."""
        return self.out.with_suffix(".resume.pt")

    @property
    def last_file(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.out.with_suffix(".last.safetensors")

    @property
    def roles_file(self) -> Path:
        """What became of every photo."""
        return self.out.with_suffix(".photos.csv")


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
    training photos and history (settings, notes on species and photos left out, a row an epoch); <stem>.photos.csv
    says what became of every file of the folder. Killed and started again it goes on after the last whole epoch and
    reaches the same weights; finished, it returns what is there. Raises UserError for unusable photos, settings or
    files, for a full disk, and while another process trains into the same file.
    """
    unknown = sorted(set(settings) - set(PRESET))
    if unknown:
        raise UserError(f"Pretraining has no setting {', '.join(unknown)}; choose from {', '.join(PRESET)}.")
    out = Path(out)
    if out.suffix != ".safetensors":
        raise UserError(f"{out} does not end in .safetensors; that is the format it is written in.")

    say: Callable[[str], None] = tqdm.write if progress else _say_nothing
    with locks.held(out.parent, f"fishlib pretrain --out {out.name}", file=out.name):
        base = classifier.load(start, backbone, device, seed)
        manifest = scan(Path(photos), progress)
        training = _begin(Path(photos), out, base, str(start), manifest, PRESET | settings, seed)
        writing.sweep_beside(out, training.last_file, training.state_file, training.roles_file)
        for note in training.history["notes"]:
            say(note)

        if resume and training.state_file.is_file():
            _restore(training)
        elif resume and out.is_file():
            finished = _finished(training)
            if finished is not None:
                return finished

        with ThreadPoolExecutor() as pool:
            for epoch in range(len(training.history["epochs"]), training.settings["epochs"]):
                _epoch(training, epoch, pool, say, progress)
                _keep(training)
        best = replace(classifier.load(out, device=device), history=training.history)
        classifier.save(best, out)
        _write_roles(training, manifest)
        training.state_file.unlink(missing_ok=True)
    return best


def _begin(photos, out, base: Classifier, start: str, manifest: pd.DataFrame, settings: dict, seed: int) -> Training:
    """A training before its first epoch."""
    train, test, notes = lessons.split(manifest, settings["held_out"], seed)
    classes = sorted(train.species.unique())
    seen = [rows[["species", "sha256"]].values.tolist() for rows in (train, test)]
    made_of = [base.hash, seed, settings, *seen]
    history = {
        "fingerprint": hashlib.sha256(json.dumps(made_of).encode()).hexdigest(),
        "start": start,
        "settings": settings,
        "notes": [*base.notes, *notes],
        "epochs": [],
    }
    model, optimiser = finetune.prepare(base, len(classes), settings)
    return Training(photos, out, seed, settings, base, train, test, classes, history, {}, model, optimiser)


def _epoch(training: Training, epoch: int, pool: ThreadPoolExecutor, say: Callable, progress: bool) -> None:
    """Train for one epoch, ask about the held-out photos and put both numbers into the history."""
    settings, seeds = training.settings, [training.seed, epoch]
    steps = finetune.steps_of(len(training.train), settings)

    batches = _batches(training, pool, training.train, seeds)
    with tqdm(batches, f"epoch {epoch + 1}", steps, leave=False, disable=not progress) as bar:
        loss = finetune.train_epoch(training.model, training.optimiser, training.base, bar, steps, settings, seeds)
    accuracy = _accuracy(training, _batches(training, pool, training.test))

    say(f"epoch {epoch + 1} of {settings['epochs']}: loss {loss:.3f}, held out {accuracy:.1%} right")
    training.history["epochs"].append({"epoch": epoch + 1, "loss": loss, "held_out_accuracy": accuracy})
    if training.changed:
        training.history["changed"] = training.changed


def _batches(training: Training, pool: ThreadPoolExecutor, rows: pd.DataFrame, seeds: list[int] | None = None):
    return lessons.batches(pool, training.photos, rows, training.classes, training.settings, training.changed, seeds)


def _accuracy(training: Training, batches) -> float:
    """Share of the held-out photos that are named right."""
    labels = []

    def pictures():
        for images, target in batches:
            labels.append(target)
            yield images

    answers = finetune.answers(training.model, training.base, pictures())
    return float((answers == np.concatenate(labels)).mean())


def _keep(training: Training) -> None:
    """Write the last epoch, the best where it is that, and at last the state that a killed training goes on from.

    A kill before the state is written repeats this epoch and writes the same files again.
    """
    state = {name: value.detach().cpu() for name, value in training.model.state_dict().items()}
    now = classifier.build(
        training.base.name,
        state,
        "cpu",
        pretraining=training.out.stem,
        mean=training.base.mean,
        std=training.base.std,
        classes=training.classes,
        history=training.history,
        training_hashes=training.train.sha256,
    )
    classifier.save(now, training.last_file)
    accuracies = [epoch["held_out_accuracy"] for epoch in training.history["epochs"]]
    if accuracies[-1] >= max(accuracies):
        classifier.save(now, training.out)

    kept = {
        "model": state,
        "optimiser": training.optimiser.state_dict(),
        "history": json.dumps(training.history),
    }
    with writing.atomic(training.state_file, keep=True) as temporary:
        try:
            torch.save(kept, temporary)
        except RuntimeError as error:  # torch's way to say that the disk is full
            raise UserError(writing.failed(training.state_file, error)) from error


def _restore(training: Training) -> None:
    """Continue from the state of a killed training; UserError when it belongs to another one."""
    file = training.state_file
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()  # torch itself reads over bits that have changed
        if damaged:
            raise zipfile.BadZipFile(damaged)
        state = tensors.read_torch(file, mapped=False)  # the next epoch writes over it
        kept = json.loads(state["history"])
        same = kept["fingerprint"] == training.history["fingerprint"]
        if same:
            training.model.load_state_dict(state["model"])
            training.optimiser.load_state_dict(state["optimiser"])
            training.history["epochs"] = list(kept["epochs"])
            training.changed.update(kept.get("changed", {}))
    except Exception as error:  # a damaged file may hold anything in the place of a state
        raise UserError(f"{file} is no state of a training; delete it to start anew.") from error
    if not same:
        raise UserError(f"{file} is from other photos or settings; delete it or choose another --out.")


def _finished(training: Training) -> Classifier | None:
    """What an earlier, finished training of the same photos and settings left; UserError for another's."""
    kept = classifier.load(training.out)
    if kept.history.get("fingerprint") != training.history["fingerprint"]:
        raise UserError(f"{training.out} is there, from other photos or settings; delete it or choose another --out.")
    epochs = kept.history.get("epochs", [])
    return kept if len(epochs) == training.settings["epochs"] else None


def _write_roles(training: Training, manifest: pd.DataFrame) -> None:
    """<stem>.photos.csv: what became of every file of the folder."""
    frame = lessons.roles(manifest, training.train, training.test, training.changed)
    write_frame(frame, training.roles_file)


def _say_nothing(text: str) -> None:
    pass
