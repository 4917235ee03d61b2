"""Weights from anyone: safetensors and torch files, nothing in them runs."""

import argparse
from pathlib import Path

from fishlib.errors import UserError

# an EMA before the plain weights: it is what the training meant to keep
WRAPPERS = ("state_dict_ema", "ema_state_dict", "model_ema", "ema", "state_dict", "model_state_dict", "model")
MAX_WRAPPERS = 8  # one in another; a dict that holds itself has no end


def read_state(path: Path) -> tuple[dict, dict[str, str]]:
    """(state dict: name -> tensor on the CPU, metadata: name -> text, {} but for safetensors) of a file of weights.

    A torch file may hold the state dict in one of WRAPPERS. Tensors of a torch file are mapped, not copied, where the
    format allows it. Raises UserError for everything that is no file of plain weights.
    """
    path = Path(path)
    content, metadata = _safetensors(path) if path.suffix == ".safetensors" else (_torch(path), {})
    return _tensors(path, content), metadata


def _safetensors(path: Path) -> tuple[dict, dict[str, str]]:
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except Exception as error:  # its reader has a kind for every way a file can be broken
        raise UserError(_no_weights(path)) from error


def _torch(path: Path):
    import torch

    options = {"map_location": "cpu", "weights_only": True}
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # timm keeps its options in the file
            try:
                return torch.load(path, mmap=True, **options)
            except RuntimeError:  # a file of before torch 1.6 cannot be mapped
                return torch.load(path, **options)
    except MemoryError as error:
        raise UserError(f"{path} needs more memory than there is; close other programs.") from error
    except Exception as error:  # unpickling a broken file raises nearly anything
        raise UserError(_no_weights(path)) from error


def _tensors(path: Path, content) -> dict:
    import torch

    for _ in range(MAX_WRAPPERS):
        if not isinstance(content, dict):
            break
        inner = [name for name in WRAPPERS if isinstance(content.get(name), dict)]
        if not inner:
            break
        content = content[inner[0]]
    named = content.items() if isinstance(content, dict) else ()
    state = {name: value for name, value in named if isinstance(name, str) and torch.is_tensor(value)}
    if not state:
        raise UserError(f"{path} holds no state dict (names with tensors); save the model's state_dict().")
    return state


def _no_weights(path: Path) -> str:
    return f"{path} is no readable file of plain weights; give a state dict."
