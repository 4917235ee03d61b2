"""The report: the study at a glance, a page a notebook and a page a species, as one folder of plain HTML pages.

Everything lies inside report/ and nothing is loaded from elsewhere. No script is needed to read it: the only one
makes tables sortable, and the pages' own policy lets no other run. It is built from what the stages left in the run
folder; what is damaged or not there yet is left out and named.
"""

import base64
import hashlib
import json
import re
import shutil
import zipfile
from pathlib import Path

import jinja2
import nbformat
import pandas as pd
from nbconvert import HTMLExporter
from PIL import Image

from fishlib import cache, dataset, evaluation, reviews, segmenters, species_pages
from fishlib.errors import UserError
from fishlib.profiles import Profile
from fishlib.study import Study

TEMPLATES = Path(__file__).parent / "templates"
FIGURES = {  # file stem -> what it shows; only those a run made are shown
    "figure3": "Figure 3: mean micro-F1 against K photos a species",
    "paired": "Mask minus original, draw by draw",
    "pipeline": "From photo to answer, real intermediate results of this run (after the paper's figure 2)",
    "recall_change": "Recall a species, original and Crop & Mask",
    "confusion": "Who is taken for whom, originals",
    "confusion_crop_mask": "Who is taken for whom, Crop & Mask",
    "counts": "Photos a species",
}
COLUMNS = {  # what the report reads of the stages' files
    "predictions.csv": ["photo_id", "species", "variant", "status", "predicted", "confidence", "correct", "counted"],
    "scores.csv": ["photo_id", "species", "method", "status", "kind", "iou", "well_cut"],
    "tables/table1.csv": ["species", "n"],
    "tables/table2.csv": ["species", "n"],
    "tables/figure3.csv": ["pretraining", "variant", "k", "trial", "micro_f1"],
}
DAMAGED = (UserError, OSError, ValueError, KeyError, AttributeError, TypeError, nbformat.ValidationError)


def build(run: Path) -> Path:
    """Write <run>/report/ (index.html, a page a notebook and a species) and <run>/report.zip; returns the index.

    Raises UserError when the folder holds no run.
    """
    study, facts = _open(Path(run))
    out, folder, problems = study.out, study.out / "report", []
    shutil.rmtree(folder, ignore_errors=True)  # else the pages of species that are gone would stay
    frames = {name: _read(out / name, _frame, problems, pd.DataFrame(columns=c)) for name, c in COLUMNS.items()}
    manifest = _read(out / "manifest.csv", dataset.read_manifest, problems, pd.DataFrame(columns=dataset.COLUMNS))
    verdicts = _read(out / reviews.FILE, reviews.read, problems, pd.DataFrame(columns=reviews.COLUMNS))
    scores = reviews.apply(frames["scores.csv"], verdicts)
    kinds = species_pages.gather(study, manifest, frames["predictions.csv"], scores, folder)
    notebooks = [_read(path, _notebook, problems, None) for path in sorted((out / "notebooks").glob("*.ipynb"))]
    notebooks = [page for page in notebooks if page]
    site = {"facts": facts, "study": study, "notebooks": notebooks, "kinds": kinds, "manifest": manifest} | _head()
    for page in notebooks:
        _write(folder, page["file"], "notebook.html", site, page=page)
    for page, before, after in zip(kinds, [None, *kinds], [*kinds[1:], None], strict=False):
        _write(folder, page["file"], "species.html", site, page=page, before=before, after=after)
    figures = [_read(out / "figures" / f"{stem}.png", _figure(folder), problems, None) for stem in FIGURES]
    tables = [_read(path, _text, problems, "") for path in sorted((out / "tables").glob("table[1-4].html"))]
    notes = {path.stem: _read(path, _notes, problems, []) for path in sorted((out / "notes").glob("*.json"))}
    glance = _totals(frames) | {"figures": [f for f in figures if f], "tables": tables, "notes": notes}
    _write(folder, "index.html", "index.html", site, page=None, methods=_methods(study), problems=problems, **glance)
    _zip(folder, out / "report.zip")
    return folder / "index.html"


def _open(run: Path) -> tuple[Study, dict]:
    """(study, facts of run.json) of a finished run. It is not opened to be run again: its photos may be gone."""
    path = run / "run.json"
    if not path.is_file():
        raise UserError(f"{run} holds no run.json, so no finished run; `fishlib reproduce --out {run}` makes one.")
    try:
        facts = json.loads(_text(path))
        seconds, given, profile = facts["seconds"], facts["parameters"], Profile(**facts["profile"])
        parts = facts["hardware"], facts["versions"], facts["checkpoints"], seconds["notebooks"], seconds["stages"]
        if not all(isinstance(part, dict) for part in (given, *parts)) or not isinstance(facts["command"], str):
            raise ValueError("parts of run.json have another form")
        folder, drawn = run.resolve(), facts["drawn"]
        study = Study(
            out=folder,
            photos=folder / "drawn" / "photos" if drawn else Path(given["photos"]),
            masks=folder / "drawn" / "masks" if drawn else given.get("masks") and Path(given["masks"]),
            fins=folder / "drawn" / "fins" if drawn else None,
            profile=profile,
            method=given.get("method") or profile.method,
            classifier=given.get("classifier"),
            offline=True,
            device="cpu",
            drawn=drawn,
        )
        return study, facts
    except DAMAGED as error:
        said = f"{path} is damaged or of another version ({type(error).__name__})"
        raise UserError(f"{said}; `fishlib reproduce` with the same --out writes it anew.") from error


