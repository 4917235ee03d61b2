"""Tables 1 to 4 as people read them: caption, text cells, HTML, Markdown, LaTeX; names are text in each."""

import itertools
import re
from html import escape
from pathlib import Path

import pandas as pd
from jinja2 import Template

from fishlib.files import writing
from fishlib.files.frames import write_frame
from fishlib.photos import species
from fishlib.removal import segmenters
from fishlib.scores import published
from fishlib.show import names
from fishlib.show.tables import HEADERS, NOT_RUN

HEADS = HEADERS | {"label": "species", "micro_f1": "micro-F1", "n_dilations": "dilations n", "n": "photos"}
CAPTIONS = {
    1: "Share of photos in which roughly only the fish is cut out",
    2: "Recall per species and micro-F1 without further training",
    3: "Micro-F1 of Crop & Mask by background colour",
    4: "Micro-F1 of Crop & Mask with the mask dilated n times",
}
TOTALS = {  # the last row's name in the tables as text -> in every language
    "総計": {"ja": "総計", "scientific": "all species", "en": "all species"},
}
TEMPLATE = Path(__file__).with_name("table.html")
STYLE = Path(__file__).with_name("table.css")
_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
_TEX |= {"^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
_TEX_HEAD = "% Needs booktabs and Japanese glyphs: xelatex with xeCJK, or lualatex with luatexja.\n"


def caption(n: int, study_facts: dict) -> str:
    """Caption of table n. Facts (each optional): drawn (bool), method, classifier, n_photos, notes (list)."""
    return " ".join([what(n), *shared(n, study_facts), *study_facts.get("notes", [])])


def what(n: int) -> str:
    """The first sentence of a caption: what table n holds."""
    return f"Table {n}. {CAPTIONS[n]}: percent (number of photos)."


def shared(n: int, study_facts: dict) -> list[str]:
    """The sentences of a caption that the run's other tables say as well; a page may say them once."""
    sentences = []
    if study_facts.get("drawn"):
        sentences.append("The fish of this run are DRAWN: they show that it works, nothing about real fish.")
    if n > 1:  # table 1 compares methods, and nobody is named in it
        for key, text in {"method": "Masks", "classifier": "Classifier"}.items():
            if study_facts.get(key):
                sentences.append(f"{text}: {segmenters.LABELS.get(study_facts[key], study_facts[key])}.")
    if study_facts.get("n_photos"):
        sentences.append(f"{study_facts['n_photos']} photos are counted.")
    sentences.append(f"Paper: as printed there, for its own {published.N_PHOTOS} photos.")
    return sentences


def display(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: text cells; columns (method or variant, this run or paper), name first."""
    heads = HEADS | table.attrs.get("headers", {})
    first = "label" if "label" in table else table.columns[0]
    rows = table.to_dict("records")
    shown = {("", heads.get(first, first)): [" ".join(str(row[first]).split()) for row in rows]}
    shown[heads["n"], "this run"] = [str(row["n"]) for row in rows]
    if "n_paper" in table:
        shown[heads["n"], "paper"] = [_printed(value, "{:.0f}") for value in table["n_paper"]]
    for column in [c for c in table if f"{c}_count" in table]:
        head = heads.get(column, column)
        shown[head, "this run % (count)"] = [cell(row, column) for row in rows]
        if f"{column}_paper" in table:
            shown[head, "paper %"] = [_printed(value, "{:.1f}") for value in table[f"{column}_paper"]]
    return pd.DataFrame(shown)


def cell(row: dict, column: str) -> str:
    """What one cell of a row says: the percentage and the photos behind it, or why there is none."""
    if row[column] == NOT_RUN:
        return NOT_RUN
    if pd.isna(row[column]):
        waiting = _number(row, f"{column}_unreviewed", 0)
        return f"not judged yet ({waiting} wait)" if waiting else "–"
    judged = _number(row, f"{column}_judged", row["n"])
    of = f" of {judged} judged" if judged < row["n"] else ""
    return f"{float(row[column]):.1f} ({int(row[f'{column}_count'])}{of})"


def html(table: pd.DataFrame, caption: str) -> str:
    """A self-contained <table>; every name is escaped. Classes: num (aligned), paper (lighter), total; once for the
    sentences of the caption that other tables say as well (see shared), n-<language> for a species' names."""
    shown = display(table)
    groups, heads = (shown.columns.get_level_values(level) for level in (0, 1))
    template = Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True)
    return template.render(
        style=STYLE.read_text(encoding="utf-8"),
        caption=_marked(caption, table),
        names=_names(table, shown),
        groups=[(text, len(list(same))) for text, same in itertools.groupby(groups)],
        heads=heads,
        kinds=["name", *["num paper" if head.startswith("paper") else "num" for head in heads[1:]]],
        rows=shown.to_numpy(),
        total="label" in table,
    )


def _names(table: pd.DataFrame, shown: pd.DataFrame) -> list[str]:
    """Each row's first cell, HTML: a species' names, the text as it is of a row that is none."""
    texts = shown.iloc[:, 0].tolist()
    if "label" not in table:
        return texts
    rows = zip(table["species"], texts, strict=True)
    return [names.of(TOTALS.get(folder) or species.names(folder), text) for folder, text in rows]


def _marked(caption: str, table: pd.DataFrame) -> list[tuple[str, str]]:
    """The caption of `html` in pieces: (class, text). What `shared` says has the class once."""
    text = _full(caption, table)
    start = re.match(r"Table \d\..*?\(number of photos\)\.", text)
    end = re.search(rf"Paper: as printed there, for its own {published.N_PHOTOS} photos\.", text)
    if not start or not end:
        return [("", text)]
    return [
        ("what", start[0]),
        ("once", text[start.end() : end.end()].strip()),
        ("more", text[end.end() :].strip()),
    ]


def markdown(caption: str, lines: list) -> str:
    """A caption and a table, the first line its header, as Markdown in which every text is escaped."""
    rows = ["| " + " | ".join(map(_markdown, line)) + " |" for line in lines]
    rows.insert(1, "|:--" + "|--:" * (len(lines[0]) - 1) + "|")
    return "\n".join([_markdown(caption), "", *rows, ""])


def write(table: pd.DataFrame, path_stem, caption: str) -> None:
    """Write path_stem + .csv (tidy columns), .md and .tex (as displayed, with caption); UTF-8, atomically."""
    shown = display(table)
    text = _full(caption, table)
    write_frame(table, Path(f"{path_stem}.csv"), floats=None)

    header = [" ".join(column).strip() for column in shown.columns]
    writing.write_text(f"{path_stem}.md", markdown(text, [header, *shown.to_numpy()]))

    title = _tex(re.sub(r"^Table \d\. ", "", text))  # LaTeX numbers its tables itself
    layout = {"column_format": "l" + "r" * (shown.shape[1] - 1), "multicolumn_format": "c"}
    tex = shown.map(_tex).rename(columns=_tex).to_latex(index=False, caption=title, **layout)
    writing.write_text(f"{path_stem}.tex", _TEX_HEAD + tex)


def _full(caption: str, table: pd.DataFrame) -> str:
    return " ".join([caption, *table.attrs.get("notes", [])])


def _printed(value: float, form: str) -> str:
    return "" if pd.isna(value) else form.format(value)


def _number(row: dict, name: str, otherwise: int) -> int:
    value = row.get(name)
    return otherwise if pd.isna(value) else int(value)


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_`\[\]~#])", r"\\\1", escape(text, quote=False))


def _tex(text: str) -> str:
    return text.translate(str.maketrans(_TEX))
