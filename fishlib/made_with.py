"""What a run folder was made with: one configuration a folder, so that its tables, figures and report agree.

made_with.json names the inputs and nobody, and may be shared; .private.json beside it holds where they lie on this
machine. Both are written at the first opening. Photos added to the same folder are the same input.
"""

import json
import os
import re
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fishlib import cache, profiles, sharing
from fishlib.errors import UserError
from fishlib.files import documents, locks, paths, writing
from fishlib.study import Study

FILE = "made_with.json"
PRIVATE = ".private.json"
RUN = "run.json"  # runs of before these files say there what they were made with
DRAWN = "drawn"
OF_THE_PACKAGE = ("zoo", "specimen")  # classifiers that are no file of the user
# what stages, notebooks and report leave; the cache is found by content, answers of people are nobody's to remove
MADE_FOLDERS = ("tables", "figures", "report", "notes", "stages", "notebooks", "segments", "beyond")
MADE_FILES = ("report.zip", "run.json", "manifest.csv", "predictions.csv", "plane.csv")
MADE_FILES += ("scores.csv", "draws.json", "parts.json")


@dataclass(frozen=True)
class Inputs:
    """The configuration of a run. Paths are absolute, or bare names where only those are known.

    photos: None where fishlib draws them. profile: its values, None where only `profile_hash` is known.
    classifier: a file, a name of the package, or None; classifier_hash: of the file, "" where it is none or unknown.
    """

    photos: str | None
    masks: str | None
    method: str
    classifier: str | None
    classifier_hash: str
    profile_name: str
    profile_hash: str
    profile: dict[str, Any] | None


def of(study: Study) -> Inputs:
    """The configuration of an opened study."""
    values = study.profile.model_dump()
    is_file = study.classifier is not None and study.classifier not in OF_THE_PACKAGE
    return Inputs(
        photos=None if study.drawn else str(study.photos),
        masks=None if study.drawn or study.masks is None else str(study.masks),
        method=study.method,
        classifier=study.classifier,
        classifier_hash=cache.file_hash(Path(study.classifier)) if is_file else "",
        profile_name=study.profile.name,
        profile_hash=cache.key(profile=values),
        profile=values,
    )


def read(folder: Path) -> Inputs | None:
    """What the folder's run was made with; None where it holds no run. UserError where that cannot be read."""
    shared = paths.file_inside(folder, FILE)
    finished = paths.file_inside(folder, RUN)
    if shared is not None:
        private = _private(folder)
        if "profile" not in private and finished is not None:
            private["profile"] = _object(finished).get("profile")
        return _inputs(_object(shared), private, shared)
    if finished is not None:
        return _before(_object(finished), finished)
    return None


def hold(study: Study, overwrite: bool = False) -> None:
    """See to it that the study's folder is of this configuration: label a new one, refuse that of another.

    overwrite: what another configuration left is removed, but for the cache and the answers of people. UserError,
    naming both and a free name, where the folder is of another configuration.
    """
    asked = of(study)
    kept = _kept(study.out, overwrite)
    if kept is not None and not differences(kept, asked) and _is_labelled(study.out):
        return  # readers need neither a lock nor the right to write
    with locks.held(study.out, "fishlib, opening the run", wait=10):
        kept = _kept(study.out, overwrite)
        other = differences(kept, asked) if kept is not None else []
        if other and not overwrite:
            raise UserError(_refusal(study.out, kept, asked, other))
        if other:
            clear(study.out, keep_drawn=_draw_alike(kept, asked))
        _label(study, asked)


def differences(kept: Inputs, asked: Inputs) -> list[tuple[str, str]]:
    """(what the run was made with, what is asked for) of each input that is another, as phrases of a sentence."""
    found = []
    if not _same_place(kept.photos, asked.photos):
        found.append((_photos(kept), _photos(asked)))
    if not _same_place(kept.masks, asked.masks):
        found.append((_masks(kept), _masks(asked)))
    if not _same_profile(kept, asked):
        found.append(_profiles(kept, asked))
    if kept.method != asked.method:
        found.append((f"the method {kept.method}", f"the method {asked.method}"))
    if not _same_classifier(kept, asked):
        found.append((_classifier(kept), _classifier(asked)))
    return found


def clear(folder: Path, keep_drawn: bool = False) -> None:
    """Remove what stages, notebooks and the report left in a run folder, a link as a link."""
    names = [*MADE_FOLDERS, *MADE_FILES, *([] if keep_drawn else [DRAWN])]
    try:
        for name in names:
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be removed ({error.strerror}); choose another --out folder.") from error


