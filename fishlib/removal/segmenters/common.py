"""What the segmenters share: checked options, prompts, number formats, pictures.

Imports no network's package at once: with the zoo's checkpoints what a run would do is known without any.
"""

import math
import os

import numpy as np

from fishlib.device import has_bf16
from fishlib.errors import UserError

# oneDNN keeps 1,024 compiled layers; photos of some twenty shapes need more, and what it throws away and compiles anew
# leaves holes in the heap: after 600 photos of many shapes 1.10 times the memory of after 100, with this 1.00. It is
# read at the first layer that runs; an own setting stays.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")

SHARE = (0.0, 1.0)  # limits of an option that is a share or a score


def options(method: str, defaults: dict, given: dict, limits: dict[str, tuple] | None = None) -> dict:
    """The defaults with `given` over them; limits: option -> least and largest number.

    UserError for an unknown name, a value of another type and a number that is not finite or outside its limits.
    """
    for name, value in given.items():
        if name not in defaults:
            raise UserError(f"{method} has no option {name!r}; choose among {', '.join(defaults)}.")

        wanted = type(defaults[name])
        if not _fits(value, wanted):
            raise UserError(f"{method}: {name} is {value!r}, but a {wanted.__name__} is needed; correct the profile.")
        if wanted is list:
            _check_elements(f"{method}: {name}", value, type(defaults[name][0]))
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{method}: {name} is {value!r}, which is no number; correct the profile.")
        if limits and name in limits:
            least, largest = limits[name]
            if not least <= value <= largest:
                raise UserError(f"{method}: {name} is {value!r}; give {least} to {largest} in the profile.")
        _check_text(f"{method}: {name}", value)
    return {**defaults, **given}


def _fits(value, wanted: type) -> bool:
    """A whole number does for a float; true and false are no numbers."""
    if isinstance(value, bool):
        return wanted is bool
    if wanted is float:
        return isinstance(value, int | float)
    return isinstance(value, wanted)


def _check_elements(name: str, values: list, wanted: type) -> None:
    """UserError for a list with an element of another type than its default's."""
    for value in values:
        if not _fits(value, wanted):
            what = "a text" if wanted is str else "a number"
            raise UserError(f"{name} holds {value!r}, but each is {what}; correct the profile.")


def _check_text(name: str, value) -> None:
    """UserError for text that has no bytes (half of a surrogate pair), on which tokenizers and files stumble."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise UserError(f"{name} is {text!r}, which is no text; correct the profile.") from error


def prompt(text: str) -> str:
    """The one gate for Grounding DINO's prompts: lower case, no blanks round it, a dot at the end ("Fish" -> "fish.").

    As groundingdino's preprocess_caption; a caption without a word, which crashes the model, is a UserError.
    """
    text = text.lower().strip()
    if not text.strip(" .?"):
        raise UserError(f"The prompt {text!r} names nothing to look for; use a word such as fish.")
    return text if text.endswith(".") else text + "."


def concept(text: str) -> str:
    """The same for SAM 3, which is given the bare words ("Fish." -> "fish"); a prompt without any is a UserError."""
    return prompt(text).rstrip(" .")


def wants_bf16(dtype: str, device: str, spec: str = "") -> bool:
    """dtype "auto" means bf16 where the device has units for it, else fp32; UserError for another word.

    It means fp32 for the zoo (spec "zoo"), whose small layers gain nothing (a photo of 640 px: 0.19 s of CPU time in
    fp32, 0.20 s in bf16) and which then gives the same numbers everywhere.
    """
    if dtype not in ("auto", "fp32", "bf16"):
        raise UserError(f"dtype is {dtype!r}; choose auto, fp32 or bf16.")
    if dtype != "auto":
        return dtype == "bf16"
    return spec != "zoo" and has_bf16(device)


def rgb(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3), contiguous; a grey (H, W) image is repeated, an alpha channel left out."""
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    return np.ascontiguousarray(image[..., :3], dtype=np.uint8)
