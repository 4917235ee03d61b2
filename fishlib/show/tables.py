"""Tables 1 to 4 in the paper's layout, printed values beside the run's, as numbers; `typeset` writes them for readers.

Every builder gives a tidy frame: for each method or variant `c` the columns c (percent to one decimal, or
"not run"), c_count (photos) and, where the paper prints one, c_paper (percent). attrs["notes"] holds remarks.
"""

import re

import pandas as pd

from fishlib.photos import composite, species
from fishlib.removal import segmenters
from fishlib.scores import published
from fishlib.scores.evaluation import counted

NOT_RUN = "not run"
NO_RESULT = "no result in this run"
PAPER_METHODS = ("detic", "sam_clip", "gdino_sam")
HEADERS = composite.LABELS | {method.replace("-", "_"): label for method, label in segmenters.LABELS.items()}


def percent(count: int, n: int) -> float:
    """100 * count / n to one decimal, halves up as printed tables do; NaN when there is no photo."""
    return (2000 * count + n) // (2 * n) / 10 if n else float("nan")


def table1(segment_scores: pd.DataFrame, methods_not_run: dict[str, str]) -> pd.DataFrame:
    """Share of photos in which roughly only the fish is cut out, a species and method (paper, table 1).

    segment_scores: photo_id, species, method, status, well_cut (1/0; NaN = not judged yet). A photo without a mask is
    not well cut. While cut-outs of a method wait for a verdict, its percentages are of those judged alone, and photos
    without a mask and a truth stay out: they would count at once, and push every share down as long as the others
    wait. Columns c_judged and c_unreviewed then say how many; c is NaN and c_count empty where none is judged.
    ValueError when a photo has two rows of one method. methods_not_run: method -> why.
    """
    scores = counted(segment_scores)
    scores = scores.assign(method=scores["method"].str.replace("-", "_"))
    cut_out = scores["status"] == "ok"
    open_question = scores["well_cut"].isna()  # neither a true mask nor a verdict
    waits = cut_out & open_question
    method_waits = waits.groupby(scores["method"]).transform("any")
    well_cut = scores["well_cut"].where(cut_out, 0).astype(float)
    well_cut = well_cut.mask(~cut_out & open_question & method_waits)

    rows_and_columns = {"index": ["photo_id", "species"], "columns": "method"}
    wide = scores.assign(well_cut=well_cut).pivot(**rows_and_columns, values="well_cut")
    waiting = scores.assign(waits=waits).pivot(**rows_and_columns, values="waits").eq(True)

    reasons = dict.fromkeys(PAPER_METHODS, NO_RESULT)
    reasons |= {method.replace("-", "_"): why.rstrip(".") for method, why in methods_not_run.items()}
    methods = list(dict.fromkeys([*PAPER_METHODS, *sorted({*wide.columns, *reasons})]))
    not_run = {method: why for method, why in reasons.items() if method not in wide}
    return _per_species(wide, methods, 1, "総計", not_run, waiting)


def table2(predictions: pd.DataFrame) -> pd.DataFrame:
    """Recall a species for original / Crop / Mask / Crop & Mask, last row micro-F1 (paper, table 2).

    predictions: photo_id, species, variant, correct (0/1), counted (0/1), one row a photo and variant.
    """
    wide = _by_variant(predictions)
    missing = {variant: NO_RESULT for variant in composite.BASIC if variant not in wide}
    return _per_species(wide, list(composite.BASIC), 2, "micro-F1", missing)


def table3(predictions: pd.DataFrame) -> pd.DataFrame:
    """Micro-F1 of Crop & Mask a background colour: the paper's five first (table 3), then further ones."""
    return _crop_mask(predictions, 3, "background", "black", r"crop_mask_(?!d\d+$)(.+)", "crop_mask_{}")


def table4(predictions: pd.DataFrame) -> pd.DataFrame:
    """Micro-F1 of Crop & Mask with the mask dilated n times: the paper's n and further ones (table 4)."""
    return _crop_mask(predictions, 4, "n_dilations", 0, r"crop_mask_d(\d+)", "crop_mask_d{}")


