"""Species in a model's class list, by Japanese, scientific or English name or a synonym, and outputs masked to them."""

import difflib
from pathlib import Path

import numpy as np

from fishlib.errors import UserError
from fishlib.files.frames import read_table
from fishlib.photos import species

SYNONYMS = Path(__file__).with_name("synonyms.csv")


def match_classes(targets: list[str], classes: list[str] | None, synonyms: str | Path | None = None) -> dict[str, int]:
    """Target species -> index in the model's classes, in the order of targets.

    synonyms: CSV with the columns synonym, accepted, read after fishlib's own. Raises UserError that names
    every target the model does not know (with near misses) or knows more than once.
    """
    if not classes:
        raise UserError("The classifier has no class list; put one beside it as <file>.classes.csv.")
    table = _synonyms(SYNONYMS)
    if synonyms:
        table |= _synonyms(Path(synonyms))

    exact: dict[str, list[int]] = {}  # a class's own name -> its places in the list
    same: dict[str, list[int]] = {}  # the name of its species
    for index, name in enumerate(classes):
        exact.setdefault(species.plain(name), []).append(index)
        same.setdefault(_accepted(name, table), []).append(index)
    found = {}
    for target in targets:
        found[target] = exact.get(species.plain(target)) or same.get(_accepted(target, table), [])

    unknown = [target for target, places in found.items() if not places]
    if unknown:
        named = "; ".join(target + _near(target, classes, table) for target in unknown)
        raise UserError(f"The classifier does not know {named}; rename the folder or add a synonym.")
    doubles = {target: places for target, places in found.items() if len(places) > 1}
    if doubles:
        named = "; ".join(_with_classes(target, places, classes) for target, places in doubles.items())
        raise UserError(f"The class list names a species more than once: {named}; keep one.")
    return {target: places[0] for target, places in found.items()}


def masked_logits(logits: np.ndarray, indices: list[int]) -> np.ndarray:
    """2-stage MA (paper section 4.3.1): the outputs of the target species alone, (N, C) -> (N, T)."""
    return logits[:, list(indices)]


def maybe(names: list[str]) -> str:
    """Near misses as the end of a sentence, empty without any."""
    return f" (did you mean {' or '.join(names)}?)" if names else ""


def _with_classes(target: str, places: list[int], classes: list[str]) -> str:
    return f"{target} ({', '.join(classes[place] for place in places)})"


def _accepted(name: str, table: dict[str, str]) -> str:
    """The scientific name of the species meant, as compared; of one nobody knows the name as it is."""
    accepted = table.get(species.plain(name), name)
    known = species.find(accepted)
    return species.plain(known["scientific_name"] if known else accepted)


def _near(name: str, classes: list[str], table: dict[str, str]) -> str:
    """Classes written nearly as the name, as the end of a sentence."""
    spelled = {species.plain(one): one for one in classes} | {_accepted(one, table): one for one in classes}
    asked = [species.plain(name), _accepted(name, table)]
    hits = [hit for each in asked for hit in difflib.get_close_matches(each, spelled, 2)]
    return maybe(list(dict.fromkeys(spelled[hit] for hit in hits)))


def _synonyms(path: Path) -> dict[str, str]:
    """Synonym, as compared -> accepted name."""
    try:
        table = read_table(path, ["synonym", "accepted"], others=True)
    except UserError as error:
        raise UserError(f"{path} is no synonyms table of the columns synonym and accepted: {error}") from error
    return {species.plain(synonym): accepted for synonym, accepted in table.itertuples(index=False)}
