"""Tiny checkpoints of the real classes, trained by the project on drawn fish only, so that everything runs anywhere.

They show that the machinery works and cut plain photos; they are no substitute for the public checkpoints.
How each was trained and what it scores: cards/<name>.md.
"""

import hashlib
from pathlib import Path

from fishlib.errors import NotRun, UserError
from fishlib.files import tensors

ANSWERS = Path(__file__).with_name("cards") / "answers.json"  # to drawn fish, see removal.first_contact
FILES = {
    "gdino": "gdino.safetensors",
    "sam": "sam.safetensors",
    "clip": "clip.safetensors",
    "detic": "detic.onnx",
    "classifier": "classifier.safetensors",
}


def path(name: str) -> Path:
    """The checkpoint's file. UserError for an unknown name or a file that is not there."""
    if name not in FILES:
        raise UserError(f"The zoo has no model {name!r}; choose one of {', '.join(FILES)}.")
    file = Path(__file__).with_name(FILES[name])
    if not file.is_file():
        how = "specimens" if name == "classifier" else f"train {name}"
        command = f"python -m fishlib.training.{how} --out DIR"
        raise NotRun(f"{file} is missing; install fishlib again or train it with `{command}`.")
    return file


def sha256(name: str) -> str:
    """Hex digest of the checkpoint's file."""
    return hashlib.sha256(path(name).read_bytes()).hexdigest()


def load(name: str, device: str = "cpu"):
    """A model of the zoo in eval mode, float32, on the device.

    gdino: groundingdino's GroundingDINO for `groundingdino.util.inference.predict`; pictures of any size (the
        model resizes to a long side of `model.image_side` = 320 px itself), RGB with ImageNet mean and deviation;
        captions of whole words, "fish." among them.
    sam: segment_anything's Sam at 256 px, for SamPredictor and SamAutomaticMaskGenerator. The three masks of
        multimask_output are the whole fish, its body without fins and a half of it.
    clip: (transformers' CLIPModel, CLIPProcessor).
    detic, classifier: the Path of the ONNX file ("Detic (stand-in)") and of fishlib.naming.classifier's checkpoint.
    """
    file = path(name)
    if name in ("detic", "classifier"):
        return file

    from fishlib.zoo import clip, gdino, sam

    networks = {"gdino": gdino, "sam": sam, "clip": clip}
    model = networks[name].build()
    state, _ = tensors.read_state(file)
    model.load_state_dict(state)  # float16 in the file, float32 in the model
    model = model.requires_grad_(False).eval().to(device)
    return (model, clip.processor()) if name == "clip" else model
