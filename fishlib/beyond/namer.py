"""The namer of a run as it is kept for new photos: which input, which outputs, and from when on a person must look."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fishlib.errors import UserError
from fishlib.files import documents, paths, tensors, writing
from fishlib.naming import checkpoints

FILE = "beyond/namer.json"  # in the run folder
HEAD = "beyond/namer.safetensors"  # its own last layer, where no classifier knows the species
Layer = tuple[np.ndarray, np.ndarray]  # weight (T, D) and bias (T,), float32


@dataclass(frozen=True)
class Settings:
    """variant: the input, a name of composite.BASIC. species: the T outputs. source: whose features or outputs, see
    classifier.load (files by their names alone in the run). temperature: of the outputs. thresholds: promise
    ("95") -> confidence from which on no check is needed, None where none keeps the promise. unknown_threshold: the
    score above which a photo may show none of the species.
    """

    variant: str
    species: list[str]
    source: str
    temperature: float
    thresholds: dict[str, float | None]
    unknown_threshold: float


def keep(run: Path, settings: Settings, layer: Layer | None) -> None:
    """Write FILE, and HEAD where there is a layer; an older HEAD goes."""
    import safetensors.numpy

    values = asdict(settings) | {"source": checkpoints.without_folders(settings.source), "own_layer": layer is not None}
    writing.write_text(run / FILE, json.dumps(values, ensure_ascii=False, indent=1))
    if layer is None:
        (run / HEAD).unlink(missing_ok=True)
        return
    weight, bias = (np.ascontiguousarray(part, np.float32) for part in layer)
    with writing.atomic(run / HEAD) as temporary:
        temporary.write_bytes(safetensors.numpy.save({"weight": weight, "bias": bias}))


def read(run: Path) -> tuple[Settings, Layer | None]:
    """What `keep` wrote. UserError where the run has none, or where it is damaged."""
    path = paths.file_inside(run, FILE)
    if path is None:
        raise UserError(
            f"{run} holds no {FILE}; `fishlib reproduce --only 05` makes it, once notebooks 01 to 03 have run."
        )
    values = documents.read_object(path)
    settings = _settings(values, path)
    if not values.get("own_layer"):
        return settings, None

    head = paths.file_inside(run, HEAD)
    if head is None:
        raise UserError(f"{run / HEAD} is missing; `fishlib reproduce --only 05` makes it anew.")
    state, _ = tensors.read_state(head)
    layer = state.get("weight"), state.get("bias")
    if layer[0] is None or layer[1] is None or layer[0].ndim != 2 or layer[1].shape != layer[0].shape[:1]:
        raise UserError(f"{head} is no last layer; `fishlib reproduce --only 05` makes it anew.")
    if len(layer[1]) != len(settings.species):
        raise UserError(
            f"{head} has {len(layer[1])} outputs, {path.name} {len(settings.species)} species; run 05 anew."
        )
    return settings, tuple(part.float().numpy() for part in layer)


def _settings(values: dict, path: Path) -> Settings:
    """Settings of a JSON object; UserError where one is missing or of another kind."""
    try:
        return Settings(
            variant=_text(values["variant"]),
            species=[_text(name) for name in values["species"]],
            source=_text(values["source"]),
            temperature=_positive(values["temperature"]),
            thresholds={_text(name): _number(value) for name, value in values["thresholds"].items()},
            unknown_threshold=float(values["unknown_threshold"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}); `fishlib reproduce --only 05` makes it anew.") from error


def _text(value) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _number(value) -> float | None:
    return None if value is None else float(value)


def _positive(value) -> float:
    number = float(value)
    if not number > 0:
        raise ValueError(f"a temperature of {number}")
    return number
