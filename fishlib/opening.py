"""Opens a study: its inputs are checked here. Every notebook opens the same one with `open_study`."""

import inspect
import json
from pathlib import Path

from fishlib import profiles
from fishlib.errors import UserError
from fishlib.files import writing
from fishlib.naming import checkpoints
from fishlib.study import Study

REPOSITORY = Path(__file__).parents[1]


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
    writing.write_text(folder / "README.txt", "Written by `fishlib reproduce`; report/index.html shows the study.\n")
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