def study_of(folder: Path) -> Study:
    """The study of a run, to look at: nothing is checked or written, its photos may be gone. UserError without one."""
    folder = Path(folder).resolve()
    kept = read(folder)
    if kept is None:
        raise UserError(f"{folder} holds no {RUN}, so no finished run; `fishlib reproduce --out {folder}` makes one.")
    drawn = kept.photos is None
    base = folder / DRAWN
    return Study(
        out=folder,
        photos=base / "photos" if drawn else _place(folder, kept.photos),
        masks=base / "masks" if drawn else _place(folder, kept.masks),
        fins=base / "fins" if drawn else None,
        profile=profile_of(kept),
        method=kept.method,
        classifier=kept.classifier,
        offline=True,
        device="cpu",
        drawn=drawn,
    )


def _place(folder: Path, given: str | None) -> Path | None:
    """Where an input lies; where only its name is known, a path with that name at which nothing is."""
    if given is None or sharing.is_absolute(given):
        return given and Path(given)
    return folder / "not-at-hand" / sharing.name_of(given)


def profile_of(kept: Inputs) -> profiles.Profile:
    """The profile a run was made with; UserError where its values are not known."""
    if kept.profile is None:
        raise UserError(f"The values of the profile {kept.profile_name} are not in the run; give the profile.")
    return profiles.restore(kept.profile)


def _label(study: Study, inputs: Inputs) -> None:
    """Write both files and, in a new folder, the line that says what it is."""
    classifier = inputs.classifier and {"name": sharing.name_of(inputs.classifier), "sha256": inputs.classifier_hash}
    shared = {
        "fishlib": version("fishlib"),
        "photos": inputs.photos and sharing.name_of(inputs.photos),
        "masks": inputs.masks and sharing.name_of(inputs.masks),
        "profile": {"name": inputs.profile_name, "hash": inputs.profile_hash},
        "method": inputs.method,
        "classifier": classifier or None,
    }
    private = {
        "photos": inputs.photos,
        "masks": inputs.masks,
        "classifier": inputs.classifier,
        "profile": inputs.profile,
    }
    writing.write_text(study.out / PRIVATE, json.dumps(private, ensure_ascii=False, indent=1), keep=True)
    writing.write_text(study.out / FILE, json.dumps(shared, ensure_ascii=False, indent=1), keep=True)
    readme = study.out / "README.txt"
    if not readme.exists():
        writing.write_text(readme, "Written by `fishlib reproduce`; report/index.html shows the study.\n")


def _is_labelled(folder: Path) -> bool:
    return (folder / FILE).is_file() and (folder / PRIVATE).is_file()


def _kept(folder: Path, overwrite: bool) -> Inputs | None:
    """`read`; a damaged file is no reason to stop where all of it is to be replaced."""
    try:
        return read(folder)
    except UserError:
        if not overwrite:
            raise
        return Inputs("", "", "", "", "", "", "", None)  # of no configuration: everything differs


def _private(folder: Path) -> dict[str, Any]:
    """Where the inputs lie on this machine; {} in a run that came without."""
    path = paths.file_inside(folder, PRIVATE)
    return _object(path) if path is not None else {}


def _object(path: Path) -> dict[str, Any]:
    try:
        return documents.read_object(path)
    except UserError as error:
        raise _damaged(path) from error


def _inputs(shared: dict, private: dict, path: Path) -> Inputs:
    classifier = shared.get("classifier") or {}
    profile = shared.get("profile")
    if not isinstance(classifier, dict) or not isinstance(profile, dict):
        raise _damaged(path)
    kept = Inputs(
        photos=private.get("photos", shared.get("photos")),
        masks=private.get("masks", shared.get("masks")),
        method=shared.get("method"),
        classifier=private.get("classifier", classifier.get("name")),
        classifier_hash=classifier.get("sha256", ""),
        profile_name=profile.get("name"),
        profile_hash=profile.get("hash"),
        profile=private.get("profile"),
    )
    return _checked(kept, path)


def _before(facts: dict, path: Path) -> Inputs:
    """A run of before these files: run.json's parameters and profile."""
    given = facts.get("parameters")
    if not isinstance(given, dict):
        raise _damaged(path)
    values = facts.get("profile")
    restored = profiles.restore(values) if isinstance(values, dict) else profiles.load(given.get("profile") or "demo")
    kept = Inputs(
        photos=given.get("photos"),
        masks=given.get("masks"),
        method=given.get("method") or restored.method,
        classifier=facts.get("classifier", given.get("classifier")),
        classifier_hash="",
        profile_name=restored.name,
        profile_hash=cache.key(profile=restored.model_dump()),
        profile=restored.model_dump(),
    )
    return _checked(kept, path)


