"""What the segmenters share: checked options, prompts, checkpoints and hashes, number formats, quiet packages.

Imports no network's package at once: with the zoo's checkpoints what a run would do is known without any.
"""

import contextlib
import io
import os
import warnings
from pathlib import Path

import numpy as np

from fishlib import cache, weights, zoo
from fishlib.errors import UserError

# oneDNN keeps 1,024 compiled layers; photos of some twenty shapes need more, and what it throws away and compiles anew
# leaves holes in the heap: after 600 photos of many shapes 1.10 times the memory of after 100, with this 1.00. It is
# read at the first layer that runs; an own setting stays.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")

# short name in a profile -> name in the weights' manifest
SHORT = {"swint_ogc": "groundingdino_swint_ogc", "swinb_cogcoor": "groundingdino_swinb_cogcoor"}
SHORT |= {f"vit_{size}": f"sam_vit_{size}" for size in "blh"}


def options(method: str, defaults: dict, given: dict) -> dict:
    """The defaults with `given` over them; UserError for an unknown name or a value of another type."""
    for name, value in given.items():
        if name not in defaults:
            raise UserError(f"{method} has no option {name!r}; choose among {', '.join(defaults)}.")
        wanted = type(defaults[name])
        fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
        if not (fits or (wanted is type(None) and isinstance(value, str))) or (
            isinstance(value, bool) > (wanted is bool)
        ):
            raise UserError(f"{method}: {name} is {value!r}, but a {wanted.__name__} is needed; correct the profile.")
    return {**defaults, **given}


def prompt(text: str) -> str:
    """The one gate for prompts: lower case, no blanks round it, a dot at the end ("Fish" -> "fish.").

    As groundingdino's preprocess_caption; a caption without a word, which crashes the model, is a UserError.
    """
    text = text.lower().strip()
    if not text.strip(" .?"):
        raise UserError(f"The prompt {text!r} names nothing to look for; use a word such as fish.")
    return text if text.endswith(".") else text + "."


def locate(spec: str, offline: bool) -> Path | None:
    """The file or folder of a checkpoint: a SHORT name, a name of the manifest or a path; None for "zoo".

    Raises NotRun with the file that is missing and where to put it. Never downloads.
    """
    return None if spec == "zoo" else weights.path(SHORT.get(spec, spec), offline)


def fingerprint(path: Path | None, zoo_name: str) -> str:
    """Hash of the checkpoint: its file, all files of its folder, or the zoo's file of that name."""
    if path is None:
        return zoo.sha256(zoo_name)
    files = sorted(f for f in path.iterdir() if f.is_file()) if path.is_dir() else [path]
    return cache.key(files=[(f.name, cache.file_hash(f)) for f in files])


def read_state(path: Path) -> dict:
    """Name -> torch.Tensor of a .safetensors or .pth file; nothing in it is executed. UserError if it is neither."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state.get("model", state)
    except Exception as error:  # the readers raise a dozen kinds for a broken file
        raise UserError(f"{path} cannot be read as weights; fetch the file again.") from error


def has_bf16(device: str) -> bool:
    """Does the device ("auto": see choose_device) multiply bf16 in hardware? On a CPU: AMX, AVX512_BF16, Arm's bf16."""
    import torch

    from fishlib.device import choose_device

    device = choose_device(device)
    if not device.startswith("cpu"):
        return device.startswith("cuda") and torch.cuda.is_bf16_supported()
    probes = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    known = any(probe() for probe in probes if probe)
    flags = Path("/proc/cpuinfo").read_text(errors="replace") if Path("/proc/cpuinfo").is_file() else ""
    return known or "amx_bf16" in flags or "avx512_bf16" in flags or " bf16" in flags


def wants_bf16(dtype: str, device: str, spec: str = "") -> bool:
    """dtype "auto" means bf16 where the device has units for it, else fp32; fp32 for the zoo (spec "zoo"), whose small
    layers gain nothing (a photo of 640 px: 0.19 s of CPU time in fp32, 0.20 s in bf16) and then give the same numbers
    everywhere. UserError for another word."""
    if dtype not in ("auto", "fp32", "bf16"):
        raise UserError(f"dtype is {dtype!r}; choose auto, fp32 or bf16.")
    return dtype == "bf16" or (dtype == "auto" and spec != "zoo" and has_bf16(device))


def rgb(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3), contiguous; a grey (H, W) image is repeated, an alpha channel left out."""
    image = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image[..., :3]
    return np.ascontiguousarray(image, dtype=np.uint8)


@contextlib.contextmanager
def quiet():
    """Keep the packages' prints and warnings, which a user can do nothing about, off the screen."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.set_verbosity(level)
