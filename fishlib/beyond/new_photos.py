"""Names for new photos (`fishlib name`): by the namer of a run, in its own input, or by a classifier as they are.

The photos go through the very stages of a study, in a hidden folder beside the table; the stages keep what is finished,
so that a run that was stopped goes on, and the folder goes when the table is written. A photo whose row is there
already (same content, same namer) is not looked at again.
"""

import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from fishlib import cache, made_with, profiles
from fishlib.beyond import coverage, namer, sureness
from fishlib.errors import UnreadablePhoto, UserError
from fishlib.files import locks, paths
from fishlib.files.frames import read_frame, write_frame
from fishlib.naming import checkpoints, features, heads, inference
from fishlib.photos import decode, manifest
from fishlib.photos.composite import BASIC, ORIGINAL
from fishlib.photos.matching import match_classes
from fishlib.removal import asked as asking
from fishlib.removal import segmenting, segments
from fishlib.removal.asked import Asked
from fishlib.scores.confidence import DIGITS, margin, shares, unknown_score
from fishlib.study import Study

TOP = 5
ANSWERS = [f"{name}_{place}" for place in range(2, TOP + 1) for name in ("name", "confidence")]
COLUMNS = ["path", "status", "reason", "name", "confidence", "check_by_eye", "maybe_none", *ANSWERS]
COLUMNS += ["margin", "unknown_score", "sha256", "settings"]
WORK = ".{}.fishlib"  # the hidden folder beside a table of that name


class Result(NamedTuple):
    """counts: photos, new, to check, unreadable. failed: the rows of photos without a name."""

    counts: dict[str, int]
    failed: list[dict[str, str]]


@dataclass(frozen=True)
class Namer:
    """Who names the photos. study: with whose parameters, methods and checkpoints. thresholds: the confidence from
    which on a photo needs no check, infinity for "check all", None where nobody knows; the score above which it may be
    none of the species, None without."""

    study: Study
    settings: namer.Settings
    layer: namer.Layer | None
    certain: float | None
    unlike: float | None

    @property
    def key(self) -> str:
        """What a name is made of, in short, as a row states it."""
        profile = self.study.profile
        layer = None if self.layer is None else [cache.array_hash(part) for part in self.layer]
        used = {
            "variant": self.settings.variant,
            "species": self.settings.species,
            "temperature": self.settings.temperature,
            "certain": str(self.certain),  # infinity is no JSON
            "unlike": str(self.unlike),
            "layer": layer,
            "method": self.study.method if self.settings.variant != ORIGINAL.name else "",
            "params": profile.segmenters.get(self.study.method, {}),
            "composite": profile.composite.model_dump(),
            "side": profile.working_side,
            "network": checkpoints.identity(self.settings.source, profile.backbone, profile.seed),
        }
        return cache.key(**used)[:12]


def of_run(run: Path, promise: int, unlike: float | None, offline: bool, device: str) -> Namer:
    """The namer that notebook 05 kept in a run; unlike None: its own threshold. UserError where there is none."""
    run = Path(run).expanduser().resolve()
    study = replace(made_with.study_of(run), offline=offline, device=device)
    settings, layer = namer.read(run)
    if settings.variant not in BASIC:
        raise UserError(
            f"{run / namer.FILE} names no input that is known; `fishlib reproduce --only 05` makes it anew."
        )
    if settings.variant != ORIGINAL.name and not sureness.can_cut(study):
        raise UserError(f"New photos cannot be cut out by {study.method} from the run folder alone; give --classifier.")
    if layer is None:
        if study.classifier is None:
            raise UserError(f"{run} says of no classifier who named its fish; `fishlib reproduce --only 05` does.")
        settings = replace(settings, source=study.classifier)
    else:  # the run keeps no folders
        known = {checkpoints.without_folders(source): source for source in checkpoints.pretrainings(study).values()}
        settings = replace(settings, source=known.get(settings.source, settings.source))
    if str(promise) not in settings.thresholds:
        raise UserError(f"--right {promise} was not measured; choose {', '.join(settings.thresholds)}.")
    kept = settings.thresholds[str(promise)]
    certain = math.inf if kept is None else kept
    return Namer(study, settings, layer, certain, settings.unknown_threshold if unlike is None else unlike)


