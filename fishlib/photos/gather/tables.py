"""The tables beside the photos: who made each, which belong together, which contradict, what was not kept and why.

attribution.csv  one row for every photo kept: ATTRIBUTION
groups.csv       photo_id, group: photos of one observer and day belong together, so that no test splits them. A group
                 is a hash, not a name: the file may travel without the attribution
conflicts.csv    pairs of photos of different species that look alike: at most one can be right, a person decides
refused.csv      what was listed and not kept, with the reason
Nowhere are there coordinates; the country is the nearest that is said about a place.
"""

from pathlib import Path

import pandas as pd

from fishlib.files.frames import write_frame
from fishlib.photos.gather.looks import Looks
from fishlib.photos.gather.records import KEPT, Records, photo_id

ATTRIBUTION = [
    "photo_id", "species", "source", "page", "url", "author", "licence", "licence_url", "observation", "date",
    "country", "sha256", "conflict",
]  # fmt: skip
REFUSED = ["species", "source", "page", "url", "licence", "status", "reason"]
FILES = ("attribution.csv", "groups.csv", "conflicts.csv", "refused.csv")


def write(records: Records, out: Path) -> pd.DataFrame:
    """Write the four tables; the attribution table as it was written."""
    kept = sorted((row for row in records.photos.values() if row["status"] == KEPT), key=photo_id)
    conflicts = conflicts_of(kept)
    attribution = pd.DataFrame([_attribution(row, records, conflicts) for row in kept], columns=ATTRIBUTION, dtype=str)
    groups = pd.DataFrame(
        {"photo_id": [photo_id(row) for row in kept], "group": [row["group"] for row in kept]}, dtype=str
    )
    write_frame(attribution, out / "attribution.csv")
    write_frame(groups, out / "groups.csv")
    write_frame(_pairs(kept, conflicts), out / "conflicts.csv")
    write_frame(_refused(records), out / "refused.csv")
    return attribution


def conflicts_of(kept: list[dict]) -> dict[str, list[str]]:
    """photo_id -> the photos of other species that look like it, for those that have any. kept: rows, sorted."""
    looks, species = Looks(), {}
    found: dict[str, list[str]] = {}
    for row in kept:
        own = photo_id(row)
        look = int(row["look"], 16)
        for other in looks.near(look):
            if species[other] != row["species"]:
                found.setdefault(own, []).append(other)
                found.setdefault(other, []).append(own)
        looks.add(own, look)
        species[own] = row["species"]
    return found


def country_of(row: dict, records: Records) -> str:
    """The country that a source states, or the one among iNaturalist's places; empty where none is known."""
    named = (records.countries.get(place, "") for place in row["places"])
    return row["country"] or next((name for name in named if name), "")


def _attribution(row: dict, records: Records, conflicts: dict[str, list[str]]) -> dict[str, str]:
    own = photo_id(row)
    said = {column: row[column] for column in ATTRIBUTION if column in row}
    facts = {
        "photo_id": own,
        "species": row["name"],
        "country": country_of(row, records),
        "conflict": " ".join(conflicts.get(own, [])),
    }
    return said | facts


def _pairs(kept: list[dict], conflicts: dict[str, list[str]]) -> pd.DataFrame:
    names = {photo_id(row): row["name"] for row in kept}
    pairs = [(own, names[own], other, names[other]) for own in conflicts for other in conflicts[own] if own < other]
    columns = ["photo_id", "species", "looks_like", "of_species"]
    return pd.DataFrame(sorted(pairs), columns=columns, dtype=str)


def _refused(records: Records) -> pd.DataFrame:
    rows = [row | {"species": row["name"]} for row in records.photos.values() if row["status"] != KEPT]
    rows.sort(key=lambda row: (row["species"], row["source"], row["id"]))
    return pd.DataFrame([[row[column] for column in REFUSED] for row in rows], columns=REFUSED, dtype=str)
