"""The report: the study at a glance, a page a notebook and a page a species, as one folder of plain HTML pages.

Everything lies inside report/ and nothing is loaded from elsewhere. No script is needed to read it: the only one
makes tables sortable, and the pages' own policy lets no other run. It is built from what the stages left in the run
folder, which may be a stranger's; what is damaged or not there yet is left out and named. It is there to be mailed:
no page names a folder, a person or a machine.
"""

import base64
import hashlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from PIL import Image
from pygments.formatters import HtmlFormatter

from fishlib import made_with
from fishlib.beyond import evidence
from fishlib.errors import UserError
from fishlib.files import documents, paths, writing
from fishlib.naming import checkpoints
from fishlib.photos import composite, own_names, species
from fishlib.removal import reviews, segments
from fishlib.scores import evaluation
from fishlib.sharing import anonymous, anonymous_values, is_absolute, name_of
from fishlib.show import captions, cases, names, tables, typeset, views, worst
from fishlib.show.report import first_page, notebook_pages, reading, species_pages
from fishlib.show.report.clean import cleaned
from fishlib.study import Study, older_parts

TEMPLATES = Path(__file__).parent / "templates"
SHOWN_FACTS = ("command", "named_by", "hardware", "versions", "checkpoints", "seconds")  # of run.json
MAX_PIXELS = 100_000_000  # of a figure
NAMES = {"ja": "日本語", "scientific": "scientific", "en": "English"}  # the switch on every page
BLAMED = {  # what is to blame, in a table's cell
    worst.LOOK: "neither mask nor background",
    worst.BACKGROUND: "background",
    worst.MASK: "mask",
    worst.FRAME: "cutting to the box",
    worst.REMOVAL: "missing background",
    worst.UNJUDGED: "cut-out, not judged",
}
DAMAGED = (UserError, OSError, ValueError, KeyError, AttributeError, TypeError)


def build(run: Path) -> Path:
    """Write <run>/report/ (index.html, a page a notebook and a species) and <run>/report.zip; returns the index.

    Raises UserError when the folder holds no run, and where report/ is a link.
    """
    study, facts = _open(Path(run))
    folder = _emptied(study.out, "report")
    site = _gathered(study, facts, folder)
    templates = _templates(site)

    writing.write_text(folder / "index.html", _rendered(templates, "index.html", {"file": "index.html"}))
    for page in site["notebooks"]:
        writing.write_text(folder / page["file"], _rendered(templates, "notebook.html", page))
    pages = site["kinds"]
    for page, before, after in zip(pages, [None, *pages], [*pages[1:], None], strict=False):
        html = _rendered(templates, "species.html", page, before=before, after=after)
        writing.write_text(folder / page["file"], html)

    with writing.atomic(study.out / "report.zip") as temporary:
        shutil.make_archive(str(temporary.with_suffix("")), "zip", study.out, folder.name)
    return folder / "index.html"


def look(run: Path) -> Study:
    """The study of a finished run, to be read, not run again: its photos may be gone. UserError without one."""
    study, _ = _open(Path(run))
    return study


def _open(run: Path) -> tuple[Study, dict]:
    """(study, facts of run.json) of a finished run. It is not opened to be run again: its photos may be gone."""
    path = run / made_with.RUN
    if not path.is_file():
        raise UserError(f"{run} holds no run.json, so no finished run; `fishlib reproduce --out {run}` makes one.")
    try:
        facts = documents.read_object(path)
        facts["profile"], facts["drawn"], facts["parameters"]["method"]
        study = made_with.study_of(run)
        paths.part_of_a_name(study.method, "the method")
    except DAMAGED as error:
        said = f"{path} is damaged or of another version ({type(error).__name__})"
        raise UserError(f"{said}; `fishlib reproduce` with the same --out writes it anew.") from error
    return study, facts


def _emptied(out: Path, name: str) -> Path:
    """The run's own folder of that name with nothing in it: pages of species that are gone would stay."""
    folder = paths.own_folder(out, name)
    shutil.rmtree(folder, ignore_errors=True)
    return paths.own_folder(out, name)


def _gathered(study: Study, facts: dict, folder: Path) -> dict[str, Any]:
    """What the pages show, read from the run folder; pictures are put into `folder`."""
    run = reading.Run(study.out)
    run.problems += older_parts(study.out)
    species.use(_own_names(study, run.problems))
    named = [*_mapping(facts["parameters"]).values(), *_mapping(facts.get("checkpoints"))]
    whose = {"study": study, "others": [name for name in named if isinstance(name, str) and is_absolute(name)]}
    share = partial(anonymous, **whose)
    share_values = partial(anonymous_values, **whose)
    frames = {name: run.frame(name) for name in reading.COLUMNS}
    manifest = frames["manifest.csv"]
    verdicts = run.read(reviews.read, reviews.FILE, pd.DataFrame(columns=reviews.COLUMNS))
    scores = reviews.apply(frames["scores.csv"], verdicts)
    run.each(segments.read_index, "segments", "*/index.csv")  # a damaged one is named

    notes = run.each(reading.sentences, "notes", "*.json")
    table_texts = run.each(reading.text, "tables", "table[1-4].html")
    kinds = species_pages.gather(study, manifest, frames["predictions.csv"], scores, folder)
    given = _evidence(study, run.problems)
    told = shown_facts(share_values({name: facts.get(name) for name in SHOWN_FACTS}))
    site = {
        "study": study,
        "share": share,
        "facts": told,
        "frames": frames,
        "manifest": manifest,
        "homeless": manifest[manifest["species"] == ""],
        "kinds": kinds,
        "choices_of_names": NAMES if any(species.names(page["folder"]) for page in kinds) else {},
        "notebooks": run.each(partial(notebook_pages.page, share_values), "notebooks", "*.ipynb"),
        "figures": run.each(partial(_figure, folder), "figures", "*.png"),
        "tables": [cleaned(share(text)) for text in table_texts],
        "totals": {number: _total(frames[f"tables/table{number}.csv"]) for number in (1, 2)},
        "notes": [share(line) for lines in notes for line in lines],
        "outline": species_pages.outliner(run),
        "verdict": _verdict(given, share),
        "drawing": None if given is None else first_page.picture(given.inputs),
        "named_worst": first_page.worst_named(frames["predictions.csv"], scores, study.method),
        "about_tables": " ".join(typeset.shared(2, captions.facts(study) | {"classifier": told["named_by"]})),
    }
    site["problems"] = [share(problem) for problem in run.problems]
    return site


