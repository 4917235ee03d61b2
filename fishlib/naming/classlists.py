"""Class lists: which species each output of a classifier means, in the order of the outputs."""

import math
from pathlib import Path
from typing import Any

from fishlib.errors import UserError
from fishlib.files import documents, frames

ENDINGS = (".classes.json", ".classes.csv")
NAMES = ("name", "species", "class_name", "class", "label")
# a column of whole numbers under one of these says which output a row is; "class" and "label" may be either
INDICES = ("index", "idx", "class_index", "id", "class_id", "label", "class", "target", "")  # "": pandas' own index
ADVICE = "write one class name a row, or a JSON list"


def beside(path: Path) -> list[Path]:
    """The class list that lies beside a checkpoint, if any: [<file>.classes.csv], or .json, or without its suffix.

    Raises UserError for two of them: which one counts?
    """
    path = Path(path)
    names = [candidate for ending in ENDINGS for candidate in (Path(f"{path}{ending}"), path.with_suffix(ending))]
    found = [name for name in dict.fromkeys(names) if name.is_file()]
    if len(found) > 1:
        raise UserError(f"{path} has two class lists beside it, {found[0].name} and {found[1].name}; keep one.")
    return found


def read(file: str | Path) -> dict[str, Any]:
    """{"classes": names in the order of the outputs, maybe "mean" and "std": three numbers each} of a class list.

    CSV: a row a class, its name under one of NAMES (any capitals) or in the first column, in the order of the outputs
    or with a column of INDICES that counts them from 0. JSON: a list of names, an object index -> name or name ->
    index, or an object whose "classes" is one of these, beside "mean" and "std". Raises UserError for anything else,
    and for indices that do not count 0, 1, 2, ...
    """
    file = Path(file)
    if file.suffix.lower() != ".json":
        return {"classes": _of_table(file)}

    said = documents.read_json(file)
    if not isinstance(said, dict) or "classes" not in said:
        return {"classes": _of_json(file, said)}
    found = {"classes": _of_json(file, said["classes"])}
    for name in ("mean", "std"):
        if said.get(name) is not None:
            found[name] = three_numbers(file, name, said[name])
    return found


def three_numbers(file: Path, name: str, said: Any) -> tuple[float, float, float]:
    """A mean or std (red, green, blue, in units of 0..1) that a file says; UserError where it is none."""
    numbers = said if isinstance(said, list | tuple) else []
    usable = [v for v in numbers if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]
    if len(numbers) != 3 or len(usable) != 3 or (name == "std" and min(usable) <= 0):
        raise UserError(f"{file} says {name} = {str(said)[:60]}; it takes three numbers, one a colour.")
    return tuple(float(v) for v in usable)


def _of_table(file: Path) -> list[str]:
    header = frames.read_header(file)
    if not header:
        raise UserError(f"{file} is no class list, it is empty; {ADVICE}.")
    table = frames.read_table(file, header)

    numbered = [name for name in INDICES if name in header and len(header) > 1 and _whole_numbers(table[name])]
    names = [name for name in [*NAMES, *header] if name and name in header and name not in numbered]
    if not names:
        raise UserError(f"{file} is no class list, it holds numbers alone; {ADVICE}.")

    classes = table[names[0]].tolist()
    if not numbered:
        return _named(file, classes)
    indices = [int(value) for value in table[numbered[0]]]
    return _in_order(file, indices, classes, f"its column {numbered[0] or 'without a name'}")


def _whole_numbers(values) -> bool:
    return len(values) > 0 and all(value.isascii() and value.isdigit() and len(value) < 10 for value in values)


def _of_json(file: Path, said: Any) -> list[str]:
    if isinstance(said, list):
        return _named(file, said)
    if not isinstance(said, dict):
        raise UserError(f"{file} is no class list; {ADVICE}.")

    if said and all(type(value) is int for value in said.values()):  # name -> index, as torchvision's class_to_idx
        return _in_order(file, list(said.values()), list(said), "its index")
    if not _whole_numbers(list(said)):
        raise UserError(f"{file} is no class list; {ADVICE}.")
    return _in_order(file, [int(key) for key in said], list(said.values()), "its index")


def _in_order(file: Path, indices: list[int], classes: list, what: str) -> list[str]:
    """The classes by their indices, which must be 0..n-1, each once."""
    if sorted(indices) != list(range(len(indices))):
        raise UserError(
            f"{file} cannot be put in order: {what} runs from {min(indices)} to {max(indices)} over {len(indices)} "
            "classes; count the outputs from 0, each once, or leave it out and keep their order."
        )
    ordered = [name for _, name in sorted(zip(indices, classes, strict=True), key=lambda pair: pair[0])]
    return _named(file, ordered)


def _named(file: Path, classes: list) -> list[str]:
    """The names as text; UserError for one that is empty or no text."""
    if not classes:
        raise UserError(f"{file} is no class list, it names no class; {ADVICE}.")
    named = []
    for place, name in enumerate(classes):
        text = str(name).strip() if isinstance(name, str | int) and not isinstance(name, bool) else ""
        if not text:
            raise UserError(f"{file} is no class list, class {place} (counted from 0) is no name; {ADVICE}.")
        named.append(text)
    return named
