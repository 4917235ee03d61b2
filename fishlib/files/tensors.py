"""Weights from anyone: safetensors and torch files, nothing in them runs."""

import argparse
from pathlib import Path
from typing import Any

from fishlib.errors import UserError

# an EMA before the plain weights: it is what the training meant to keep
WRAPPERS = ("state_dict_ema", "ema_state_dict", "model_ema", "ema", "state_dict", "model_state_dict", "model")
WRAPPERS += ("teacher", "student")  # self-distillation keeps both, and goes on with the teacher
LONGEST_NAME = 80  # letters of a name that a sentence repeats
MAX_WRAPPERS = 8  # one in another; a dict that holds itself has no end
TORCH = (b"PK\x03\x04", b"\x80\x02")  # a zip archive, or a bare pickle of before torch 1.6


def read_state(path: Path) -> tuple[dict, dict[str, str]]:
    """(state dict: name -> tensor on the CPU, metadata: name -> text, {} but for safetensors) of a file of weights.

    What the file is, its first bytes say. A torch file may hold the state dict in one of WRAPPERS. Tensors are mapped,
    not copied, where the format allows it. Raises UserError for everything that is no file of plain weights.
    """
    path = Path(path)
    if is_safetensors(path):
        content, metadata = _safetensors(path), read_metadata(path)
    else:
        content, metadata = read_torch(path), {}
    return _tensors(path, content), metadata


def is_safetensors(path: Path) -> bool:
    """Is the file one of safetensors (or, where its bytes say neither, named so)? UserError where there is no file."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the file of weights in it.")
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; give a file of weights.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from error
    if start.startswith(TORCH):
        return False
    return start[8:] == b"{" or path.suffix.lower() == ".safetensors"  # 8 bytes say how long the JSON after them is


def read_metadata(path: Path) -> dict[str, str]:
    """The texts a safetensors file holds beside its tensors, which are not read (imports no torch). UserError."""
    from safetensors import safe_open

    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except MemoryError as error:
        raise UserError(_too_large(path)) from error
    except Exception as error:  # its reader has a kind for every way a file can be broken
        raise UserError(_no_weights(path)) from error


def read_torch(path: Path, mapped: bool = True) -> Any:
    """What torch.save wrote: tensors, on the CPU, in dicts and lists, beside numbers and text. Else UserError.

    mapped: tensors stay in the file until they are used, which then must not be written over.
    """
    import torch

    options = {"map_location": "cpu", "weights_only": True}
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # timm keeps its options in the file
            if not mapped:
                return torch.load(path, **options)
            try:
                return torch.load(path, mmap=True, **options)
            except RuntimeError:  # a file of before torch 1.6 cannot be mapped
                return torch.load(path, **options)
    except MemoryError as error:
        raise UserError(_too_large(path)) from error
    except Exception as error:  # unpickling a broken file raises nearly anything
        raise UserError(_no_weights(path)) from error


def _safetensors(path: Path) -> dict:
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except MemoryError as error:
        raise UserError(_too_large(path)) from error
    except Exception as error:  # its reader has a kind for every way a file can be broken
        raise UserError(_no_weights(path)) from error


def _tensors(path: Path, content: Any) -> dict:
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
    odd = [name for name, value in state.items() if not _is_plain(value)]
    if odd:
        raise UserError(
            f"{path} holds {brief(odd[0])} as no plain numbers (but sparse, quantised, complex or without data); save "
            "the weights as plain tensors."
        )
    return state


def brief(name: str) -> str:
    """A name from a stranger's file as part of a sentence: one line, and not a long one."""
    shown = name if name.isprintable() else repr(name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[:LONGEST_NAME]}..."


def _is_plain(value: Any) -> bool:
    """Is the tensor one of real numbers, each of which lies in memory?"""
    import torch

    odd = value.is_quantized or value.is_meta or value.is_complex()
    return value.layout == torch.strided and not odd


def _too_large(path: Path) -> str:
    return f"{path} needs more memory than there is; close other programs."


def _no_weights(path: Path) -> str:
    return f"{path} is no readable file of plain weights; give a state dict."
