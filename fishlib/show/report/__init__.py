"""The report: the study at a glance, a page a notebook and a page a species, as one folder of plain HTML pages.

Everything lies inside report/ and nothing is loaded from elsewhere. No script is needed to read it: the only one
makes tables sortable, and the pages' own policy lets no other run. It is built from what the stages left in the run
folder; what is damaged or not there yet is left out and named.
"""

import base64
import functools
import hashlib
import json
import re
import shutil
from pathlib import Path

import jinja2
import nbformat
import pandas as pd
from nbconvert import HTMLExporter
from PIL import Image
from pygments.formatters import HtmlFormatter

from fishlib import made_with
from fishlib.errors import UserError
from fishlib.files import writing
from fishlib.naming import checkpoints
from fishlib.photos import composite, species
from fishlib.photos.manifest import COLUMNS as MANIFEST
from fishlib.photos.manifest import read_manifest
from fishlib.removal import reviews, segmenters, segments
from fishlib.scores import evaluation
from fishlib.show import captions, cases, tables
from fishlib.show.report import species_pages
from fishlib.study import Study, older_parts

TEMPLATES = Path(__file__).parent / "templates"
UNESCAPED = r"(?<!\\)((?:\\\\)*)([<\[])"  # what may begin markup, unless a backslash makes it text already
WIDGET = "application/vnd.jupyter.widget-view+json"
COLUMNS = {  # what the report reads of the stages' files
    "predictions.csv": ["photo_id", "species", "variant", "status", "predicted", "confidence", "correct", "counted"],
    "scores.csv": ["photo_id", "species", "method", "status", "kind", "iou", "well_cut"],
    "tables/table1.csv": ["species", "n"],
    "tables/table2.csv": ["species", "n"],
    "tables/figure3.csv": ["pretraining", "variant", "k", "trial", "micro_f1"],
}
DAMAGED = (UserError, OSError, ValueError, KeyError, AttributeError, TypeError, SyntaxError, nbformat.ValidationError)


def build(run: Path) -> Path:
    """Write <run>/report/ (index.html, a page a notebook and a species) and <run>/report.zip; returns the index.

    Raises UserError when the folder holds no run.
    """
    study, facts = _open(Path(run))
    out, folder, problems = study.out, study.out / "report", older_parts(study.out)
    shutil.rmtree(folder, ignore_errors=True)  # else the pages of species that are gone would stay
    read = functools.partial(_read, problems, out)
    frames = {name: read(_frame, out / name, pd.DataFrame(columns=c)) for name, c in COLUMNS.items()}
    manifest = read(read_manifest, out / "manifest.csv", pd.DataFrame(columns=MANIFEST))
    verdicts = read(reviews.read, out / reviews.FILE, pd.DataFrame(columns=reviews.COLUMNS))
    scores = reviews.apply(frames["scores.csv"], verdicts)
    for path in sorted((out / "segments").glob("*/index.csv")):
        read(segments.read_index, path)
    kinds = species_pages.gather(study, manifest, frames["predictions.csv"], scores, folder)
    found = {"notebooks": [read(_notebook, path) for path in sorted((out / "notebooks").glob("*.ipynb"))]}
    found["figures"] = [read(_figure(folder), path) for path in sorted((out / "figures").glob("*.png"))]
    found["tables"] = [read(_text, path) for path in sorted((out / "tables").glob("table[1-4].html"))]
    found["notes"] = [read(_json, path) for path in sorted((out / "notes").glob("*.json"))]
    found = {name: [part for part in parts if part] for name, parts in found.items()}
    site = {"study": study, "facts": facts, "frames": frames, "manifest": manifest, "kinds": kinds} | found
    site |= {"captions": captions, "checkpoints": checkpoints}
    templates = _templates(site | {"problems": problems})
    turns = zip(kinds, [None, *kinds], [*kinds[1:], None], strict=False)
    pages = [("notebook.html", {"page": page}) for page in found["notebooks"]]
    pages += [("species.html", {"page": page, "before": before, "after": after}) for page, before, after in turns]
    for template, values in [*pages, ("index.html", {"page": {"file": "index.html"}})]:
        writing.write_text(folder / values["page"]["file"], templates.get_template(template).render(values))
    with writing.atomic(out / "report.zip") as temporary:
        shutil.make_archive(str(temporary.with_suffix("")), "zip", out, folder.name)
    return folder / "index.html"