def of_classifier(file: str, profile: str, unlike: float | None, offline: bool, device: str) -> Namer:
    """A checkpoint that names photos as they are, among all that it knows; nobody knows how sure it is."""
    source = file if file in checkpoints.ZOO else str(Path(file).expanduser().resolve())
    classes = checkpoints.classes(source)
    if not classes:
        raise UserError(f"{file} comes with no class list; put one beside it as {Path(file).name}.classes.csv.")
    chosen = profiles.load(profile)
    nowhere = Path()  # replaced when it is known where the photos lie
    study = Study(nowhere, nowhere, None, None, chosen, chosen.method, source, offline, device, drawn=False)
    settings = namer.Settings(ORIGINAL.name, classes, source, 1.0, {}, math.inf)
    return Namer(study, settings, None, None, unlike)


def name(photos: Iterable[Path], out: Path, who: Namer, overwrite: bool = False) -> Result:
    """Name photos into the table `out`, COLUMNS, a row a file, sorted by path; what is named already stays.

    UserError for missing input, a table of another namer or of other photos (unless overwrite), and one that another
    process writes.
    """
    out = Path(out).expanduser().resolve()
    work = out.with_name(WORK.format(out.name))
    with locks.held(out.parent, "fishlib name", file=out.name):
        folder, files = asking.find(photos, out)
        files = [file for file in files if _is_asked(file)]
        earlier = {} if overwrite else _earlier(out, files, who.key)
        rows, photos_table = _look(files, earlier, who.key)
        if len(photos_table):
            rows |= _named(replace(who.study, out=work, photos=folder), photos_table, who)
        table = pd.DataFrame([_row(file, rows) for file in files], columns=COLUMNS)
        write_frame(table, out, keep=True)
        if work.is_dir() and not work.is_symlink():
            shutil.rmtree(work)

    to_check = int((table["check_by_eye"] == "yes").sum())
    unreadable = table[table["status"] == "unreadable"]
    counts = {
        "photos": len(table),
        "new": len(photos_table),
        "to check by eye": to_check,
        "unreadable": len(unreadable),
    }
    return Result(counts, unreadable.to_dict("records"))


def _is_asked(file: Asked) -> bool:
    """A text that lies in a folder of photos was not asked for; what the user named was."""
    return file.within is None or file.file.suffix.lower() not in (".csv", ".txt", ".md", ".json", ".xlsx", ".pdf")


def _earlier(out: Path, files: list[Asked], key: str) -> dict[str, dict[str, str]]:
    """sha256 -> row of an earlier run of the same namer. UserError where the table is another's."""
    if not out.exists():
        return {}
    try:
        rows = read_frame(out, COLUMNS)[COLUMNS].to_dict("records")
    except UserError as error:
        raise UserError(f"{out} was not made by fishlib name; choose another --out.") from error
    if any(row["settings"] != key for row in rows):
        raise UserError(f"{out} holds names of another namer or threshold; choose another --out or use --overwrite.")
    asked = {file.name for file in files}
    others = [row["path"] for row in rows if row["path"] not in asked]
    if others:
        said = f"{out} names {len(others)} photos that were not given now (first: {others[0]})"
        raise UserError(f"{said}; choose another --out or use --overwrite.")
    return {row["sha256"]: row for row in rows if row["sha256"]}


def _look(files: list[Asked], earlier: dict, key: str) -> tuple[dict[str, dict], pd.DataFrame]:
    """(path or sha256 -> row of what needs no namer, a manifest of what is to be named).

    A manifest's photo_id is the content's hash: the same photo twice is named once, and no two masks share a name.
    """
    rows, wanted = {}, {}
    for file in tqdm(files, "reading photos", leave=False):
        try:
            asking.hold(file)
            photo = decode.read(file.file)
        except (OSError, UnreadablePhoto) as error:
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())
            rows[file.name] = {"status": "unreadable", "reason": reason, "settings": key}
            continue
        sha256 = photo.sha256
        rows[file.name] = {"sha256": sha256}
        if sha256 in earlier:
            rows[sha256] = earlier[sha256]
            continue
        wanted[sha256] = (sha256, "", file.name, sha256, photo.width, photo.height, "ok", "")
    return rows, pd.DataFrame(wanted.values(), columns=manifest.COLUMNS)


