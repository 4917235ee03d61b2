"""Tables 1 to 4 in the paper's layout, printed values beside the run's; CSV, Markdown, LaTeX and HTML.

Every builder gives a tidy frame: for each method or variant `c` the columns c (percent to one decimal, or
"not run"), c_count (photos) and, where the paper prints one, c_paper (percent). attrs["notes"] holds remarks.
"""

import itertools
import re
from html import escape
from pathlib import Path

import pandas as pd
from jinja2 import Template

from fishlib.files import writing
from fishlib.photos import composite, species
from fishlib.removal import segmenters
from fishlib.scores import published
from fishlib.scores.evaluation import counted

PAPER_METHODS = ("detic", "sam_clip", "gdino_sam")
HEADERS = composite.LABELS | {m.replace("-", "_"): label for m, label in segmenters.LABELS.items()}
HEADERS |= {"label": "species", "micro_f1": "micro-F1", "n_dilations": "dilations n", "n": "photos"}
NO_RESULT = "no result in this run"
CAPTIONS = {
    1: "Share of photos in which roughly only the fish is cut out",
    2: "Recall per species and micro-F1 without further training",
    3: "Micro-F1 of Crop & Mask by background colour",
    4: "Micro-F1 of Crop & Mask with the mask dilated n times",
}
_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
_TEX |= {"^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
_TEX_HEAD = "% Needs booktabs and Japanese glyphs: xelatex with xeCJK, or lualatex with luatexja.\n"


def percent(count: int, n: int) -> float:
    """100 * count / n to one decimal, halves up as printed tables do; NaN when there is no photo."""
    return (2000 * count + n) // (2 * n) / 10 if n else float("nan")


def _cells(wide: pd.DataFrame, column: str, name: str, paper: pd.Series) -> dict:
    """One cell group of a row from wide[column], 1/0/NaN; NaN (not judged) stays out of the percentage."""
    printed = {f"{name}_paper": paper[name]} if name in paper else {}
    if column not in wide:
        return {name: "not run", f"{name}_count": pd.NA} | printed
    judged = wide[column].dropna()
    cells = {name: percent(int(judged.sum()), len(judged)), f"{name}_count": int(judged.sum())}
    return cells | printed | {f"{name}_unreviewed": len(wide) - len(judged)}


def _tidy(rows: list[dict], notes: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    table = table.drop(columns=[c for c in table if c.endswith("_unreviewed") and not table[c].any()])
    whole = [c for c in table if c in ("n", "n_paper") or c.endswith(("_count", "_unreviewed"))]
    table[whole] = table[whole].astype("Int64")
    table.attrs["notes"] = notes
    return table


def _per_species(wide: pd.DataFrame, groups: list[str], n: int, total: str, not_run: dict) -> pd.DataFrame:
    """wide: one row a photo (index photo_id, species), one column a group, 1/0/NaN."""
    printed, sums, rows = published.table(n).set_index("name_ja"), published.totals(n), []
    of = wide.index.get_level_values("species")
    for name in [*species.ordered(of.unique()), None]:
        known = species.find(name) if name is not None else None
        label = f"{known['name_ja']} {known['scientific_name']}" if known else name
        row = {"species": name, "label": label} if name is not None else {"species": total, "label": total}
        paper = printed.loc[known["name_ja"]] if known else pd.Series(float("nan"), sums.index)
        photos, paper = (wide[of == name], paper) if name is not None else (wide, sums)
        row |= {"n": len(photos), "n_paper": paper["n"]}
        for group in groups:
            row |= _cells(photos, group, group, paper)
        rows.append(row)
    return _tidy(rows, [f"{HEADERS.get(g, g)} not run: {why}." for g, why in not_run.items()])


def table1(segment_scores: pd.DataFrame, methods_not_run: dict[str, str]) -> pd.DataFrame:
    """Share of photos in which roughly only the fish is cut out, a species and method (paper, table 1).

    segment_scores: photo_id, species, method, status, well_cut (1/0; NaN = not judged yet, which stays out of
    the percentage and is counted in c_unreviewed; a photo without a mask is not well cut). ValueError when a
    photo has two rows of one method. methods_not_run: method -> why.
    """
    scores = counted(segment_scores)
    well = scores["well_cut"].where(scores["status"] == "ok", 0).astype(float)
    scores = scores.assign(method=scores["method"].str.replace("-", "_"), well_cut=well)
    wide = scores.pivot(index=["photo_id", "species"], columns="method", values="well_cut")
    reasons = dict.fromkeys(PAPER_METHODS, NO_RESULT)
    reasons |= {m.replace("-", "_"): why.rstrip(".") for m, why in methods_not_run.items()}
    groups = list(dict.fromkeys([*PAPER_METHODS, *sorted({*wide.columns, *reasons})]))
    return _per_species(wide, groups, 1, "総計", {m: why for m, why in reasons.items() if m not in wide})


def _by_variant(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row a counted photo, one column a variant; ValueError unless every variant has every photo once."""
    rows = counted(predictions)
    wide = rows.pivot(index=["photo_id", "species"], columns="variant", values="correct").astype(float)
    if wide.isna().any(axis=None):
        raise ValueError("The variants cover different photos, so their scores cannot stand in one table.")
    return wide


def table2(predictions: pd.DataFrame) -> pd.DataFrame:
    """Recall a species for original / Crop / Mask / Crop & Mask, last row micro-F1 (paper, table 2).

    predictions: photo_id, species, variant, correct (0/1), counted (0/1), one row a photo and variant.
    """
    wide = _by_variant(predictions)
    missing = {v: NO_RESULT for v in composite.BASIC if v not in wide}
    return _per_species(wide, list(composite.BASIC), 2, "micro-F1", missing)


def table3(predictions: pd.DataFrame) -> pd.DataFrame:
    """Micro-F1 of Crop & Mask a background colour: the paper's five first (table 3), then further ones."""
    return _crop_mask(predictions, 3, "background", "black", r"crop_mask_(?!d\d+$)(.+)", "crop_mask_{}")


def table4(predictions: pd.DataFrame) -> pd.DataFrame:
    """Micro-F1 of Crop & Mask with the mask dilated n times: the paper's n and further ones (table 4)."""
    return _crop_mask(predictions, 4, "n_dilations", 0, r"crop_mask_d(\d+)", "crop_mask_d{}")


def _crop_mask(predictions, n: int, first: str, plain, pattern: str, form: str) -> pd.DataFrame:
    wide, printed, rows = _by_variant(predictions), published.table(n).set_index(first), []
    found = {type(plain)(m[1]) for m in (re.fullmatch(pattern, v) for v in wide) if m}
    for value in [*printed.index, *sorted(found - {*printed.index})]:
        paper = printed.loc[value] if value in printed.index else pd.Series(float("nan"), printed.columns)
        variant = "crop_mask" if value == plain else form.format(value)
        row = {first: value, "n": len(wide), "n_paper": paper["n"]}
        rows.append(row | _cells(wide, variant, "micro_f1", paper))
    return _tidy(rows, [])


def caption(n: int, study_facts: dict) -> str:
    """Caption of table n. Facts (each optional): drawn (bool), method, classifier, n_photos, notes (list)."""
    facts = [f"Table {n}. {CAPTIONS[n]}: percent (number of photos)."]
    if study_facts.get("drawn"):
        facts.append("The fish of this run are DRAWN: they show that it works, nothing about real fish.")
    for key, text in {"method": "Masks", "classifier": "Classifier"}.items() if n > 1 else ():
        if study_facts.get(key):
            facts.append(f"{text}: {segmenters.LABELS.get(study_facts[key], study_facts[key])}.")
    if study_facts.get("n_photos"):
        facts.append(f"{study_facts['n_photos']} photos are counted.")
    facts.append(f"Paper: as printed there, for its own {published.N_PHOTOS} photos.")
    return " ".join([*facts, *study_facts.get("notes", [])])


def display(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: text cells; columns (method or variant, this run or paper), name first."""
    first, rows = "label" if "label" in table else table.columns[0], table.to_dict("records")
    headers = HEADERS | table.attrs.get("headers", {})
    shown = {("", headers.get(first, first)): [" ".join(str(row[first]).split()) for row in rows]}
    for c in ["n", *[c for c in table if f"{c}_count" in table]]:
        head, run, paper, form = (headers.get(c, c), "this run % (count)", "paper %", "{:.1f}")
        run, paper, form = ("this run", "paper", "{:.0f}") if c == "n" else (run, paper, form)
        shown[head, run] = [_cell(row, c) for row in rows]
        if f"{c}_paper" in table:
            shown[head, paper] = ["" if pd.isna(v) else form.format(v) for v in table[f"{c}_paper"]]
    return pd.DataFrame(shown)


def _cell(row: dict, c: str) -> str:
    if c == "n" or row[c] == "not run":
        return str(row[c])
    unreviewed = int(row.get(f"{c}_unreviewed", 0))
    of = f" of {row['n'] - unreviewed} judged" if unreviewed else ""
    return f"{'–' if pd.isna(row[c]) else format(float(row[c]), '.1f')} ({int(row[f'{c}_count'])}{of})"


def _full(caption: str, table: pd.DataFrame) -> str:
    return " ".join([caption, *table.attrs.get("notes", [])])


def html(table: pd.DataFrame, caption: str) -> str:
    """A self-contained <table>; every name is escaped. Classes: num (aligned), paper (lighter), total."""
    shown, template = display(table), Path(__file__).with_name("table.html").read_text(encoding="utf-8")
    top, heads = (shown.columns.get_level_values(i) for i in (0, 1))
    groups = [(text, len(list(g))) for text, g in itertools.groupby(top)]
    kinds = ["name", *["num paper" if c.startswith("paper") else "num" for c in heads[1:]]]
    parts = {"groups": groups, "heads": heads, "kinds": kinds, "rows": shown.to_numpy()}
    total, text = "label" in table, _full(caption, table)
    return Template(template, autoescape=True).render(parts, total=total, caption=text)


def markdown(caption: str, lines: list) -> str:
    """A caption and a table, the first line its header, as Markdown in which every text is escaped."""
    rows = ["| " + " | ".join(map(_markdown, line)) + " |" for line in lines]
    rows.insert(1, "|:--" + "|--:" * (len(lines[0]) - 1) + "|")
    return "\n".join([_markdown(caption), "", *rows, ""])


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_`\[\]~#])", r"\\\1", escape(text, quote=False))


def _tex(text: str) -> str:
    return text.translate(str.maketrans(_TEX))


def write(table: pd.DataFrame, path_stem, caption: str) -> None:
    """Write path_stem + .csv (tidy columns), .md and .tex (as displayed, with caption); UTF-8, atomically."""
    shown, text = display(table), _full(caption, table)
    writing.write_text(f"{path_stem}.csv", table.to_csv(index=False, lineterminator="\n"))
    lines = [[" ".join(c).strip() for c in shown.columns], *shown.to_numpy()]
    writing.write_text(f"{path_stem}.md", markdown(text, lines))
    title = _tex(re.sub(r"^Table \d\. ", "", text))  # LaTeX numbers its tables itself
    layout = {"column_format": "l" + "r" * (shown.shape[1] - 1), "multicolumn_format": "c"}
    tex = shown.map(_tex).rename(columns=_tex).to_latex(index=False, caption=title, **layout)
    writing.write_text(f"{path_stem}.tex", _TEX_HEAD + tex)
