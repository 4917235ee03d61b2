"""Run the numbered notebooks with papermill, strictly, and keep what is needed to repeat the run."""

import contextlib
import errno
import json
import logging
import os
import platform
import shlex
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from fishlib import made_with, sharing, warm
from fishlib.errors import NotRun, UserError
from fishlib.files import documents, locks, paths, progress, reads, tensors, writing
from fishlib.naming import checkpoints, inference, needs
from fishlib.opening import REPOSITORY, asked, reopen
from fishlib.profiles import names as profile_names
from fishlib.removal import first_contact
from fishlib.removal.segmenters import own
from fishlib.show import report
from fishlib.study import Study

INSTALLED = Path(__file__).with_name("notebooks")  # a wheel has them inside the package
NOTEBOOKS = INSTALLED if INSTALLED.is_dir() else REPOSITORY / "notebooks"
PACKAGES = ["fishlib", "torch", "timm", "segment-anything", "groundingdino-py", "opencv-python", "papermill"]
PATHS = ("out", "photos", "masks", "profile", "classifier")  # parameters that are paths, or names instead
WITH_CLASSES = "03"  # the notebook that asks a classifier for its species
OWN_ERRORS = ("UserError", "UnreadablePhoto", "NotRun", "InUse")
FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_SAID = ("No space left on device", "Disk quota exceeded")


def notebooks(only: str | None = None) -> list[Path]:
    """The numbered notebooks in order; `only` is a number such as "02". UserError when there is none."""
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise UserError(f"{NOTEBOOKS} holds no notebooks; install fishlib again.")
    if only is not None:
        found = [p for p in found if p.name.startswith(f"{only.zfill(2)}_")]
        if not found:
            raise UserError(f"No notebook has the number {only!r}; choose 01 to 05.")
    return found


def reproduce(only: str | None = None, overwrite: bool = False, force: bool = False, **parameters) -> Path:
    """Execute the notebooks, write run.json and the report; returns the report's index page.

    A notebook is not executed again where nothing that it reads has changed (see warm); force: it is.

    parameters: those of opening.asked. All of them are checked before the first notebook starts; the folder is held
    against other writers until the report is there. Raises UserError when a cell fails; the partial notebook stays in
    <out>/notebooks.
    """
    todo = notebooks(only)
    values = {name: _from_anywhere(name, value) for name, value in parameters.items()}
    study = asked(**values)
    if any(path.name.startswith(WITH_CLASSES) for path in todo):
        _hold_classifier(study)
    made_with.hold(study, overwrite)
    _tell_missing(study, values.get("profile") or "demo")
    try:
        with locks.held(study.out, "fishlib reproduce"):
            return _run(study, todo, values | {"out": str(study.out)}, force)
    except OSError as error:
        raise UserError(stopped_by(error, study.out)) from error


def _tell_missing(study: Study, profile: str) -> None:
    """Every checkpoint that the profile lacks, said together before hours of work."""
    missing = needs.missing(study.profile)
    if not missing:
        return
    print(
        f"Missing: {', '.join(missing)}. What needs them is left out of this run; "
        f"`fishlib weights fetch --profile {shlex.quote(profile)}` gets them.",
        file=sys.stderr,
        flush=True,
    )


def again(number: str, out: str, method: str | None = None, offline: bool = False, device: str = "auto") -> None:
    """Execute one notebook of a run that is there, with what the run was made with; neither run.json nor report.

    method: as the user gave it, needed for one of the user's own. Raises UserError as `execute`.
    """
    [source] = notebooks(number)
    parameters = {"out": out, "method": own.absolute(method), "offline": offline, "device": device}
    study = reopen(out, offline, device, method=parameters["method"])
    execute(source, study.out / "notebooks" / source.name, parameters, study)


def _from_anywhere(name: str, value):
    """A parameter as a kernel that starts in another folder needs it: paths absolute."""
    if value is None or isinstance(value, bool):
        return value
    if name == "method":
        return own.absolute(str(value))
    is_a_name = (name == "profile" and value in profile_names()) or (name == "classifier" and value in checkpoints.ZOO)
    if name in PATHS and not is_a_name:
        return str(Path(value).expanduser().resolve())
    return value


