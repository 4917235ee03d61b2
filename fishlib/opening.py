"""Opens a study: its inputs are checked here. Every notebook opens the same one with `open_study`."""

import os
import subprocess
import sys
from pathlib import Path

from fishlib import device as devices
from fishlib import made_with, profiles
from fishlib.errors import UserError
from fishlib.files import reads
from fishlib.naming import checkpoints
from fishlib.photos import own_names, species
from fishlib.removal import segmenters
from fishlib.removal.segmenters import own
from fishlib.study import Study

REPOSITORY = Path(__file__).parents[1]
IS_CHECKOUT = (REPOSITORY / "pyproject.toml").is_file()  # otherwise installed, among the other packages
DEMO = "runs/demo"
LEAVES = {  # a notebook -> what it leaves for later ones, in the run folder
    "01": "manifest.csv",
    "03": "predictions.csv",
    "04": "tables/figure3.csv",
}
NEEDS = {"02": ["01"], "03": ["01"], "04": ["01"], "05": ["01"]}  # a notebook -> those it cannot do without
READS = {"05": ["03", "04"]}  # those that it leaves things out without
TEXTS = {  # a parameter that is text or None -> what it takes
    "out": "a run folder",
    "profile": "demo, paper or a YAML file",
    "photos": "a folder with one subfolder a species",
    "masks": "a folder of PNG masks or a COCO JSON file",
    "method": "a method's name",
    "classifier": "a checkpoint file or zoo",
}
INPUTS = ("profile", "photos", "masks", "method", "classifier")  # what makes a run another one


def open_study(
    out: str | None = None,
    profile: str | None = None,
    photos: str | None = None,
    masks: str | None = None,
    method: str | None = None,
    classifier: str | None = None,
    offline: bool = False,
    device: str = "auto",
) -> Study:
    """Open a run folder, a new one or one that is there; relative paths start at the current folder.

    out None: the newest run under the repository's runs/, runs/demo without any. method: also one of the user's own
    (see segmenters.own), which nothing in a folder or a profile makes run. Of a run that is there, whatever is None is
    as it was made with; in a new one profile is demo's, without photos the study draws its own, method and classifier
    are the profile's (see `asked`). Raises UserError for an input that is missing or wrong, for inputs that are not
    those the folder was made with, for a folder that cannot be written, and for a parameter of the wrong kind.
    """
    reads.note_if_asked()
    texts = {"out": out, "profile": profile, "photos": photos, "masks": masks, "method": method}
    _hold_kinds(texts | {"classifier": classifier}, offline, device)
    folder = _path(out) if out is not None else newest() or home() / DEMO
    given = {"profile": profile, "photos": photos, "masks": masks, "method": method, "classifier": classifier}
    if made_with.read(folder) is None:
        return start(str(folder), **given, offline=offline, device=device)
    return reopen(folder, **given, offline=offline, device=device)


def earlier(study: Study, number: str, run_missing: bool = False, method: str | None = None) -> list[str]:
    """See to it that the notebooks before `number` have run; returns a sentence for each that ran now or is left out.

    run_missing: those that have not run are run now, each in a process of its own; without it, UserError names the
    first one that `number` cannot do without, and what it merely reads and misses is said. method: as it was given, for
    one of the user's own. UserError also where a notebook stops, with what it said.
    """
    if not isinstance(run_missing, bool):
        raise UserError(f"run_missing is {run_missing!r}; it takes True or False.")
    missing = [name for name in [*NEEDS.get(number, []), *READS.get(number, [])] if not _has_run(study, name)]
    said = []
    for name in missing:
        if run_missing:
            _run_now(study, name, method)
            said.append(f"Notebook {name} had not run in {study.out.name} and has run now.")
        elif name in NEEDS[number]:
            raise UserError(
                f"Notebook {number} needs what notebook {name} leaves, and that has not run in {study.out}; run it "
                f"first (fishlib reproduce --only {name}), or set run_missing = True in the parameters."
            )
        else:
            said.append(
                f"Notebook {name} has not run in {study.out.name}, so what rests on it is left out; "
                "run_missing = True in the parameters runs it."
            )
    return said


def _has_run(study: Study, number: str) -> bool:
    return reads.looked_for(study.out / LEAVES[number]).is_file()


def _run_now(study: Study, number: str, method: str | None) -> None:
    """Run one notebook of the study in a process of its own; UserError, with its last line, where it stops."""
    given = {"out": str(study.out), "method": method, "offline": study.offline, "device": study.device}
    code = f"from fishlib import run; run.again({number!r}, **{given!r})"  # this module lies below run
    print(f"Notebook {number} has not run here; running it ...", flush=True)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise UserError(f"Notebook {number} did not run: {lines[-1].removeprefix('fishlib.errors.UserError: ')}")


def _hold_kinds(texts: dict, offline: bool, device: str) -> None:
    """UserError that names every parameter which is of the wrong kind, before any of them is used."""
    wrong = []
    for name, value in texts.items():
        if value is not None and not isinstance(value, str | os.PathLike):
            wrong.append(f"{name} is {value!r} and takes {TEXTS[name]}, as text, or None")
        elif value is not None and not str(value).strip():
            wrong.append(f"{name} is empty and takes {TEXTS[name]}, or None")
    if not isinstance(offline, bool):
        wrong.append(f"offline is {offline!r} and takes True or False")
    if not isinstance(device, str):
        wrong.append(f"device is {device!r} and takes auto, cpu, cuda or mps, as text")
    if wrong:
        raise UserError(f"Parameters of the wrong kind: {'; '.join(wrong)}.")


