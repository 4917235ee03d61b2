"""The report: executed notebooks and the run's tables and figures as one folder of plain HTML pages.

Everything lies inside report/, nothing is loaded from elsewhere, and no script is needed to read it.
"""

import json
import shutil
import zipfile
from pathlib import Path

import jinja2
import nbformat
from nbconvert import HTMLExporter

from fishlib import cache
from fishlib.errors import UserError

TEMPLATES = Path(__file__).parent / "templates"
FIGURES = {  # file stem -> what it shows; only those a run made are shown
    "pipeline": "From photo to answer, real intermediate results of this run (after the paper's figure 2)",
    "figure3": "Figure 3: mean micro-F1 against K photos a species",
    "paired": "Mask minus original, draw by draw",
    "recall_change": "Recall a species, original and Crop & Mask",
    "confusion": "Who is taken for whom, originals",
    "counts": "Photos a species",
}


def build(run: Path) -> Path:
    """Write <run>/report/ (index.html, a page a notebook, figures) and <run>/report.zip; returns the index.

    Raises UserError when the folder holds no run.
    """
    run = Path(run)
    if not (run / "run.json").is_file():
        raise UserError(f"{run} holds no run.json; `fishlib reproduce --out {run}` makes one.")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    folder = run / "report"
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    pages = [_page(path, folder) for path in sorted((run / "notebooks").glob("*.ipynb"))]
    figures = []
    for stem, text in FIGURES.items():
        if (run / "figures" / f"{stem}.png").is_file():
            shutil.copyfile(run / "figures" / f"{stem}.png", folder / "figures" / f"{stem}.png")
            figures.append({"file": f"figures/{stem}.png", "text": text})
    tables = [path.read_text(encoding="utf-8") for path in sorted((run / "tables").glob("table*.html"))]
    index = _template("index.html").render(facts=facts, pages=pages, figures=figures, tables=tables, style=_style())
    cache.write_text(folder / "index.html", index)
    _zip(folder, run / "report.zip")
    return folder / "index.html"


def _page(notebook: Path, folder: Path) -> dict:
    """One executed notebook as <stem>.html; progress bars (stderr) and widgets' empty shells are left out."""
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" and not _is_widget(o)]
    # "basic" has no head: the lab template would load scripts from the web
    body, _ = HTMLExporter(template_name="basic", embed_images=True).from_notebook_node(content)
    title = next(
        (line.lstrip("# ") for c in content.cells for line in c.source.splitlines() if line.startswith("# ")),
        "",
    )
    page = _template("notebook.html").render(body=body, title=title or notebook.stem, style=_style())
    cache.write_text(folder / f"{notebook.stem}.html", page)
    return {"file": f"{notebook.stem}.html", "title": title or notebook.stem}


def _is_widget(output) -> bool:
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def _template(name: str) -> jinja2.Template:
    # text is escaped unless a template says |safe, which only our own HTML gets
    loader = jinja2.FileSystemLoader(TEMPLATES)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(name)


def _style() -> str:
    from pygments.formatters import HtmlFormatter

    return (TEMPLATES / "report.css").read_text(encoding="utf-8") + HtmlFormatter().get_style_defs(".highlight")


def _zip(folder: Path, target: Path) -> None:
    with cache.atomic(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, Path("report") / path.relative_to(folder))
