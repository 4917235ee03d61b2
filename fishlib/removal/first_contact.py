"""First contact: does a model do on this machine what it should? Asked about drawn fish whose masks are exact.

Nobody who wrote this could run the public checkpoints, and a file that was just fetched has proved nothing yet. Drawn
fish are no photos, so the bounds are coarse and our guess, and no model is called wrong: it is as it should be, or
suspicious, with what hints at the cause. The stand-ins of the zoo were trained on drawn fish; what they answer is known
beforehand, and held to that.
"""

import json
import math
import statistics
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from fishlib import cache, phantom, weights, zoo
from fishlib.device import choose_device
from fishlib.errors import NotRun, UserError
from fishlib.files import documents, writing
from fishlib.files.progress import Bar
from fishlib.phantom import traits
from fishlib.photos import masks
from fishlib.removal import segmenters
from fishlib.removal.segmenters import OK, Segmentation, answers
from fishlib.study import Study

KEPT = "first_contact.json"  # of a run, beside the times of its stages
SEED = 2026  # of the drawn pictures; no figure of the study is made of it
FISH, EMPTY = 12, 2  # pictures with and without a fish
SHORT = (2, 1)  # the same for a look that costs little
OTHER_WORD = "bicycle"  # none is drawn
# our guesses, for models that never saw a drawn fish
LEAST_FOUND = 0.5  # share of the fish
LEAST_IOU = 0.5  # median over the fish that were found
MOST_OTHER = 0.5  # share of the fish that are also found by the other word
BETTER = 0.1  # mean IoU that swapped colours must gain to be a hint
# Of a score or an IoU with one fish. One thread or two change nothing; of twelve fish the one that differs most is off
# by 0.005 (GDINO-SAM), 0.03 (Detic) and 0.11 (SAM-CLIP) where red and blue are swapped, by more without normalisation
TOLERANCE = 0.002
# an entry of the weights' manifest, by how it begins -> (method that takes it, its option); the stand-ins do the rest
TAKEN_BY = {
    "groundingdino_": ("gdino-sam", "gdino"),
    "bert": ("gdino-sam", "bert"),
    "sam_vit_": ("gdino-sam", "sam"),
    "sam2_": ("gdino-sam2", "sam2"),
    "edgetam": ("gdino-sam2", "sam2"),
    "sam3": ("sam3", "sam3"),
    "clip": ("sam-clip", "clip"),
    "detic": ("detic", "model"),
    "rembg_": ("rembg", "session"),
}
STAND_INS = ("gdino-sam", "sam-clip", "detic")  # whose models are all in the zoo


@dataclass(frozen=True)
class Contact:
    """What was seen of one method.

    found, fish, alarms, empty: pictures; alarms are told and not judged, for SAM-CLIP always finds something and few
    pictures prove little. box_iou, mask_iou: medians over the fish found, NaN without any. score: mean confidence over
    all fish, 0 where none was found. mean_iou, swapped_iou: over all fish, the second with red and blue swapped. other:
    fish found by OTHER_WORD, None where the method knows no words or was not asked. seconds: a photo, the median.
    memory_mb: the process's peak, of all that it did before as well; NaN where the system does not say.
    """

    method: str
    device: str
    numbers: str
    fish: int
    found: int
    empty: int
    alarms: int
    box_iou: float
    mask_iou: float
    mean_iou: float
    swapped_iou: float
    score: float
    other: int | None
    seconds: float
    memory_mb: float
    hints: tuple[str, ...]

    @property
    def said(self) -> str:
        if not self.hints:
            return "as it should be"
        return f"suspicious: {'; '.join(self.hints)}"

    def facts(self) -> dict:
        """As JSON takes them: what is no number is None, others have the digits that mean something."""
        values = {name: _plain(value) for name, value in asdict(self).items()}
        return values | {"hints": list(self.hints), "said": self.said}


class Asked(NamedTuple):
    """A method to be met: of which manifest entry or stand-in, by which name and with which options."""

    what: str
    method: str
    options: dict


def _plain(value):
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else round(value, 4)


def asked(what: str) -> list[Asked]:
    """The methods that prove an entry of the weights' manifest, or "zoo"; [] for one that cuts no fish (a namer's).

    Other parts of a method are the zoo's where it has them, so that one file is tried at a time.
    """
    if what == "zoo":
        return [Asked(f"zoo ({method})", method, {}) for method in STAND_INS]
    weights.list_(what)  # UserError for a name that is none
    for beginning, (method, option) in TAKEN_BY.items():
        if what.startswith(beginning):
            options = {option: what.removeprefix("rembg_") if option == "session" else what}
            if option == "bert":
                options["gdino"] = "groundingdino_swint_ogc"
            if method == "gdino-sam2":
                options["gdino"] = "zoo"
            return [Asked(what, method, options)]
    return []


