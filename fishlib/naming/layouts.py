"""State dicts as other programs spell them, turned into the names timm gives the layers of its models."""

import sys
from collections import Counter

import torch

from fishlib.errors import UserError
from fishlib.files.tensors import brief

# what training programs put before every name; where a file holds two networks, the averaged one comes first
PREFIXES = (
    "module.",
    "_orig_mod.",
    "ema_model.",
    "model_ema.",
    "ema.",
    "teacher.",
)  # DataParallel, torch.compile, EMAs
PREFIXES += ("model.", "net.", "network.", "backbone.", "encoder.", "feature_extractor.", "student.")  # Lightning, own
MAX_PREFIXES = 8  # one before another
# what a training keeps beside the network under names of its own; n_averaged: torch's AveragedModel (SWA)
TRAINERS = ("criterion.", "loss.", "loss_fn.", "n_averaged")
# what hangs on the size of the picture: timm's own filter resizes it
POSITIONS = {"pos_embed", "relative_position_bias_table", "rel_pos_h", "rel_pos_w"}
TRANSFORMERS = {"embeddings", "embedder"}  # every vision model of Hugging Face's transformers begins with one, none of
# timm's has one


def fit(state: dict, model: torch.nn.Module, backbone: str, path: object = "") -> tuple[dict, list[str]]:
    """(the state dict under the names of `model`, notes on what was left out).

    state: name -> tensor; model: timm's `backbone` without its last layer, whose weights stay in the state. Names that
    the model has are taken as they are, position embeddings of pictures of another size resized by timm; else prefixes
    are taken off, and timm's own filter turns those of a network's authors. path names the file in errors. Raises
    UserError for a model of Hugging Face's transformers, and where timm's filter fails.
    """
    own = model.state_dict()
    plain, left_out = _unwrapped(state, set(own))
    plain = _without_buffers(plain, model)
    notes = _notes(left_out)
    if own.keys() <= plain.keys():
        if any(plain[name].shape != own[name].shape for name in own if name.split(".")[-1] in POSITIONS):
            return _by_timm(plain, model, backbone, path), notes
        return plain, notes

    if any(TRANSFORMERS & set(name.split(".")) for name in state):
        raise UserError(
            f"{path} is a model of Hugging Face's transformers, which is not read; give {backbone} as timm has it."
        )
    return _without_buffers(_by_timm(plain, model, backbone, path), model), notes


def _unwrapped(state: dict, own: set[str]) -> tuple[dict, list[str]]:
    """(the state under the names behind their prefixes, names left out because they are no part of the network)."""
    left_out = [name for name in state if name.startswith(TRAINERS)]
    state = {name: value for name, value in state.items() if name not in left_out}

    for _ in range(MAX_PREFIXES):
        prefix = _commonest_prefix(state)
        if prefix is None or own <= set(state):
            break
        left_out += [name for name in state if not name.startswith(prefix)]
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

    return state, left_out


def _commonest_prefix(state: dict) -> str | None:
    """The prefix of most names, the first in PREFIXES of equals; None where more names have none."""
    counts = Counter(next((prefix for prefix in PREFIXES if name.startswith(prefix)), None) for name in state)
    commonest = max(PREFIXES, key=lambda prefix: counts[prefix])  # max keeps the first of equals
    return commonest if counts[commonest] > counts[None] else None


def _without_buffers(state: dict, model: torch.nn.Module) -> dict:
    """Without what the model computes anew, as Swin's window masks and indices: earlier versions of timm kept them."""
    kept = set(model.state_dict())
    computed = {name for name, _ in model.named_buffers()} - kept
    return {name: value for name, value in state.items() if name not in computed}


def _by_timm(state: dict, model: torch.nn.Module, backbone: str, path: object) -> dict:
    """The state as timm's own filter makes it of the original authors' names; as it is where timm has no filter."""
    rename = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if rename is None:
        return state
    try:
        return dict(rename(dict(state), model))
    except Exception as error:  # it takes for granted that the names are the authors'
        raise UserError(no_weights(path, backbone)) from error


def no_weights(path: object, backbone: str, why: str = "") -> str:
    """The sentence for a state dict that does not fit."""
    return f"{path} does not hold the weights of {backbone}{why and f' ({why})'}; name its timm backbone."


def _notes(left_out: list[str]) -> list[str]:
    if not left_out:
        return []
    named = ", ".join(map(brief, left_out[:3])) + (", ..." if len(left_out) > 3 else "")
    return [f"Left out of the checkpoint, as no part of the network: {named} ({len(left_out)} in all)."]
