"""Two runs held against each other as one page of HTML, like the report's: no script, nothing loaded, names as text."""

from pathlib import Path

import jinja2

from fishlib.beyond import compare, evidence, words
from fishlib.files import writing
from fishlib.show import luck, report
from fishlib.show.report import reading
from fishlib.study import Study

MOST = 500  # photos in the table of those that are named otherwise


def write(found: compare.Comparison, a: Study, b: Study, file: Path) -> Path:
    """Write the page of compare.runs(a, b), an .html file; the runs are called by their folders' names."""
    loader = jinja2.FileSystemLoader(report.TEMPLATES)
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = templates.get_template("compare.html").render(
        found=found,
        facts=compare.facts(found),
        names=(a.out.name, b.out.name),
        drawn=a.drawn or b.drawn,
        most=MOST,
        nothing_asked=evidence.NOTHING_ASKED,
        label=luck.input_label,
        points=words.points,
        luck=compare.luck,
        style=reading.text(report.TEMPLATES / "report.css"),
    )
    writing.write_text(file, page)
    return file