def _open(run: Path) -> tuple[Study, dict]:
    """(study, facts of run.json) of a finished run. It is not opened to be run again: its photos may be gone."""
    path = run / made_with.RUN
    if not path.is_file():
        raise UserError(f"{run} holds no run.json, so no finished run; `fishlib reproduce --out {run}` makes one.")
    try:
        study, facts = made_with.study_of(run), _json(path)
        facts["profile"], facts["drawn"], facts["parameters"]["method"]
    except DAMAGED as error:
        said = f"{path} is damaged or of another version ({type(error).__name__})"
        raise UserError(f"{said}; `fishlib reproduce` with the same --out writes it anew.") from error
    return study, facts


def _read(problems: list[str], out: Path, reader, path: Path, otherwise=None):
    """reader(path); `otherwise` where the file is not there (yet), or, with a problem noted, where it is damaged."""
    try:
        return reader(path) if path.is_file() else otherwise
    except DAMAGED as error:
        said = " ".join(str(error).split())[:200]
        problems.append(f"{path.relative_to(out).as_posix()} cannot be read ({said}); what it holds is left out.")
        return otherwise


def _frame(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])  # a species may be called NA
    frame[COLUMNS["tables/" * (path.parent.name == "tables") + path.name]]  # KeyError where one is missing
    return frame


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _json(path: Path):
    return json.loads(_text(path))


def _figure(folder: Path):
    """A reader that copies a figure into the report: its name and its size on the page."""

    def copy(path: Path) -> dict:
        with Image.open(path) as picture:
            picture.load()  # a truncated file is an OSError here, not a broken picture there
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / "figures" / path.name)
        return {"stem": path.stem, "size": [round(side / 1.5) for side in picture.size]}  # 150 dpi, shown at 100

    return copy


def _notebook(path: Path) -> dict:
    """One executed notebook: file, title and HTML body. Progress bars (stderr) and widgets' empty shells are left
    out, pictures get a text, and markup in Markdown that code wrote is text: it may hold a folder's name."""
    content, heading, title = nbformat.read(path, as_version=4), path.stem, ""
    for cell in content.cells:
        if cell.cell_type == "markdown":
            heading = next((s.lstrip("# ") for s in cell.source.splitlines() if s.startswith("#")), heading)
            title = title or heading
        outputs = [o for o in cell.get("outputs", []) if o.get("name") != "stderr" and WIDGET not in o.get("data", {})]
        for place, output in enumerate(outputs, 1):
            data = output.get("data", {})
            for kind in [kind for kind in data if kind.startswith("image/")]:  # figures bring their title
                output.metadata.setdefault(kind, {}).setdefault("alt", f"{heading}, result {place}")
            if "text/markdown" in data:
                data["text/markdown"] = re.sub(UNESCAPED, r"\1\\\2", "".join(data["text/markdown"]))
        if cell.cell_type == "code":
            cell.outputs = outputs
    # "basic" has no head: the lab template would load scripts from the web
    body, _ = HTMLExporter(template_name="basic", embed_images=True).from_notebook_node(content)
    return {"file": f"{path.stem}.html", "title": title or path.stem, "body": body}


def _templates(site: dict) -> jinja2.Environment:
    """The pages' templates, with what every page may show. Text is escaped unless a template says |safe, which
    only our own HTML gets; `allowed` is the one script that may run."""
    options = {"autoescape": True, "undefined": jinja2.StrictUndefined, "trim_blocks": True}
    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), **options)
    style, script = _text(TEMPLATES / "report.css"), _text(TEMPLATES / "sort.js")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    templates.globals |= site | {"script": script, "allowed": allowed, "BASIC": composite.LABELS}
    templates.globals |= {"style": style + HtmlFormatter().get_style_defs(".highlight"), "evaluation": evaluation}
    templates.globals |= {"percent": tables.percent, "name": species.label, "page_file": species_pages.page_file}
    templates.globals |= {"variant": cases.label, "outline": species_pages.outliner(site["study"])}
    own = site["study"].profile.segmenters
    templates.globals["method"] = lambda name: segmenters.label(name, own.get(name, {}))
    return templates
