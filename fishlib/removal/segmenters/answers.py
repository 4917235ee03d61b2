"""Asks a method about one photo and holds its answer against the protocol, before anything of it is kept.

A method may be a stranger's file, a package of another release or a checkpoint of another shape: where it raises, or
answers with something that is no mask of this photo, it has not run, and the other methods go on.
"""

import traceback
from pathlib import Path

import numpy as np

from fishlib.errors import NotRun, UserError
from fishlib.removal import segmenters
from fishlib.removal.segmenters import MASK_REJECTED, NO_DETECTION, OK, Segmentation


def ask(method: str, segmenter: segmenters.Segmenter, image: np.ndarray, photo_id: str) -> Segmentation:
    """The method's answer about one photo, uint8 (H, W, 3) RGB.

    NotRun, naming method and photo, where it raises or its answer is none; UserError and MemoryError as they come.
    """
    try:
        answers = segmenter.segment([image], [photo_id])
    except (UserError, MemoryError):
        raise
    except Exception as error:  # code of other packages, or of the user
        raise NotRun(f"{method} stopped at {photo_id}: {told(error)}.") from error

    if not isinstance(answers, list | tuple) or len(answers) != 1:
        raise NotRun(f"{method} was asked about one photo, {photo_id}, and does not answer with a list of one.")
    [found] = answers
    fault = _fault(found, image.shape[:2])
    if fault:
        raise NotRun(f"{method} answered {photo_id} with {fault}.")
    return found


def told(error: Exception) -> str:
    """An error of other code: its kind, what it says, and in which line of which file."""
    frames = traceback.extract_tb(error.__traceback__)
    real = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    where = f" ({Path(real[-1].filename).name}, line {real[-1].lineno})" if real else ""
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said}{where}"


def _fault(found, size: tuple[int, int]) -> str:
    """What is wrong with an answer about a photo of (height, width), to end a sentence with; "" where nothing is."""
    if not isinstance(found, Segmentation):
        return f"a {type(found).__name__}, which is no Segmentation"
    if found.status not in (OK, NO_DETECTION, MASK_REJECTED):
        return f"the status {found.status!r}, which is none of {OK}, {NO_DETECTION} and {MASK_REJECTED}"
    if found.status != OK:
        return _fault_of_box(found.box)

    mask = found.mask
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != size:
        what = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        return f"the mask {what}, where booleans {size} are needed"
    if not mask.any():
        return f"an empty mask and the status {OK}, where {NO_DETECTION} or {MASK_REJECTED} is needed"
    return _fault_of_box(found.box)


def _fault_of_box(box) -> str:
    """As _fault, of a box XYXY or None."""
    if box is None:
        return ""
    corners = np.asarray(box)
    if corners.shape != (4,) or corners.dtype.kind not in "fiu" or not np.isfinite(corners).all():
        return f"the box {corners.tolist()!r:.100}, where four numbers are needed"
    return ""
