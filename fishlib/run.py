"""Run the numbered notebooks with papermill, strictly, and keep what is needed to repeat the run."""

import contextlib
import json
import logging
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from fishlib.errors import NotRun, UserError
from fishlib.files import writing
from fishlib.naming import checkpoints, inference
from fishlib.opening import REPOSITORY, open_study
from fishlib.show import report
from fishlib.study import Study

NOTEBOOKS = REPOSITORY / "notebooks"
PACKAGES = ["fishlib", "torch", "timm", "segment-anything", "groundingdino-py", "opencv-python", "papermill"]


def notebooks(only: str | None = None) -> list[Path]:
    """The numbered notebooks in order; `only` is a number such as "02". UserError when there is none."""
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise UserError(f"{NOTEBOOKS} holds no notebooks; run from a checkout of the project.")
    if only is not None:
        found = [p for p in found if p.name.startswith(f"{only.zfill(2)}_")]
        if not found:
            raise UserError(f"No notebook has the number {only!r}; choose 01 to 04.")
    return found


def reproduce(only: str | None = None, **parameters) -> Path:
    """Execute the notebooks, write run.json and the report; returns the report's index page.

    parameters: those of study.open_study. Raises UserError when a cell fails; the partial notebook stays in
    <out>/notebooks.
    """
    study = open_study(**parameters)
    values = {k: str(v) if isinstance(v, Path) else v for k, v in parameters.items()} | {"out": str(study.out)}
    for old in (study.out / "stages").glob("*.json"):
        old.unlink()
    seconds = {}
    todo = notebooks(only)
    with tqdm(total=len(todo), desc="notebooks", bar_format="{desc}: {n_fmt}/{total_fmt} {postfix}") as bar:
        for path in todo:
            bar.set_postfix_str(path.stem)
            start = time.perf_counter()
            execute(path, study.out / "notebooks" / path.name, values)
            seconds[path.stem] = round(time.perf_counter() - start, 1)
            bar.update()
    writing.write_text(study.out / "run.json", json.dumps(facts(study, values, seconds), ensure_ascii=False, indent=1))
    return report.build(study.out)


def execute(source: Path, target: Path, parameters: dict) -> None:
    """Run one notebook in the notebooks' folder. An unknown parameter or one that is no plain JSON value is
    an error; a failing cell keeps the partial notebook and raises UserError with what the cell said."""
    with _quiet():
        known = papermill.inspect_notebook(str(source))
    if unknown := sorted(set(parameters) - set(known)):
        raise UserError(f"{source.name} has no parameter {unknown[0]!r}; it knows {', '.join(known)}.")
    try:
        json.dumps(parameters, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"A parameter of {source.name} is no plain JSON value: {error}.") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        bar = {"leave": False, "desc": source.stem}
        options = {"cwd": str(source.parent), "kernel_name": "python3", "progress_bar": bar, "log_output": False}
        options["store_widget_state"] = False  # a widget needs its kernel; its static twin is in the notebook
        options["extra_arguments"] = ["--log-level=ERROR"]  # a kernel on this machine alone warns of its plain TCP
        papermill.execute_notebook(str(source), str(target), parameters=parameters, **options)
    except PapermillExecutionError as error:
        own = error.ename in ("UserError", "UnreadablePhoto", "NotRun")
        said = error.evalue if own else f"{error.ename}: {error.evalue}"
        raise UserError(f"{source.name} stopped: {said} (the notebook so far: {target})") from error


def facts(study: Study, parameters: dict, seconds: dict) -> dict:
    """run.json: how to repeat the run, on what it ran and how long each stage took."""
    stages = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted((study.out / "stages").glob("*.json"))}
    draws = study.out / "draws.json"
    options = " ".join(f"--{k} {v}" for k, v in parameters.items() if v not in (None, False))
    hardware = {"machine": platform.machine(), "system": platform.system(), "cpus": os.cpu_count()}
    return {
        "command": f"fishlib reproduce {options}",
        "parameters": parameters,
        "profile": study.profile.model_dump(),
        "seed": study.profile.seed,
        "drawn": study.drawn,
        "classifier": study.classifier,
        "named_by": inference.judge(study),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "hardware": hardware | {"device": study.device},
        "checkpoints": _checkpoints(study),
        "seconds": {"notebooks": seconds, "stages": stages},
        "draws": json.loads(draws.read_text(encoding="utf-8")) if draws.is_file() else [],
    }


def _checkpoints(study: Study) -> dict:
    found = {}
    for source in [*checkpoints.pretrainings(study).values(), *([study.classifier] if study.classifier else [])]:
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
