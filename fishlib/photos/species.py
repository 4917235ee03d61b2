"""The paper's 17 species of the mackerel family, in its order. Any other folder name is a species too.

What a species is called is its folder's business: the names that names.csv gives (see own_names) come first, then
those of the paper's table, then the folder's name itself. Which species it is, nothing but the table decides.
"""

import csv
import functools
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

LANGUAGES = {"ja": "name_ja", "scientific": "scientific_name", "en": "name_en"}
_given: dict[str, dict[str, str]] = {}  # folder -> language -> name, of the photos that are looked at (see use)


def all_species() -> list[dict[str, str]]:
    """The 17 rows in the paper's order; keys name_ja, scientific_name, name_en, folder."""
    return [dict(row) for row in _table()]


def find(name: str) -> dict[str, str] | None:
    """The row with that Japanese, scientific, English or folder name (width, case and _ ignored), or None."""
    rank = _ranks().get(plain(name))
    return None if rank is None else dict(_table()[rank])


def use(given: dict[str, dict[str, str]]) -> None:
    """Call folders by these names from now on, in this process: folder -> language of LANGUAGES -> name.

    Opening a run calls it with the run's own, so that names of another never stay.
    """
    _given.clear()
    _given.update(given)


def names(name: str) -> dict[str, str]:
    """Language -> the species' name, the languages of LANGUAGES that have one; {} where nothing but its folder does."""
    row = find(name)
    in_table = {lang: row[column] for lang, column in LANGUAGES.items()} if row else {}
    known = in_table | _given.get(name, {})
    return {lang: known[lang] for lang in LANGUAGES if lang in known}


def label(name: str, lang: str = "ja") -> str:
    """The species' name in lang ("ja", "scientific", "en"); where it has none in it the first that it has, else its
    folder's name."""
    known = names(name)
    return known.get(lang) or next(iter(known.values()), name)


def ordered(names: Iterable[str]) -> list[str]:
    """The names given, the paper's species first and in its order, then the others, sp 2 before sp 10."""
    after_all = len(_table())
    return sorted(names, key=lambda name: (_ranks().get(plain(name), after_all), natural(name)))


def natural(name: str) -> tuple:
    """A key that sorts numbers in names by size: IMG 2 before IMG 10."""
    parts = re.split(r"([0-9]+)", name)  # text, number, text and so on
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name


def plain(name: str) -> str:
    """A name as compared: width, case, _ and repeated blanks ignored."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())


@functools.cache
def _table() -> tuple[dict[str, str], ...]:
    with Path(__file__).with_name("species.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@functools.cache
def _ranks() -> dict[str, int]:
    """Every name of a species, as compared -> its row."""
    return {plain(name): rank for rank, row in enumerate(_table()) for name in row.values()}
