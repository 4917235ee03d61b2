"""The paper's 17 species of the mackerel family, in its order. Any other folder name is a species too."""

import csv
import functools
import unicodedata
from collections.abc import Iterable
from pathlib import Path

LANGUAGES = {"ja": "name_ja", "scientific": "scientific_name", "en": "name_en"}


def all_species() -> list[dict[str, str]]:
    """The 17 rows in the paper's order; keys name_ja, scientific_name, name_en, folder."""
    return [dict(row) for row in _table()]


def find(name: str) -> dict[str, str] | None:
    """The row with that Japanese, scientific, English or folder name (width, case and _ ignored), or None."""
    rank = _ranks().get(plain(name))
    return None if rank is None else dict(_table()[rank])


def label(name: str, lang: str = "ja") -> str:
    """The species' name in lang ("ja", "scientific", "en"); a name outside the table stays as it is."""
    row = find(name)
    return row[LANGUAGES[lang]] if row else name


def ordered(names: Iterable[str]) -> list[str]:
    """The names given, the paper's species first and in its order, then the others sorted."""
    after_all = len(_table())
    return sorted(names, key=lambda name: (_ranks().get(plain(name), after_all), name))


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
