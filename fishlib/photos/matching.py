"""Species in a model's class list, by Japanese, scientific or English name or a synonym, and outputs masked to them."""

import csv
import difflib
from pathlib import Path

import numpy as np

from fishlib.errors import UserError
from fishlib.photos import species

SYNONYMS = Path(__file__).with_name("synonyms.csv")


def match_classes(targets: list[str], classes: list[str] | None, synonyms: str | Path | None = None) -> dict[str, int]:
    """Target species -> index in the model's classes, in the order of targets.

    synonyms: CSV with the columns synonym, accepted, read after fishlib's own. Raises UserError that names
    every target the model does not know (with near misses) or knows more than once.
    """
    if not classes:
        raise UserError("The classifier has no class list; put one beside it as <file>.classes.csv.")
    table = _read(SYNONYMS) | (_read(Path(synonyms)) if synonyms else {})
    exact, same = {}, {}
    for index, name in enumerate(classes):
        exact.setdefault(species._plain(name), []).append(index)
        same.setdefault(_accepted(name, table), []).append(index)
    found = {t: exact.get(species._plain(t)) or same.get(_accepted(t, table), []) for t in targets}
    if unknown := [t for t, at in found.items() if not at]:
        named = "; ".join(t + _near(t, classes, table) for t in unknown)
        raise UserError(f"The classifier does not know {named}; rename the folder or add a synonym.")
    if twice := [f"{t} ({', '.join(classes[i] for i in at)})" for t, at in found.items() if len(at) > 1]:
        raise UserError(f"The class list names a species more than once: {'; '.join(twice)}; keep one.")
    return {t: at[0] for t, at in found.items()}


def masked_logits(logits: np.ndarray, indices: list[int]) -> np.ndarray:
    """2-stage MA (paper section 4.3.1): the outputs of the target species alone, (N, C) -> (N, T)."""
    return logits[:, list(indices)]


def maybe(names: list[str]) -> str:
    """Near misses as the end of a sentence, empty without any."""
    return f" (did you mean {' or '.join(names)}?)" if names else ""


def _accepted(name: str, table: dict[str, str]) -> str:
    name = table.get(species._plain(name), name)
    known = species.find(name)
    return species._plain(known["scientific_name"] if known else name)


def _near(name: str, classes: list[str], table: dict[str, str]) -> str:
    every = {species._plain(c): c for c in classes} | {_accepted(c, table): c for c in classes}
    asked = [species._plain(name), _accepted(name, table)]
    return maybe(list(dict.fromkeys(every[h] for a in asked for h in difflib.get_close_matches(a, every, 2))))


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {species._plain(row["synonym"]): row["accepted"] for row in csv.DictReader(file)}
    except (OSError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no synonyms table; it needs the columns synonym and accepted.") from error