def _by_variant(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row a counted photo, one column a variant; ValueError unless every variant has every photo once."""
    rows = counted(predictions)
    wide = rows.pivot(index=["photo_id", "species"], columns="variant", values="correct").astype(float)
    if wide.isna().any(axis=None):
        raise ValueError("The variants cover different photos, so their scores cannot stand in one table.")
    return wide


def _per_species(
    wide: pd.DataFrame, columns: list[str], n: int, total: str, not_run: dict, waiting: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Table n with a row a species and one, named `total`, of all photos.

    wide: one row a photo (index photo_id, species), one column a method or variant, 1/0/NaN; waiting: of the same
    shape, True where a cut-out is not judged yet.
    """
    printed = published.table(n).set_index("name_ja")
    sums = published.totals(n)
    nothing_printed = pd.Series(float("nan"), sums.index)
    species_of = wide.index.get_level_values("species")

    rows = []
    for name in species.ordered(species_of.unique()):
        known = species.find(name)
        label = f"{known['name_ja']} {known['scientific_name']}" if known else name
        paper = printed.loc[known["name_ja"]] if known else nothing_printed
        mine = species_of == name
        names = {"species": name, "label": label}
        rows.append(names | _row(wide[mine], columns, paper, None if waiting is None else waiting[mine]))
    rows.append({"species": total, "label": total} | _row(wide, columns, sums, waiting))
    return _tidy(rows, [f"{HEADERS.get(column, column)} not run: {why}." for column, why in not_run.items()])


def _crop_mask(predictions, n: int, first: str, plain, pattern: str, form: str) -> pd.DataFrame:
    """Table n with a row for every value of Crop & Mask's one parameter `first`, the paper's values before others.

    plain: the value of the variant that is called crop_mask alone; pattern and form: of the other variants' names.
    """
    wide = _by_variant(predictions)
    printed = published.table(n).set_index(first)
    nothing_printed = pd.Series(float("nan"), printed.columns)
    matches = [re.fullmatch(pattern, variant) for variant in wide]
    found = {type(plain)(match[1]) for match in matches if match}

    rows = []
    for value in [*printed.index, *sorted(found - {*printed.index})]:
        paper = printed.loc[value] if value in printed.index else nothing_printed
        variant = "crop_mask" if value == plain else form.format(value)
        numbers = {"n": len(wide), "n_paper": paper["n"]}
        rows.append({first: value} | numbers | _cells(wide, variant, "micro_f1", paper))
    return _tidy(rows, [])


def _row(photos: pd.DataFrame, columns: list[str], paper: pd.Series, waiting: pd.DataFrame | None) -> dict:
    row = {"n": len(photos), "n_paper": paper["n"]}
    for column in columns:
        row |= _cells(photos, column, column, paper, waiting)
    return row


def _cells(photos: pd.DataFrame, column: str, name: str, paper: pd.Series, waiting: pd.DataFrame | None = None) -> dict:
    """One group of cells from photos[column], 1/0, NaN where nothing is to be counted; see table1 for the names."""
    printed = {f"{name}_paper": paper[name]} if name in paper else {}
    if column not in photos:
        return {name: NOT_RUN, f"{name}_count": pd.NA} | printed
    judged = photos[column].dropna()
    unreviewed = int(waiting[column].sum()) if waiting is not None else 0
    right = int(judged.sum())
    nothing_judged = unreviewed > 0 and judged.empty
    cells = {name: percent(right, len(judged)), f"{name}_count": pd.NA if nothing_judged else right}
    return cells | printed | {f"{name}_judged": len(judged), f"{name}_unreviewed": unreviewed}


def _tidy(rows: list[dict], notes: list[str]) -> pd.DataFrame:
    """The rows as a frame with whole numbers; how many were judged is said of a method that waits for verdicts."""
    table = pd.DataFrame(rows)
    for column in [c.removesuffix("_unreviewed") for c in table if c.endswith("_unreviewed")]:
        if not table[f"{column}_unreviewed"].any():
            table = table.drop(columns=[f"{column}_judged", f"{column}_unreviewed"])
    whole = [c for c in table if c in ("n", "n_paper") or c.endswith(("_count", "_judged", "_unreviewed"))]
    table[whole] = table[whole].astype("Int64")
    table.attrs["notes"] = notes
    return table