def _own_files(parameters: dict) -> list[str]:
    """Files of the user's that parameters name and the study does not know: a profile's, that of an own method."""
    method = own.file_of(parameters.get("method") or "")
    return [parameters.get("profile") or "", *([str(method)] if method else [])]


def _run(study: Study, todo: list[Path], parameters: dict, force: bool) -> Path:
    """Notebooks, run.json and report of a run folder that is held."""
    stages = Stages(study)
    identities = _checkpoints(study)
    contents = warm.Contents()
    seconds = {}
    with Shown(len(todo)) as shown:
        for path in todo:
            shown.start(path.stem)
            key = warm.key(path, parameters, study, identities)
            if not force and warm.is_fresh(study, path, key, contents):
                stages.reused(warm.stages_of(study, path))
                shown.say(f"{path.stem}: nothing it reads has changed; not executed again (--force executes it)")
                continue
            warm.forget(study, path)
            start_time = time.perf_counter()
            with _noted_reads() as notes:
                execute(path, study.out / "notebooks" / path.name, parameters, study)
                opened = reads.noted(notes)
            seconds[path.stem] = round(time.perf_counter() - start_time, 1)
            warm.keep(study, path, key, opened, contents)
        shown.start("report")
    told = facts(study, parameters, seconds)
    writing.write_text(study.out / "run.json", json.dumps(told, ensure_ascii=False, indent=1))
    return report.build(study.out)


class Shown:
    """What the terminal shows of a run: which notebook, which stage in it, and how many of its photos are done.

    A line that changes where somebody watches; in a log a line a notebook, and one a minute while a stage goes on.
    """

    def __init__(self, notebooks: int):
        self.notebooks = notebooks
        self.now = ""  # the notebook that runs
        self.started = 0
        self.next_line = 0.0  # when a log gets its next line
        layout = "{desc}: {n_fmt} of {total_fmt} done{postfix}"
        self.bar = tqdm(total=notebooks, desc="notebooks", bar_format=layout, disable=not sys.stderr.isatty())
        self.watching = progress.watched(self._told)

    def __enter__(self):
        self.last = self.watching.__enter__()
        return self

    def __exit__(self, kind, error, trace):
        self.watching.__exit__(None, None, None)
        self.bar.close()
        if kind is KeyboardInterrupt and self.last():
            raise KeyboardInterrupt(f"{self.now}, {self.last()}; what is done is kept") from error

    def start(self, name: str) -> None:
        """The next notebook begins, or what comes after the last."""
        if self.started:
            self.bar.update()
        self.started += 1
        self.now = name
        self.next_line = time.monotonic() + progress.MINUTE
        self.bar.set_postfix_str(name)
        if self.bar.disable and self.started <= self.notebooks:
            print(f"notebook {self.started} of {self.notebooks}: {name}", file=sys.stderr, flush=True)

    def say(self, sentence: str) -> None:
        self.bar.write(sentence)

    def _told(self, text: str) -> None:
        if not self.bar.disable:
            self.bar.set_postfix_str(f"{self.now}, {text}")
        elif time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + progress.MINUTE
            print(f"{self.now}, {text}", file=sys.stderr, flush=True)


class Stages:
    """What stages/ counts is of this run: records of earlier ones go, those of notebooks that are not executed stay as
    reused."""

    def __init__(self, study: Study):
        self.folder = study.out / "stages"
        self.before = {}
        for file in sorted(self.folder.glob("*.json")):
            with contextlib.suppress(UserError):
                self.before[file.name] = documents.read_object(file)
            file.unlink()

    def reused(self, names: list[str]) -> None:
        """Records of a notebook that was not executed: nothing was computed, and nothing took time."""
        for name in names:
            record = self.before.get(name)
            path = paths.inside(self.folder, name)
            if record is None or path.is_file():
                continue
            known = sum(record[count] for count in ("computed", "reused") if isinstance(record.get(count), int))
            record = record | {"computed": 0, "reused": known, "seconds": 0.0}
            writing.write_text(path, json.dumps(record, indent=1))


