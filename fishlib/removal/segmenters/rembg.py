"""rembg (extra): a plain background remover's networks, which know no word and keep whatever stands out.

rembg stretches every answer to its full range before it makes a mask of it, so that it never finds nothing and a faint
ghost becomes a mask. Here the network's own answer, a probability, is compared with a threshold instead.
"""

import importlib.util
import sys
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from fishlib import cache
from fishlib.errors import NotRun, UserError
from fishlib.photos import masks
from fishlib.removal.segmenters import NO_DETECTION, Segmentation, checkpoints, common

# Sessions of rembg whose network answers with one map of what stands out. Not taken: those that send the photo to a
# service, that need a point or a prompt (sam), and that tell several kinds of clothes apart.
SESSIONS = (
    "u2net", "u2netp", "u2net_human_seg", "silueta", "isnet-general-use", "isnet-anime", "bria-rmbg",
    "birefnet-general", "birefnet-general-lite", "birefnet-general-fp16", "birefnet-portrait", "birefnet-dis",
    "birefnet-hrsod", "birefnet-cod", "birefnet-massive",
)  # fmt: skip
DEFAULTS = {
    "session": "u2net",  # how the photo is prepared and the answer read: one of SESSIONS; u2net was long rembg's own
    "model": "",  # the session's .onnx file; empty: the one that `fishlib weights fetch rembg_<session>` makes
    "threshold": 0.5,  # ours: more likely than not; rembg takes none
}
LIMITS = {"threshold": common.SHARE}
VANISHED = 16  # pixels; a smaller mask is none, as in the mask adjustment


def build(params: dict, device: str = "cpu", offline: bool = True) -> "Rembg":
    """params: any of DEFAULTS. UserError for another name, NotRun where package or file is missing."""
    options = common.options("rembg", DEFAULTS, params, LIMITS)
    if options["session"] not in SESSIONS:
        raise UserError(f"rembg: session is {options['session']!r}; choose one of {', '.join(SESSIONS)}.")
    return Rembg(options, device, offline)


def needs(options: dict) -> dict[str, str]:
    """Part -> its checkpoint as the options name it."""
    return {"rembg": options["model"] or f"rembg_{options['session']}"}


class Rembg:
    """The session is opened at the first photo; package and file are looked for now."""

    def __init__(self, options: dict, device: str, offline: bool):
        self.options, self.device = options, device
        _folder_of_the_package()
        self.path = checkpoints.locate_all(needs(options), offline)["rembg"]
        self.key = {
            "method": "rembg",
            "options": {k: v for k, v in options.items() if k != "model"},
            "checkpoints": {"rembg": checkpoints.fingerprint(self.path, "rembg")},
            "code": cache.code_version(__name__),
        }

    @cached_property
    def session(self):
        """rembg's session over our file, its network wrapped in a Listener; NotRun for a file that is no network."""
        import onnxruntime

        from fishlib.device import choose_device

        session_class = sessions()[self.options["session"]]
        local = {"download_models": classmethod(lambda cls, *_, **__: str(self.path))}  # never over the network
        here = type(session_class.__name__, (session_class,), local)

        providers = ["CPUExecutionProvider"]
        gpu = "CUDAExecutionProvider"
        if choose_device(self.device).startswith("cuda") and gpu in onnxruntime.get_available_providers():
            providers.insert(0, gpu)
        try:
            session = here(self.options["session"], onnxruntime.SessionOptions(), providers=providers)
        except Exception as error:  # onnxruntime has a kind for every way a file can be broken
            name = self.options["session"]
            raise NotRun(
                f"{self.path} cannot be opened as rembg's {name} ({_short(error)}); fetch it again."
            ) from error
        session.inner_session = Listener(session.inner_session)
        return session

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        return [self.one(common.rgb(image)) for image in images]

    def one(self, image: np.ndarray) -> Segmentation:
        """All that stands out, whatever it is; image: uint8 (H, W, 3) RGB."""
        chances = self.chances(image)
        mask = chances > self.options["threshold"]
        detail = {"session": self.options["session"], "highest": round(float(chances.max()), 4)}
        if mask.sum() < VANISHED:
            reason = f"nothing stands out: at most {chances.max():.2f}, {self.options['threshold']} is needed"
            return Segmentation(status=NO_DETECTION, reason=reason, detail=detail)
        return Segmentation(mask, masks.box_of(mask), detail=detail)

    def chances(self, image: np.ndarray) -> np.ndarray:
        """How likely each pixel belongs to what stands out, float32 (H, W), as the network says it; NotRun where the
        network cannot be asked so. Enlarged as rembg enlarges its masks."""
        picture = Image.fromarray(image)
        try:
            with np.errstate(all="ignore"):  # rembg divides by the range of the answer, which may be none
                self.session.predict(picture)
            answer = np.asarray(self.session.inner_session.answer[0], np.float32)[:, 0]
            if answer.shape[0] != 1 or answer.ndim != 3 or not np.isfinite(answer).all():
                raise ValueError(f"it answers with an array {answer.shape} or with no numbers")
        except NotRun:
            raise
        except Exception as error:  # onnxruntime's own kinds, and answers of other shapes
            name = self.options["session"]
            raise NotRun(
                f"{self.path} is no network of rembg's {name}: it fails on a photo ({_short(error)})."
            ) from error

        if hasattr(self.session, "sigmoid"):  # whose network answers with logits
            answer = self.session.sigmoid(answer)
        elif answer.min() < -1e-3 or answer.max() > 1 + 1e-3:
            raise NotRun(
                f"{self.path} is no network of rembg's {self.options['session']}: its answers are no probabilities."
            )
        small = Image.fromarray(answer[0].astype(np.float32))
        return np.asarray(small.resize(picture.size, Image.Resampling.LANCZOS)).clip(0, 1)  # which overshoots at edges


class Listener:
    """A session of onnxruntime whose last answer is kept as it came."""

    def __init__(self, session):
        self.session = session
        self.answer: list[np.ndarray] = []

    def run(self, names, inputs, *options) -> list[np.ndarray]:
        self.answer = self.session.run(names, inputs, *options)
        return self.answer

    def __getattr__(self, name: str):
        return getattr(self.session, name)


def sessions() -> dict:
    """Name -> class of rembg's sessions.

    Read from the package's folder without importing the package: that would import pymatting, which compiles for a
    minute at its first import and is not used here.
    """
    name = "fishlib_rembg_sessions"
    if name not in sys.modules:
        folder = _folder_of_the_package() / "sessions"
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception:
            del sys.modules[name]
            raise
    return sys.modules[name].sessions


def _folder_of_the_package() -> Path:
    found = importlib.util.find_spec("rembg")
    if found is None or not found.submodule_search_locations:
        raise NotRun("The method rembg needs the package rembg; install fishlib[rembg].")
    return Path(found.submodule_search_locations[0])


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ")
