"""The paper's 17 species of the mackerel family, in its order. Any other folder name is a species too."""

import csv
import functools
import unicodedata
from pathlib import Path

LANGUAGES = {"ja": "name_ja", "scientific": "scientific_name", "en": "name_en"}


@functools.cache
def _table() -> tuple[dict, ...]:
    with Path(__file__).with_name("species.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())


@functools.cache
def _ranks() -> dict[str, int]:
    return {_plain(name): rank for rank, row in enumerate(_table()) for name in row.values()}


def all_species() -> list[dict]:
    """The 17 rows in the paper's order; keys name_ja, scientific_name, name_en, folder."""
    return [dict(row) for row in _table()]


def find(name: str) -> dict | None:
    """The row with that Japanese, scientific, English or folder name (width, case and _ ignored), or None."""
    rank = _ranks().get(_plain(name))
    return None if rank is None else dict(_table()[rank])


def label(name: str, lang: str = "ja") -> str:
    """The species' name in lang ("ja", "scientific", "en"); a name outside the table stays as it is."""
    row = find(name)
    return row[LANGUAGES[lang]] if row else name


def ordered(names) -> list[str]:
    """The names given, the paper's species first and in its order, then the others sorted."""
    return sorted(names, key=lambda name: (_ranks().get(_plain(name), len(_table())), name))