def of_run(study: Study, methods: Iterable[str]) -> dict[str, dict]:
    """Method -> Contact.facts of a short look, for those of a run that use checkpoints: once for each new one.

    Also kept in stages/first_contact.json, for run.json. A method that cannot be asked is left out.
    """
    found = {}
    for method in methods:
        params = study.profile.segmenters.get(method, {})
        if not segmenters.needs(method, params):
            continue
        with suppress(NotRun):
            found[method] = _once(study, method, params)
    writing.write_text(study.out / "stages" / KEPT, json.dumps(found, ensure_ascii=False, indent=1))
    return found


def _once(study: Study, method: str, params: dict) -> dict:
    """The facts of a short look at a run's method, from the cache where it was met before."""
    segmenter = segmenters.build(method, params, study.device, study.offline)
    key = cache.key(segmenter=segmenter.key, device=choose_device(study.device), code=cache.code_version(__name__))
    entry = cache.entry(study.cache, "first_contact", key)
    kept = cache.load(entry)
    if kept is None:
        seen = look(method, segmenter, device=study.device, short=True, known=_known(Asked(method, method, params)))
        kept = {"facts": np.array(json.dumps(seen.facts()))}
        cache.save(entry, **kept)
    return json.loads(str(kept["facts"]))


def table(contacts: dict[str, dict]) -> pd.DataFrame:
    """What was seen, a row a name, in words that need no legend. contacts: name -> Contact.facts."""
    rows = {}
    for name, seen in contacts.items():
        rows[name] = {
            "drawn fish found": f"{seen['found']} of {seen['fish']}",
            "mask IoU": seen["mask_iou"],
            "box IoU": seen["box_iou"],
            "alarms without fish": f"{seen['alarms']} of {seen['empty']}",
            f'found by "{OTHER_WORD}"': "" if seen["other"] is None else f"{seen['other']} of {seen['fish']}",
            "seconds a photo": seen["seconds"],
            "peak memory (GB)": None if seen["memory_mb"] is None else round(seen["memory_mb"] / 1e3, 1),
            "device": seen["device"],
            "numbers": seen["numbers"],
        }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return frame.round(2).dropna(axis=1, how="all").loc[:, lambda there: (there != "").any()]


def meet_all(names: list[str], every: bool, device: str) -> tuple[dict[str, dict], list[str]]:
    """(name -> Contact.facts, a sentence for each that was not asked), of names of the weights' manifest or "zoo".

    every: the stand-ins and all of the manifest that are here. UserError for no name and for one that is none.
    """
    wanted = list(dict.fromkeys(names))
    if every:
        here = [name for name in weights.manifest() if all(row["present"] for row in weights.list_(name))]
        wanted = list(dict.fromkeys([*wanted, "zoo", *(name for name in here if asked(name))]))
    if not wanted:
        raise UserError("Say what to try: names of `fishlib weights list`, zoo, or --all.")

    todo, not_run = [], []
    for name in wanted:
        methods = asked(name)
        todo += methods
        if not methods:
            not_run.append(f"{name} cuts no fish out; only models that do are asked.")
    met = {}
    for one in Bar(todo, "trying", unit="model", leave=False):
        try:
            met[one.what] = meet(one, device).facts()
        except NotRun as error:
            not_run.append(f"{one.what} was not run: {error}")
    return met, not_run


def meet(asked_for: Asked, device: str = "auto", offline: bool = True, short: bool = False) -> Contact:
    """Ask one method about the drawn pictures. short: fewer of them, and no second word.

    Raises NotRun, naming what is missing, where the method cannot run here or stops.
    """
    segmenter = segmenters.build(asked_for.method, asked_for.options, device, offline)
    other = None if short else _with_other_word(asked_for, device, offline)
    return look(asked_for.method, segmenter, other, device, short, known=_known(asked_for))


def look(
    method: str,
    segmenter: segmenters.Segmenter,
    other: segmenters.Segmenter | None = None,
    device: str = "cpu",
    short: bool = False,
    known: list[list[float]] | None = None,
    seed: int = SEED,
) -> Contact:
    """As `meet`, of a method that is built. other: the same that looks for OTHER_WORD. known: [score, IoU] that it must
    answer to each fish of SEED, where that is known."""
    n_fish, n_empty = SHORT if short else (FISH, EMPTY)
    species = list(traits.load())
    fish = [phantom.draw(species[5 * i % len(species)], seed, i) for i in range(n_fish)]
    empty = [phantom.draw(None, seed, FISH + i) for i in range(n_empty)]

    seconds: list[float] = []
    found = [_ask(method, segmenter, drawn.photo, seconds) for drawn in fish]
    alarms = [_ask(method, segmenter, drawn.photo) for drawn in empty]
    swapped = [_ask(method, segmenter, np.ascontiguousarray(drawn.photo[..., ::-1])) for drawn in fish]
    by_other_word = None if other is None else [_ask(method, other, drawn.photo) for drawn in fish]

    ious = [_iou(answer, drawn) for answer, drawn in zip(found, fish, strict=True)]
    boxes = [_box_iou(answer, drawn) for answer, drawn in zip(found, fish, strict=True) if answer.box is not None]
    scores = [answer.score if answer.status == OK and math.isfinite(answer.score) else 0.0 for answer in found]
    contact = Contact(
        method=method,
        device=choose_device(device),
        numbers=_numbers(segmenter),
        fish=n_fish,
        found=sum(answer.status == OK for answer in found),
        empty=n_empty,
        alarms=sum(answer.status == OK for answer in alarms),
        box_iou=_median(boxes),
        mask_iou=_median([iou for iou, answer in zip(ious, found, strict=True) if answer.status == OK]),
        mean_iou=statistics.fmean(ious),
        swapped_iou=statistics.fmean(_iou(answer, drawn) for answer, drawn in zip(swapped, fish, strict=True)),
        score=statistics.fmean(scores),
        other=None if by_other_word is None else sum(answer.status == OK for answer in by_other_word),
        seconds=statistics.median(seconds),
        memory_mb=_peak_memory(),
        hints=(),
    )
    hints = _hints(contact)
    if known is not None:
        hints += _against(known, list(zip(scores, ious, strict=True)))
    return Contact(**{**contact.__dict__, "hints": tuple(hints)})