def _own_names(study: Study, problems: list[str]) -> dict[str, dict[str, str]]:
    """The names that the user gives the species; {}, and a problem noted, where their file is damaged."""
    try:
        return own_names.read(study)
    except DAMAGED as error:
        problems.append(f"Species are called by their folders: {' '.join(str(error).split())[:200]}")
        return {}


def _evidence(study: Study, problems: list[str]) -> evidence.Evidence | None:
    """What the run's tables say of the question; None, with a problem noted, where they are damaged."""
    try:
        return evidence.of(study)
    except DAMAGED as error:
        problems.append(f"The question is not answered: {' '.join(str(error).split())[:200]}")
        return None


def _verdict(given: evidence.Evidence | None, share: Callable[[str], str]) -> dict[str, Any] | None:
    """The sentences of the run's answer (see beyond.verdict); None where nothing was asked."""
    if given is None or given.verdict is None:
        return None
    told = given.verdict
    return {
        "answer": share(told.answer),
        "rests_on": [share(sentence) for sentence in told.rests_on],
        "would_change": [share(sentence) for sentence in told.would_change],
        "choices": {shots: share(choice.answer) for shots, choice in given.choices.items()},
    }


def shown_facts(facts: dict) -> dict[str, Any]:
    """What the index shows of run.json: text and numbers alone, whatever else stands there."""
    seconds = _mapping(facts.get("seconds"))
    stages = {name: _mapping(stage) for name, stage in _mapping(seconds.get("stages")).items()}
    return {
        "command": _text(facts.get("command")) or "not recorded",
        "named_by": _text(facts.get("named_by")),
        "hardware": _plain(facts.get("hardware")),
        "versions": _plain(facts.get("versions")),
        "checkpoints": {name_of(name): made_of for name, made_of in _plain(facts.get("checkpoints")).items()},
        "seconds": _plain(seconds.get("notebooks")),
        "a_photo": {
            name: stage["seconds_a_photo"] for name, stage in stages.items() if _plain(stage).get("seconds_a_photo")
        },
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _mapping(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _plain(value: Any) -> dict[str, str | int | float]:
    return {name: inner for name, inner in _mapping(value).items() if isinstance(inner, str | int | float)}


def _total(table: pd.DataFrame) -> dict[str, Any]:
    """The last row of table 1 or 2 as typeset.cell reads it; {} without one."""
    if table.empty:
        return {}
    row = table.iloc[-1].to_dict()
    for name, value in row.items():
        if isinstance(value, str) and value != tables.NOT_RUN:
            row[name] = pd.to_numeric(value, errors="coerce")
    return row


def _figure(folder: Path, path: Path) -> dict:
    """Put a figure into the report, without what a program may have written beside its pixels: name and size."""
    with Image.open(path, formats=["PNG"]) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise UserError(f"it has more than {MAX_PIXELS:,} pixels")
        picture.load()  # a truncated file is an OSError here, not a broken picture there
        picture.info.clear()
        with writing.atomic(folder / "figures" / path.name) as temporary:
            picture.save(temporary, format="PNG")
    return {"stem": path.stem, "size": [round(side / 1.5) for side in (width, height)]}  # 150 dpi, shown at 100


def _templates(site: dict[str, Any]) -> jinja2.Environment:
    """The pages' templates, with what every page may show. Text is escaped unless a template says |safe, which
    only our own HTML and `cleaned` gets; `allowed` is the one script that may run."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    script = reading.text(TEMPLATES / "sort.js")
    styles = [reading.text(TEMPLATES / "report.css"), HtmlFormatter().get_style_defs(".highlight")]
    styles += [reading.text(views.STYLE), reading.text(typeset.STYLE)]
    templates.globals |= site
    files = {page["file"] for page in site["kinds"]}
    templates.globals |= {
        "style": "\n".join(styles),
        "script": script,
        "allowed": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "BASIC": composite.LABELS,
        "NOT_RUN": tables.NOT_RUN,
        "captions": captions,
        "checkpoints": checkpoints,
        "evaluation": evaluation,
        "percent": tables.percent,
        "cell": typeset.cell,
        "names": names.html,
        "latin": partial(species.label, lang="scientific"),
        "link": partial(_link, files),
        "blamed": _blamed,
        "shown_photos": partial(first_page.shown_photos, at_hand=lambda photo: bool(photo["image"])),
        "variant": cases.label,
        "method": partial(views.method_label, site["study"]),
    }
    return templates


def _link(files: set[str], folder: str) -> Markup:
    """A species' names, leading to its page where the report has one."""
    file = species_pages.page_file(folder)
    return Markup('<a href="{}">{}</a>').format(file, names.html(folder)) if file in files else names.html(folder)


def _blamed(one: worst.Worst) -> str:
    """What is to blame for most of a species' wrong answers, in a few words."""
    return BLAMED[next(iter(one.causes))] if one.causes else ""


def _rendered(templates: jinja2.Environment, template: str, page: dict, **more) -> str:
    return templates.get_template(template).render(page=page, **more)