def _named(study: Study, photos: pd.DataFrame, who: Namer) -> dict[str, dict]:
    """sha256 -> row of each photo of the manifest."""
    variant = BASIC[who.settings.variant]
    if variant == ORIGINAL:
        found = photos.reindex(columns=segments.COLUMNS).assign(mask_file="")  # no box, no mask: none is needed
    else:
        found = segmenting.run(study, study.method, photos)
    usable, lost = features.usable(photos, found)

    rows = {sha256: _lost(who, reason) for sha256, reason in lost.items()}
    if len(usable):
        (there, logits), changed = features.without_changed(study, usable, lambda rest: _ask(study, rest, found, who))
        rows |= {sha256: _lost(who, reason) for sha256, reason in changed.items()}
        status = found.set_index("photo_id")["status"]
        for sha256, outputs in zip(there["photo_id"], logits, strict=True):
            rows[sha256] = {"status": status[sha256], **_answer(outputs, who)}
    return rows


def _ask(study: Study, photos: pd.DataFrame, found: pd.DataFrame, who: Namer) -> tuple[pd.DataFrame, np.ndarray]:
    """(the photos, their outputs (N, T)) by the code that named the study's own."""
    variant = BASIC[who.settings.variant]
    values = features.compute(study, photos, found, [variant], who.settings.source)
    if who.layer is not None:
        weight, bias = who.layer
        return photos, heads.linear_scores(values[variant.name], weight[None], bias[None])[0]
    indices = list(match_classes(who.settings.species, checkpoints.classes(study.classifier)).values())
    logits, _ = inference.outputs(study, values, indices)
    return photos, logits[variant.name]


def _answer(outputs: np.ndarray, who: Namer) -> dict:
    """What the outputs of one photo, (T,), say: cells of its row."""
    chances = shares(outputs, who.settings.temperature)
    best = np.argsort(-chances, kind="stable")[:TOP]
    cells = {"name": who.settings.species[best[0]], "confidence": round(float(chances[best[0]]), DIGITS)}
    for place, index in enumerate(best[1:], start=2):
        cells[f"name_{place}"] = who.settings.species[index]
        cells[f"confidence_{place}"] = round(float(chances[index]), DIGITS)
    unlike = float(unknown_score(outputs))
    cells["margin"] = round(float(margin(chances)), DIGITS)
    cells["unknown_score"] = round(unlike, DIGITS)
    if who.certain is not None:
        cells["check_by_eye"] = "no" if chances[best[0]] >= who.certain else "yes"
    if who.unlike is not None:
        cells["maybe_none"] = "yes" if unlike > who.unlike else "no"
    return cells | {"settings": who.key}


def _lost(who: Namer, reason: str) -> dict:
    return {"status": "unreadable", "reason": reason, "settings": who.key}


def _row(file: Asked, rows: dict[str, dict]) -> dict:
    """COLUMNS of one file."""
    mine = rows[file.name]
    if mine.get("sha256"):
        mine = rows[mine["sha256"]] | mine
    return dict.fromkeys(COLUMNS, "") | mine | {"path": paths.spelled(file.name)}


def promised(who: Namer, promise: int) -> str:
    """What the table's column check_by_eye means, in a sentence."""
    if who.certain is None:
        return "How sure this classifier is was not measured; --run of a study with your own photos tells."
    if math.isinf(who.certain):
        few = coverage.fewest(promise)
        return f"The run's photos cannot promise {promise} % (that takes {few} sure ones without an error): check all."
    return f"Names from a confidence of {who.certain:.2f} on need no check, if about {promise} % right is enough."