def _hints(seen: Contact) -> list[str]:
    """What is odd, as phrases; the likely cause with it."""
    odd = []
    if seen.found < LEAST_FOUND * seen.fish:
        odd.append(
            f"{seen.found} of {seen.fish} drawn fish found (pictures not normalised as in its training, a word it does "
            "not know, or weights of another network)"
        )
    elif seen.mask_iou < LEAST_IOU:
        odd.append(
            f"median IoU {seen.mask_iou:.2f} with the drawn fish (pictures not normalised as in its training, or "
            "weights of another network)"
        )
    if seen.swapped_iou > seen.mean_iou + BETTER:
        odd.append(f"better with red and blue swapped ({seen.swapped_iou:.2f} to {seen.mean_iou:.2f}): it wants BGR")
    if seen.other is not None and seen.found and seen.other > MOST_OTHER * seen.fish:
        odd.append(f"{seen.other} of {seen.fish} fish found by the word {OTHER_WORD} as well: the prompt is not heard")
    return odd


def _against(known: list[list[float]], seen: list[tuple[float, float]]) -> list[str]:
    """How a stand-in differs from what it is known to answer: [score, IoU] a fish."""
    off = np.abs(np.array(known[: len(seen)]) - np.array(seen)).max(axis=1)  # of the one that is off by more
    others = int((off > TOLERANCE).sum())
    if not others:
        return []
    return [
        f"{others} of {len(seen)} drawn fish are not answered as this stand-in is known to, by up to {off.max():.3f} "
        "of score or IoU (colours swapped, pictures not normalised, another file, or a machine that computes otherwise)"
    ]


def _numbers(segmenter: segmenters.Segmenter) -> str:
    """The number format of the networks, as the key of a method tells it."""
    _, bf16 = segmenter.key.get("numbers", (None, [segmenter.key.get("bf16", False)]))
    return "bf16" if any(bf16) else "float32"


def _known(asked_for: Asked) -> list[list[float]] | None:
    """What a stand-in answers to the drawn fish; None for any other model."""
    if asked_for.method not in STAND_INS:
        return None
    defaults = segmenters.defaults(asked_for.method)
    if defaults | asked_for.options != defaults:
        return None
    return documents.read_object(zoo.ANSWERS)[asked_for.method]


def _with_other_word(asked_for: Asked, device: str, offline: bool) -> segmenters.Segmenter | None:
    """The method looking for OTHER_WORD; None where it takes no word."""
    defaults = segmenters.defaults(asked_for.method)
    if "prompt" in defaults:
        words = {"prompt": OTHER_WORD}
    elif "labels" in defaults:
        words = {"labels": [OTHER_WORD, *defaults["labels"][1:]]}
    else:
        return None
    return segmenters.build(asked_for.method, asked_for.options | words, device, offline)


def _ask(method: str, segmenter, photo: np.ndarray, seconds: list[float] | None = None) -> Segmentation:
    start = time.perf_counter()
    answer = answers.ask(method, segmenter, photo, "a drawn picture")
    if seconds is not None:
        seconds.append(time.perf_counter() - start)
    return answer


def _iou(answer: Segmentation, drawn: phantom.Phantom) -> float:
    """IoU with the whole fish, 0 where none was found."""
    return float(masks.iou(answer.mask, drawn.body | drawn.fins)) if answer.mask is not None else 0.0


def _box_iou(answer: Segmentation, drawn: phantom.Phantom) -> float:
    """IoU of the box XYXY with the drawn fish's."""
    low = np.maximum(answer.box[:2], drawn.box[:2])
    high = np.minimum(answer.box[2:], drawn.box[2:])
    both = float(np.prod(np.clip(high - low, 0, None)))
    each = [float(np.prod(box[2:] - box[:2])) for box in (answer.box, drawn.box)]
    return both / max(sum(each) - both, 1e-9)


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else math.nan


def _peak_memory() -> float:
    """MB that the process had at most; NaN on Windows, which has no such count."""
    with suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1e6 if sys.platform == "darwin" else 1e3)
    return math.nan
