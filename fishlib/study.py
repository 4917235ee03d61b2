"""A study: one run folder, its profile and its inputs, as every stage is given it (see opening.open_study)."""

import hashlib
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fishlib import profiles
from fishlib.errors import UserError
from fishlib.files import documents, locks, paths, writing

PARTS = "parts.json"  # which manifest each part was made of
SHOWN = {  # a part, by the notes it keeps -> what it shows, the number of its notebook
    "segments": ("Table 1", "02"),
    "inference": ("Tables 2 to 4", "03"),
    "sweep": ("Figure 3", "04"),
}
WAIT = 5.0  # seconds that a stage waits for another writer of its folder


@dataclass(frozen=True)
class Study:
    """Where a run reads and writes, and with which parameters.

    masks: folder or COCO file of true masks, None when there is no truth; fins: true fin masks (drawn only).
    classifier: a checkpoint file, "zoo", or None where no classifier knows the species.
    drawn: True when the photos are drawn by fishlib, and every caption must say so.
    """

    out: Path
    photos: Path
    masks: Path | None
    fins: Path | None
    profile: profiles.Profile
    method: str
    classifier: str | None
    offline: bool
    device: str
    drawn: bool

    @property
    def cache(self) -> Path:
        return self.out / "cache"


@contextmanager
def stage(study: Study, name: str):
    """Time one stage and hold the run folder for it; the yielded dict counts what was `computed` and what `reused`.

    Kept in stages/<name>.json for run.json: seconds never enter tables/. Raises locks.InUse, which names the other
    writer, where another process works in the folder (not within `fishlib reproduce`, which holds it for its kernels).
    """
    path = study.out / "stages" / f"{name}.json"
    with locks.held(study.out, f"the stage {name} of a notebook", WAIT):
        record = {"computed": 0, "reused": 0}
        start = time.perf_counter()
        yield record
        record["seconds"] = round(time.perf_counter() - start, 3)
        for fact, before in _earlier(path).items():  # a stage may be entered more than once in a run
            if fact != "seconds_a_photo":
                record[fact] = round(before + record.get(fact, 0), 3)
        writing.write_text(path, json.dumps(record, indent=1))


def keep_notes(study: Study, part: str, notes: list[str]) -> None:
    """Keep a part's remarks (what was left out, what was trained on what) in notes/<part>.json for the report, and
    which manifest the part was made of."""
    with locks.held(study.out, f"the notes of {part}", WAIT):
        writing.write_text(study.out / "notes" / f"{part}.json", json.dumps(notes, ensure_ascii=False, indent=0))
        made_of = _made_of(study.out) | {part: _manifest(study.out)}
        writing.write_text(study.out / PARTS, json.dumps(made_of, indent=1))


def older_parts(out: Path) -> list[str]:
    """A sentence for each part of a run that was made of an earlier manifest than the one that lies there."""
    now = _manifest(out)
    said = []
    for part, of in _made_of(out).items():
        if part in SHOWN and of != now:
            what, number = SHOWN[part]
            said.append(
                f"Warning: {what} were made before the list of photos changed; `fishlib reproduce --only {number}` "
                "makes them anew."
            )
    return said


def _earlier(path: Path) -> dict[str, float]:
    """What an earlier entry of the stage counted; {} where there is none, or none that can be read."""
    try:
        kept = documents.read_object(path)
    except UserError:
        return {}
    return {name: value for name, value in kept.items() if isinstance(value, int | float)}


def _made_of(out: Path) -> dict[str, str]:
    """Part -> hash of the manifest it was made of."""
    try:
        return documents.read_object(out / PARTS)
    except UserError:
        return {}


def _manifest(out: Path) -> str:
    """Hash of the run's manifest, "" without one."""
    path = paths.file_inside(out, "manifest.csv")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32] if path else ""
