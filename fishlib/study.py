"""A study: one run folder, its profile and its inputs, as every stage is given it (see opening.open_study)."""

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fishlib import profiles
from fishlib.files import writing


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
    """Time one stage; the yielded dict counts what was `computed` and what was `reused` from the cache.

    Kept in stages/<name>.json for run.json: seconds never enter tables/.
    """
    record, path = {"computed": 0, "reused": 0}, study.out / "stages" / f"{name}.json"
    start = time.perf_counter()
    yield record
    record["seconds"] = round(time.perf_counter() - start, 3)
    if path.is_file():  # a stage may be entered more than once in a run
        before = json.loads(path.read_text(encoding="utf-8"))
        record |= {k: round(v + record.get(k, 0), 3) for k, v in before.items() if k != "seconds_a_photo"}
    writing.write_text(path, json.dumps(record, indent=1))


def keep_notes(study: Study, stage: str, notes: list[str]) -> None:
    """Keep a stage's remarks (what was left out, what was trained on what) in notes/<stage>.json for the report."""
    writing.write_text(study.out / "notes" / f"{stage}.json", json.dumps(notes, ensure_ascii=False, indent=0))
