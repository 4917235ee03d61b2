"""timm's networks without their last layer, and weights put into them, all of them or none."""

import difflib
from pathlib import Path

import timm
import torch

from fishlib.errors import UserError
from fishlib.files.tensors import brief
from fishlib.naming import layouts
from fishlib.naming.namer import Head
from fishlib.photos.matching import maybe


def create(backbone: str, side: int | None = None, **options) -> torch.nn.Module:
    """An untrained timm model by name (num_classes=0: features only) for pictures of that side, by default its own.

    UserError for an unknown name, and for a side that its patches or windows do not divide.
    """
    if ":" in backbone or not timm.is_model(backbone):  # "hf-hub:..." would download
        near = difflib.get_close_matches(backbone, timm.list_models(), 3)
        raise UserError(f"timm knows no backbone {brief(backbone)!r}; choose another{maybe(near)}.")
    if side is None or not _demands_a_side(backbone):
        return timm.create_model(backbone, pretrained=False, **options)

    try:
        model = timm.create_model(backbone, pretrained=False, img_size=side, **options)
    except (AssertionError, ValueError, RuntimeError, TypeError) as error:  # each family of networks has its own
        raise UserError(f"{backbone} cannot be made for pictures of {side} x {side}; choose its own size.") from error
    _hold_patches(model, backbone, side)
    return model


def side_of(model: torch.nn.Module, asked: int | None = None) -> int | None:
    """Pixels of a side that a model of `create` demands, made for the side that was asked for; None: it takes any."""
    configuration = model.pretrained_cfg
    if not configuration.get("fixed_input_size"):
        return None
    return asked or max(configuration["input_size"][1:])


def _demands_a_side(backbone: str) -> bool:
    """Networks with position embeddings or windows are made for pictures of one size."""
    return bool(timm.models.get_pretrained_cfg(backbone).fixed_input_size)


def _hold_patches(model: torch.nn.Module, backbone: str, side: int) -> None:
    """UserError where the patches of a transformer leave a rest."""
    patch = max(getattr(getattr(model, "patch_embed", None), "patch_size", (1, 1)))
    if side % patch == 0:
        return
    fitting = max(patch, round(side / patch) * patch)
    raise UserError(
        f"{backbone} cuts a picture into patches of {patch} pixels, which {side} is no multiple of; choose {fitting}."
    )


def width(model: torch.nn.Module) -> int:
    """Length D of what a timm model without its last layer answers."""
    return getattr(model, "head_hidden_size", None) or model.num_features


def without_head(state: dict, model: torch.nn.Module) -> tuple[dict, Head | None]:
    """(the state without the last layer, that layer as (W (C, D), b (C,)) float32 or None)."""
    key = model.pretrained_cfg.get("classifier")  # timm's name of the last layer
    names = [f"{key}.weight", f"{key}.bias"]
    rest = {name: value for name, value in state.items() if name not in names}
    if not all(name in state for name in names):
        return rest, None
    weight, bias = (state[name].to(torch.float32, copy=True) for name in names)  # no longer the file's own memory
    return rest, (weight, bias)


def put(model: torch.nn.Module, state: dict, backbone: str, path: Path | str) -> None:
    """Put the weights into the model, all of them; UserError, with the first that does not fit."""
    own = model.state_dict()
    why = ""
    for name in [*own, *state]:
        if name not in state:
            why = f"it lacks {brief(name)}"
        elif name not in own:
            why = f"it has {brief(name)} besides"
        elif state[name].shape != own[name].shape:
            why = f"{name} is {size_text(state[name])}, not {size_text(own[name])}"
        if why:
            raise UserError(layouts.no_weights(path, backbone, why))
    try:
        model.load_state_dict(state)
    except Exception as error:  # numbers of a kind that cannot be copied into the network's
        raise UserError(layouts.no_weights(path, backbone)) from error


def size_text(value: torch.Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "a single number"


def hold_finite(path: Path | str, state: dict) -> None:
    """UserError where a weight is no number: every answer would be one species."""
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise UserError(
                f"{path} holds weights that are no numbers ({name}); its training failed, or it is damaged."
            )