@contextlib.contextmanager
def _noted_reads():
    """The file in which kernels that are started meanwhile note what they open."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "noted"
        file.touch()
        os.environ[reads.VARIABLE] = str(file)
        try:
            yield file
        finally:
            del os.environ[reads.VARIABLE]


def execute(source: Path, target: Path, parameters: dict, study: Study | None = None) -> None:
    """Run one notebook in the notebooks' folder and keep it, outputs and all, as `target`, naming nobody.

    An unknown parameter or one that is no plain JSON value is an error; a failing cell keeps the partial notebook and
    raises UserError with what the cell said, as do a kernel that ends and a full disk. study: whose paths give way to
    words in the kept notebook (see sharing); without one it is kept as it ran.
    """
    _hold_parameters(source, parameters)
    working = paths.own_folder(target.parent.parent, target.parent.name) / f".running-{target.name}"
    try:
        with _quiet():
            papermill.execute_notebook(
                _unformatted(source),
                _unformatted(working),
                parameters=parameters,
                cwd=str(source.parent),
                kernel_name="python3",
                progress_bar=False,  # of cells; what a stage has done of its photos says more (see Shown)
                log_output=False,
                store_widget_state=False,  # a widget needs its kernel; its static twin is in the notebook
                extra_arguments=["--log-level=ERROR"],  # a kernel on this machine alone warns of its plain TCP
            )
    except PapermillExecutionError as error:
        raise UserError(f"{source.name} stopped: {_said(error, target)} (the notebook so far: {target})") from error
    except (DeadKernelError, RuntimeError) as error:
        raise UserError(_kernel_ended(source, error)) from error
    except OSError as error:
        raise UserError(f"{source.name} stopped: {stopped_by(error, target.parent)}") from error
    finally:
        _keep(working, target, study, parameters)


def facts(study: Study, parameters: dict, seconds: dict) -> dict:
    """run.json: how to repeat the run, on what it ran and how long each stage took; it names nobody."""
    folder = study.out / "stages"
    stages = {path.stem: documents.read_object(path) for path in sorted(folder.glob("*.json"))}
    met = stages.pop(Path(first_contact.KEPT).stem, {})
    draws = study.out / "draws.json"
    before = _seconds_before(study.out)
    told = {
        "command": command(study, parameters.get("profile"), parameters.get("method")),
        "parameters": _parameters(study, parameters),
        "profile": study.profile.model_dump(),
        "seed": study.profile.seed,
        "drawn": study.drawn,
        "classifier": study.classifier,
        "named_by": inference.judge(study),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpus": os.cpu_count(),
            "device": study.device,
        },
        "checkpoints": _checkpoints(study),
        "first_contact": met,
        "seconds": {"notebooks": dict(sorted((before | seconds).items())), "stages": stages},
        "draws": documents.read_json(draws) if draws.is_file() else [],
    }
    return sharing.anonymous_values(told, study, _own_files(parameters))


def command(study: Study, profile: str | None = None, method: str | None = None) -> str:
    """The command that repeats the run, for a shell: PHOTOS and MASKS are to be filled in, other files are named.

    profile, method: as they were given, names or files.
    """
    words = ["fishlib", "reproduce"]
    if profile and profile != "demo":
        words += ["--profile", profile if profile in profile_names() else sharing.name_of(profile)]
    if not study.drawn:
        words += ["--photos", "PHOTOS"]
        if study.masks:
            words += ["--masks", "MASKS"]
    if study.method != study.profile.method:
        words += ["--method", _method_named(study, method)]
    unasked = study.profile.classifier if study.drawn or study.profile.classifier not in checkpoints.ZOO else None
    if study.classifier and study.classifier != unasked:
        words += ["--classifier", sharing.name_of(study.classifier)]
    words += ["--out", f"runs/{study.out.name}"]
    if study.offline:
        words.append("--offline")
    if study.device != "auto":
        words += ["--device", study.device]
    return shlex.join(words)


def _method_named(study: Study, given: str | None) -> str:
    """The method for a command; one of the user's own as it was given, its file by name."""
    if given is None or ":" not in given:
        return study.method
    place, _, function = given.rpartition(":")
    return f"{sharing.name_of(place)}:{function}"