def reopen(run: str | Path, offline: bool = False, device: str = "auto", **given: str | None) -> Study:
    """The study of a run that is there, with what it was made with where nothing else is given (see INPUTS).

    Raises UserError when the folder holds no run, and as `open_study`.
    """
    folder = _path(str(run))
    kept = made_with.read(folder)
    if kept is None:
        raise UserError(f"{folder} holds no run.json, so no run; `fishlib reproduce --out {run}` makes one.")
    chosen = _profile(given["profile"]) if given.get("profile") else made_with.profile_of(kept)
    kept_inputs = {"photos": kept.photos, "masks": kept.masks, "method": kept.method, "classifier": kept.classifier}
    inputs = {name: given.get(name) or value for name, value in kept_inputs.items()}
    if given.get("method"):
        inputs["method"] = own.named(given["method"])
    study = _checked(folder, chosen, **inputs, offline=offline, device=device)
    made_with.hold(study)
    return study


def start(
    out: str,
    profile: str | None = None,
    photos: str | None = None,
    masks: str | None = None,
    method: str | None = None,
    classifier: str | None = None,
    offline: bool = False,
    device: str = "auto",
    overwrite: bool = False,
) -> Study:
    """A run with these very inputs (see `asked`), in a new folder or one that was made with the same.

    overwrite: what other inputs left in the folder is replaced. Raises UserError as `open_study`.
    """
    study = asked(out, profile, photos, masks, method, classifier, offline, device)
    made_with.hold(study, overwrite)
    return study


def asked(
    out: str,
    profile: str | None = None,
    photos: str | None = None,
    masks: str | None = None,
    method: str | None = None,
    classifier: str | None = None,
    offline: bool = False,
    device: str = "auto",
) -> Study:
    """The study of these very inputs, looked at; nothing is written and the folder may be that of another run.

    Without photos the study draws its own and `masks` must be left out. profile None: demo. method None: the
    profile's. classifier None: the profile's, but the zoo's, which knows drawn fish alone, never names given photos
    unasked. Raises UserError for an input that is missing or wrong.
    """
    chosen = _profile(profile or "demo")
    if not classifier and (photos is None or chosen.classifier not in checkpoints.ZOO):
        classifier = chosen.classifier
    wanted = own.named(method) if method else chosen.method  # what a profile names never becomes code
    return _checked(_path(out), chosen, photos, masks, wanted, classifier, offline, device)


def home() -> Path:
    """Where runs/ lies when nobody says where: the repository, or the current folder where there is none."""
    return REPOSITORY if IS_CHECKOUT else Path.cwd()


def newest() -> Path | None:
    """The run under runs/ that ended last; None without any."""
    found = sorted((home() / "runs").glob("*/run.json"), key=lambda p: p.stat().st_mtime)
    return found[-1].parent if found else None


def _checked(
    folder: Path,
    profile: profiles.Profile,
    photos: str | None,
    masks: str | None,
    method: str,
    classifier: str | None,
    offline: bool,
    device: str,
) -> Study:
    """The study of these inputs, each of them looked at before anything runs; nothing is written."""
    given = _photos(photos, folder)
    truth = _masks(masks, given)
    if method not in own.NAMED:
        profiles.hold_method(method, profile.segmenters)
    if method == profiles.TRUTH and given is not None and truth is None:
        raise UserError("--method truth uses the true masks; give them with --masks.")
    for name in dict.fromkeys([*profile.compare, method]):
        segmenters.check(name, profile.segmenters.get(name, {}))
    devices.hold(device)
    drawn = given is None
    base = folder / made_with.DRAWN
    study = Study(
        out=folder,
        photos=base / "photos" if drawn else given,
        masks=base / "masks" if drawn else truth,
        fins=base / "fins" if drawn else None,
        profile=profile,
        method=method,
        classifier=_classifier(classifier),
        offline=offline,
        device=device,
        drawn=drawn,
    )
    species.use(own_names.read(study))
    return study


def _profile(source: str) -> profiles.Profile:
    return profiles.load(source if source in profiles.names() else _path(source))


def _photos(photos: str | None, folder: Path) -> Path | None:
    if photos is None:
        return None
    given = _path(photos)
    if not given.is_dir():
        raise UserError(f"{given} is no folder; --photos takes a folder with one subfolder a species.")
    if folder.is_relative_to(given):
        raise UserError(f"{folder} lies inside the photos; choose an --out folder elsewhere.")
    return given


def _masks(masks: str | None, photos: Path | None) -> Path | None:
    if not masks:
        return None
    if photos is None:
        raise UserError("--masks scores your own photos; give their folder with --photos as well.")
    truth = _path(masks)
    if not truth.exists():
        raise UserError(f"{truth} is missing; --masks takes a folder of PNG masks or a COCO JSON file.")
    return truth


def _classifier(source: str | None) -> str | None:
    """The file of a classifier, or its name in the package; UserError where it is missing or its header is damaged."""
    if not source:
        return None
    if source in checkpoints.ZOO:
        return source
    file = checkpoints.existing(_path(source))
    checkpoints.told(file)
    return str(file)


def _path(text: str) -> Path:
    return Path(text).expanduser().resolve()
