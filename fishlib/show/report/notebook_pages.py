"""An executed notebook as a page: its results as they are, with nothing in them that loads, runs or names anybody."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter

from fishlib.errors import UserError
from fishlib.show.report.clean import cleaned

CELLS = Path(__file__).parent / "templates" / "cells.html"
MAX_BYTES = 256 << 20
UNESCAPED = r"(?<!\\)((?:\\\\)*)([<\[])"  # what may begin markup, unless a backslash makes it text already
WIDGET = "application/vnd.jupyter.widget-view+json"
SHOWN = {"text/html", "text/markdown", "text/plain", "image/png", "image/jpeg"}  # of a result's forms


def page(share: Callable[[Any], Any], path: Path) -> dict:
    """One executed notebook: file, title and HTML body (see `prepared`). Raises whatever nbformat does.

    share: sharing.anonymous_values for this run.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"it has more than {MAX_BYTES >> 20} MB")
    content = nbformat.read(path, as_version=4)
    title = prepared(content, path.stem)
    content = nbformat.from_dict(share(content))
    # "basic" has no head: the lab template would load scripts from the web. A picture that Markdown names as a file
    # would be looked up from the working directory, so none is embedded.
    folded = CELLS.read_text(encoding="utf-8")
    exporter = HTMLExporter(template_name="basic", raw_template=folded, embed_images=False)
    body, _ = exporter.from_notebook_node(content)
    return {"file": f"{path.stem}.html", "title": title, "body": cleaned(body)}


def prepared(content: nbformat.NotebookNode, name: str) -> str:
    """Make a notebook's results ready for a page; returns its title, `name` without a heading.

    Progress bars (stderr) and widgets' empty shells are left out, pictures get a text, and markup in Markdown that
    code wrote is text: it may hold a folder's name.
    """
    title = heading = ""
    for cell in content.cells:
        if cell.cell_type == "markdown":
            heading = _heading(cell.source) or heading
            title = title or heading
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if _is_shown(output)]
        for place, output in enumerate(cell.outputs, 1):
            if "data" in output:
                _make_ready(output, f"{heading or name}, result {place}")
    return title or name


def _heading(markdown: str) -> str:
    """The first heading of a cell, "" without one."""
    for line in markdown.splitlines():
        if line.startswith("#"):
            return line.lstrip("# ")
    return ""


def _is_shown(output: nbformat.NotebookNode) -> bool:
    """Not what a program said on stderr, nor a widget that brings no page for readers without a kernel."""
    data = output.get("data", {})
    return output.get("name") != "stderr" and (WIDGET not in data or "text/html" in data)


def _make_ready(output: nbformat.NotebookNode, alternative: str) -> None:
    """Keep the forms of a result that a page shows; pictures without a text get this one (figures bring theirs)."""
    for kind in [kind for kind in output.data if kind not in SHOWN]:
        del output.data[kind]
    for kind in output.data:
        if kind.startswith("image/"):
            output.metadata.setdefault(kind, {}).setdefault("alt", alternative)
    if "text/markdown" in output.data:
        text = "".join(output.data["text/markdown"])
        output.data["text/markdown"] = re.sub(UNESCAPED, r"\1\\\2", text)