def stopped_by(error: OSError, folder: Path) -> str:
    """What to do about a full disk or a file that cannot be written, outside a cell."""
    if error.errno in FULL:
        return f"the disk of {folder} is full; make room, the same command then goes on where this one stopped."
    where = error.filename or folder
    return f"{where} cannot be read or written ({error.strerror or error}); the same command then goes on."


def _hold_classifier(study: Study) -> None:
    """UserError for a classifier that cannot be asked, before hours of work: no weights, or no class list."""
    if study.classifier is None or study.classifier in checkpoints.ZOO:
        return
    path = Path(study.classifier)
    tensors.read_state(path)
    if not checkpoints.classes(path):
        raise UserError(f"{path} comes with no class list; put one beside it as {path.name}.classes.csv.")


def _hold_parameters(source: Path, parameters: dict) -> None:
    with _quiet():
        known = papermill.inspect_notebook(_unformatted(source))
    if unknown := sorted(set(parameters) - set(known)):
        raise UserError(f"{source.name} has no parameter {unknown[0]!r}; it knows {', '.join(known)}.")
    try:
        json.dumps(parameters, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"A parameter of {source.name} is no plain JSON value: {error}.") from error


def _unformatted(path: Path) -> str:
    """A path that papermill, which takes it for a format string, leaves as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _said(error: PapermillExecutionError, target: Path) -> str:
    """What the failing cell said; a full disk has a sentence of its own."""
    if error.ename in OWN_ERRORS:
        return error.evalue
    if any(words in error.evalue for words in FULL_SAID):
        return stopped_by(OSError(errno.ENOSPC, error.evalue), target.parent)
    return f"{error.ename}: {error.evalue}"


def _kernel_ended(source: Path, error: Exception) -> str:
    if not isinstance(error, DeadKernelError) and "kernel" not in str(error).lower():
        raise error
    return (
        f"{source.name} stopped: its kernel ended, most often because memory ran out or it was killed; "
        "close other programs, the same command then goes on where this one stopped."
    )


def _keep(working: Path, target: Path, study: Study | None, parameters: dict) -> None:
    """Put the notebook, as far as it ran, into its place; one that the kernel left unreadable is dropped."""
    if not working.is_file():
        return
    try:
        content = nbformat.read(working, as_version=4)
        if study is not None:
            content = nbformat.from_dict(sharing.anonymous_values(content, study, _own_files(parameters)))
        writing.write_text(target, nbformat.writes(content))
    except (ValueError, nbformat.ValidationError):  # cut off by a full disk
        pass
    finally:
        working.unlink(missing_ok=True)


def _parameters(study: Study, given: dict) -> dict:
    """The parameters by name: where the files lie on this machine is in .private.json (see made_with)."""
    named = {"profile": given.get("profile"), "method": given.get("method")}
    if named["method"]:
        named["method"] = _method_named(study, named["method"])
    named |= {
        "out": study.out.name,
        "photos": None if study.drawn else study.photos.name,
        "masks": None if study.drawn or not study.masks else study.masks.name,
        "classifier": study.classifier and sharing.name_of(study.classifier),
    }
    return named | {"offline": study.offline, "device": study.device}


def _seconds_before(out: Path) -> dict[str, float]:
    """What the run's other notebooks took when they ran last."""
    try:
        kept = documents.read_object(out / "run.json")["seconds"]["notebooks"]
        return {name: value for name, value in kept.items() if isinstance(value, int | float)}
    except (UserError, KeyError, TypeError, AttributeError):
        return {}


def _checkpoints(study: Study) -> dict:
    """Identity of every checkpoint that could run here."""
    sources = [*checkpoints.pretrainings(study).values()]
    if study.classifier:
        sources.append(study.classifier)
    found = {}
    for source in sources:
        with contextlib.suppress(NotRun):
            found[str(source)] = checkpoints.identity(source, study.profile.backbone, study.profile.seed)
    return found


@contextlib.contextmanager
def _quiet():
    """papermill warns of cells it does not know how to read; those are no news to the user."""
    logger = logging.getLogger("papermill")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