def _read(path: Path, reader, problems: list[str], otherwise):
    """reader(path); `otherwise` where the file is not there (yet), or, with a problem noted, where it is damaged."""
    if not path.is_file():
        return otherwise
    try:
        return reader(path)
    except DAMAGED as error:
        said = " ".join(str(error).split())[:200]
        problems.append(f"{path.name} cannot be read ({said}); what it holds is left out.")
        return otherwise


def _frame(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])  # a species may be called NA
    wanted = COLUMNS["tables/" * (path.parent.name == "tables") + path.name]
    return frame[[*wanted, *(c for c in frame if c not in wanted)]]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _notes(path: Path) -> list[str]:
    return [str(note) for note in json.loads(_text(path))]


def _totals(frames: dict[str, pd.DataFrame]) -> dict:
    """The last rows of tables 1 and 2 and what figure 3 says of Mask against original: the study in a few lines."""
    rows = [frames[f"tables/table{n}.csv"].to_dict("records") for n in (1, 2)]
    transfer = frames["tables/figure3.csv"]
    gain = evaluation.mask_minus_original(transfer).to_dict("records") if len(transfer) else []
    return {"totals": [found[-1] if found else {} for found in rows], "gain": gain}


def _methods(study: Study) -> list[dict]:
    """The methods of the run, the paper's three first: name, what tables call it, whether it is a stand-in."""
    asked = {
        **dict.fromkeys(("detic", "sam-clip", "gdino-sam")),
        **dict.fromkeys([*study.profile.compare, study.method]),
    }
    found = []
    for name in asked:
        params = study.profile.segmenters.get(name, {})
        label = segmenters.label(name, params)
        column = {
            "name": name,
            "column": name.replace("-", "_"),
            "ran": (study.out / "segments" / name / "index.csv").is_file(),
        }
        found.append(
            column | {"label": label, "stand_in": label != segmenters.LABELS.get(name, name), "params": params}
        )
    return found


def _figure(folder: Path):
    """A reader that copies one figure into the report: file, size in pixels of the page, what it shows."""

    def copy(path: Path) -> dict:
        with Image.open(path) as picture:
            picture.load()  # a truncated file is an OSError here
            width, height = (round(side / 1.5) for side in picture.size)  # 150 dpi, shown at 100
        with cache.atomic(folder / "figures" / path.name) as temporary:
            shutil.copyfile(path, temporary)
        return {"file": f"figures/{path.name}", "text": FIGURES[path.stem], "width": width, "height": height}

    return copy


def _notebook(path: Path) -> dict:
    """One executed notebook: file, title, number and HTML body. Progress bars (stderr) and widgets' empty shells are
    left out, images get a text, and markup in Markdown that code wrote (it may hold a folder's name) is text."""
    content, heading = nbformat.read(path, as_version=4), ""
    title = next(
        (s.lstrip("# ") for c in content.cells for s in c.source.splitlines() if s.startswith("# ")), path.stem
    )
    for cell in content.cells:
        if cell.cell_type == "markdown":
            heading = next((s.lstrip("# ") for s in cell.source.splitlines() if s.startswith("#")), heading)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" and not _is_widget(o)]
            for place, output in enumerate(cell.outputs, 1):
                _plain(output, f"{heading}, result {place}")
    # "basic" has no head: the lab template would load scripts from the web
    body, _ = HTMLExporter(template_name="basic", embed_images=True).from_notebook_node(content)
    return {"file": f"{path.stem}.html", "title": title, "body": body}


def _plain(output, alt: str) -> None:
    data = output.get("data", {})
    for kind in [kind for kind in data if kind.startswith("image/")]:
        output.metadata.setdefault(kind, {}).setdefault("alt", alt)  # figures bring their title
    if "text/markdown" in data:
        data["text/markdown"] = re.sub(r"[<\[]", r"\\\g<0>", "".join(data["text/markdown"]))


def _is_widget(output) -> bool:
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def _head() -> dict:
    """What every page's head needs: the style, the script that sorts tables, and a policy that lets only it run."""
    from pygments.formatters import HtmlFormatter

    script = _text(TEMPLATES / "sort.js")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; "
        "base-uri 'none'; form-action 'none'"
    )
    style = _text(TEMPLATES / "report.css") + HtmlFormatter().get_style_defs(".highlight")
    return {"style": style, "script": script, "policy": policy}


def _write(folder: Path, file: str, template: str, site: dict, **values) -> None:
    # text is escaped unless a template says |safe, which only our own HTML gets
    loader = jinja2.FileSystemLoader(TEMPLATES)
    pages = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    cache.write_text(folder / file, pages.get_template(template).render(site | values))


def _zip(folder: Path, target: Path) -> None:
    with cache.atomic(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, Path("report") / path.relative_to(folder))
