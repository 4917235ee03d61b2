"""A study: one run folder, its profile and its inputs. Every notebook opens the same one with `open_study`."""

import inspect
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fishlib import cache, profiles
from fishlib.errors import UserError
from fishlib.naming import checkpoints
from fishlib.photos import dataset
from fishlib.removal import segmenters

REPOSITORY = Path(__file__).parents[1]


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

    @property
    def pretrainings(self) -> dict[str, str]:
        """Figure 3's colours: label -> source (see classifier.load); a classifier of the user's own, under its
        file's name, takes the place of the zoo's."""
        chosen = {p: p for p in self.profile.pretrainings}
        if self.classifier and self.classifier not in checkpoints.ZOO:
            chosen.pop("specimen", None)
            path = Path(self.classifier)
            chosen[path.name if path.stem in chosen else path.stem] = self.classifier
        return chosen

    def facts(self) -> dict:
        """What captions say of the run."""
        method = segmenters.label(self.method, self.profile.segmenters.get(self.method, {}))
        return {"drawn": self.drawn, "method": method, "photos": self.photos.name}

    def banner(self) -> str:
        """What this run works on, as Markdown."""
        what = "**Drawn fish, not photographs**: they show that the machinery works, nothing about real fish. "
        shown = str(self.photos).replace("`", "'")  # which would end what is shown as it is
        photos = what if self.drawn else f"Photos: `{shown}`. "
        return (
            f"{photos}Masks of: **{self.facts()['method']}**. Profile: `{self.profile.name}`, seed {self.profile.seed}."
        )


def open_study(
    out: str | None = "runs/demo",
    profile: str | None = None,
    photos: str | None = None,
    masks: str | None = None,
    method: str | None = None,
    classifier: str | None = None,
    offline: bool = False,
    device: str = "auto",
) -> Study:
    """Check the inputs of a run and make its folder; relative paths start at the repository's root.

    Without photos the study draws its own and `masks` must be left out. out None: the newest run under runs/ with
    what it ran with, as far as nothing else is given; runs/demo without any. profile None: demo. classifier None:
    the profile's, but the zoo's, which knows drawn fish alone, never names given photos unasked. Raises UserError
    for an input that is missing or an output folder that cannot be written.
    """
    if out is None and (latest := newest()):
        given = {"profile": profile, "photos": photos, "masks": masks, "method": method, "classifier": classifier}
        return reopen(latest, **{k: v for k, v in given.items() if v is not None}, offline=offline, device=device)
    folder, profile = _path(out or "runs/demo"), profile or "demo"
    chosen = profiles.load(profile if profile in profiles.names() else _path(profile))
    given = _path(photos) if photos else None
    if given is not None and not given.is_dir():
        raise UserError(f"{given} is no folder; --photos takes a folder with one subfolder a species.")
    if masks and given is None:
        raise UserError("--masks scores your own photos; give their folder with --photos as well.")
    truth = _path(masks) if masks else None
    if truth is not None and not truth.exists():
        raise UserError(f"{truth} is missing; --masks takes a folder of PNG masks or a COCO JSON file.")
    method = method or chosen.method
    if method == "truth" and given is not None and truth is None:
        raise UserError("--method truth uses the true masks; give them with --masks.")
    if given is not None and (folder == given or folder.is_relative_to(given)):
        raise UserError(f"{folder} lies inside the photos; choose an --out folder elsewhere.")
    if classifier is None and (given is None or chosen.classifier not in checkpoints.ZOO):
        classifier = chosen.classifier
    if classifier and classifier not in checkpoints.ZOO:
        classifier = str(checkpoints.existing(_path(classifier)))
    cache.write_text(folder / "README.txt", "Written by `fishlib reproduce`; report/index.html shows the study.\n")
    drawn = given is None
    return Study(
        out=folder,
        photos=folder / "drawn" / "photos" if drawn else given,
        masks=folder / "drawn" / "masks" if drawn else truth,
        fins=folder / "drawn" / "fins" if drawn else None,
        profile=chosen,
        method=method,
        classifier=classifier or None,
        offline=offline,
        device=device,
        drawn=drawn,
    )


def reopen(run: str | Path, **given) -> Study:
    """The study of a run folder with the parameters it ran with, those given in their stead. UserError when the
    folder holds no finished run."""
    file = _path(str(run)) / "run.json"
    if not file.is_file():
        raise UserError(f"{file} is missing; `fishlib reproduce --out {run}` makes it.")
    try:
        ran = dict(json.loads(file.read_text(encoding="utf-8"))["parameters"])
        known = {k: v for k, v in ran.items() if k in inspect.signature(open_study).parameters}
        if not all(v is None or isinstance(v, str | bool) for v in known.values()):
            raise TypeError("a parameter is neither text, true, false nor null")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged; `fishlib reproduce --out {run}` makes it anew.") from error
    return open_study(**known | given | {"out": str(file.parent)})


def newest() -> Path | None:
    """The run under runs/ that ended last; None without any."""
    found = sorted((REPOSITORY / "runs").glob("*/run.json"), key=lambda p: p.stat().st_mtime)
    return found[-1].parent if found else None


def _path(text: str) -> Path:
    path = Path(text).expanduser()
    return (path if path.is_absolute() else REPOSITORY / path).resolve()


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
    cache.write_text(path, json.dumps(record, indent=1))


def draw_photos(study: Study) -> None:
    """Draw the demo's pictures into the run folder; does nothing when photos were given or are drawn already."""
    if not study.drawn:
        return
    from fishlib import phantom

    wanted = study.profile.drawn
    with stage(study, "draw") as record:
        phantom.write_dataset(study.photos.parent, wanted.photos, wanted.min_per_species, study.profile.seed)
        record["photos"] = wanted.photos


def scan_photos(study: Study) -> pd.DataFrame:
    """The manifest before curation, one row a file (see dataset.scan)."""
    with stage(study, "scan"):
        return dataset.scan(study.photos, progress=True)


def decisions_file(study: Study) -> Path:
    """curation.csv of the run, else the one beside the photos' species folders."""
    own = study.out / "curation.csv"
    return own if own.exists() else study.photos / "curation.csv"


def write_manifest(study: Study, manifest: pd.DataFrame) -> None:
    """Keep the curated manifest: what every later notebook reads."""
    dataset.write_frame(manifest, study.out / "manifest.csv")


def keep_notes(study: Study, stage: str, notes: list[str]) -> None:
    """Keep a stage's remarks (what was left out, what was trained on what) in notes/<stage>.json for the report."""
    cache.write_text(study.out / "notes" / f"{stage}.json", json.dumps(notes, ensure_ascii=False, indent=0))


def manifest(study: Study) -> pd.DataFrame:
    """The curated manifest. Raises UserError when notebook 01 has not run for this folder."""
    path = study.out / "manifest.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing; run notebook 01 first (fishlib reproduce --only 01).")
    return dataset.read_manifest(path)