def _checked(kept: Inputs, path: Path) -> Inputs:
    texts = [kept.method, kept.classifier_hash, kept.profile_name, kept.profile_hash]
    maybe = [kept.photos, kept.masks, kept.classifier]
    if not all(isinstance(text, str) for text in texts):
        raise _damaged(path)
    if not all(text is None or isinstance(text, str) for text in maybe):
        raise _damaged(path)
    if not (kept.profile is None or isinstance(kept.profile, dict)):
        raise _damaged(path)
    return kept


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged; `fishlib reproduce --overwrite --out {path.parent}` makes the run anew.")


def _same_place(kept: str | None, asked: str | None) -> bool:
    """Is it the same folder or file? In a run that came without its private file names must do."""
    if kept is None or asked is None:
        return kept is asked
    if not sharing.is_absolute(kept):
        return kept == sharing.name_of(asked)
    return os.path.normcase(kept) == os.path.normcase(asked)


def _same_profile(kept: Inputs, asked: Inputs) -> bool:
    """Equal values; a parameter that came after the run was made counts with demo's value."""
    if kept.profile_hash == asked.profile_hash:
        return True
    return kept.profile is not None and profiles.restore(kept.profile).model_dump() == asked.profile


def _same_classifier(kept: Inputs, asked: Inputs) -> bool:
    """The same file wherever it lies; by its path where its hash was not kept."""
    if kept.classifier_hash and asked.classifier_hash:
        return kept.classifier_hash == asked.classifier_hash
    return kept.classifier == asked.classifier


def _photos(inputs: Inputs) -> str:
    return "the photos it draws" if inputs.photos is None else f"the photos {inputs.photos}"


def _masks(inputs: Inputs) -> str:
    return "no true masks" if inputs.masks is None else f"the true masks {inputs.masks}"


def _classifier(inputs: Inputs) -> str:
    if inputs.classifier is None:
        return "no classifier"
    told = f" ({inputs.classifier_hash[:8]})" if inputs.classifier_hash else ""
    return f"the classifier {inputs.classifier}{told}"


def _profiles(kept: Inputs, asked: Inputs) -> tuple[str, str]:
    """Both profiles by name, and the first value that differs where that is known."""
    names = f"the profile {kept.profile_name}", f"the profile {asked.profile_name}"
    if kept.profile is None:
        return names
    old, new = _flat(profiles.restore(kept.profile).model_dump()), _flat(asked.profile)
    changed = [name for name in [*old, *new] if name != "name" and old.get(name) != new.get(name)]
    if not changed:
        return names
    first = changed[0]
    return f"{names[0]} ({first} {old.get(first)})", f"{names[1]} ({first} {new.get(first)})"


def _flat(values: dict, above: str = "") -> dict[str, Any]:
    """Nested values by their dotted names."""
    found = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def _draw_alike(kept: Inputs, asked: Inputs) -> bool:
    """Would both draw the same pictures?"""
    if kept.profile is None or asked.profile is None or asked.photos is not None:
        return False
    return all(kept.profile.get(name) == asked.profile[name] for name in ("drawn", "seed"))


def _refusal(folder: Path, kept: Inputs, asked: Inputs, other: list[tuple[str, str]]) -> str:
    made, wanted = (" and ".join(phrases) for phrases in zip(*other, strict=True))
    return (
        f"{folder} was made with {made}, but this asks for {wanted}; give it a folder of its own, such as "
        f"{_free(folder, kept, asked)}, or replace what is there with `fishlib reproduce --overwrite`."
    )


def _free(folder: Path, kept: Inputs, asked: Inputs) -> Path:
    """A folder beside this one that is not there yet, named after what differs."""
    if kept.method != asked.method:
        word = asked.method
    elif kept.photos != asked.photos:
        word = sharing.name_of(asked.photos or DRAWN)
    elif kept.profile_name != asked.profile_name:
        word = asked.profile_name
    else:
        word = "again"
    base = f"{folder.name}-{re.sub(r'[^a-zA-Z0-9.-]+', '_', word)[:40]}"
    names = [base, *(f"{base}-{n}" for n in range(2, 100))]
    return next((folder.with_name(name) for name in names if not folder.with_name(name).exists()), folder)
