"""What was asked and what became of every photo: a journal in the folder of the photos, so that a kill loses nothing.

One line each: a photo and its fate, how far a listing was read, a name or place that was resolved, a country's number.
Later lines replace earlier ones. Nothing in it is trusted: a line of another form is passed over.
"""

from pathlib import Path

from fishlib.files.journal import Journal
from fishlib.photos.gather.common import Found, Taxon, plain

JOURNAL = ".gathered.jsonl"
KEPT = "kept"
DUPLICATE = "duplicate"  # looks like a photo of the same species that is kept
NOT_ALLOWED = "not allowed"  # its licence, its date, or a flag
GONE = "gone"  # withdrawn by its author or its host
UNUSABLE = "unusable"  # too large, no picture, unreadable
FAILED = "failed"  # no answer in spite of all patience; tried again by the next run
STATUSES = (KEPT, DUPLICATE, NOT_ALLOWED, GONE, UNUSABLE, FAILED)
TEXTS = (
    "species", "name", "source", "id", "status", "reason", "url", "page", "author", "observer", "licence",
    "licence_url", "observation", "date", "country", "group", "sha256", "look", "fetched",
)  # fmt: skip
REFUSALS_AT_ONCE = 50  # photos in one line of the journal, which a reader takes up to 1 MiB long
LONGEST_URL = 2000


class Records:
    """The journal of a folder, read at once and added to.

    photos: (species folder, source, id) -> row, a dict of TEXTS and places (numbers of iNaturalist's places).
    """

    def __init__(self, out: Path):
        self.journal = Journal(Path(out) / JOURNAL)
        self.photos: dict[tuple[str, str, str], dict] = {}
        self._folders: dict[tuple[str, str], list[str]] = {}  # (source, id) -> species that list the photo
        self.countries: dict[int, str] = {}  # a place of iNaturalist -> its name where it is a country, else ""
        self._walks: dict[str, tuple] = {}  # a listing -> (cursor, has it ended)
        self._names: dict[tuple[str, str], Taxon] = {}
        self._places: dict[tuple[str, str], str] = {}
        for line in self.journal.rows():
            self._take(line)

    def of_species(self, folder: str, status: str = KEPT) -> list[dict]:
        """The rows of a species with that status, in the order they came in."""
        return [row for row in self.photos.values() if row["species"] == folder and row["status"] == status]

    def same_photo(self, source: str, number: str) -> list[dict]:
        """The rows of a photo under every species that lists it, where it is kept."""
        rows = [self.photos[folder, source, number] for folder in self._folders.get((source, number), [])]
        return [row for row in rows if row["status"] == KEPT]

    def keep_photo(self, row: dict) -> None:
        """Add or replace a photo's row, unless it says the same already."""
        if self.photos.get(key_of(row)) != row:
            self._put({"kind": "photos", "photos": [row]})

    def keep_refusals(self, rows: list[dict]) -> None:
        """Several rows of a page at once."""
        new = [row for row in rows if self.photos.get(key_of(row)) != row]
        for start in range(0, len(new), REFUSALS_AT_ONCE):
            self._put({"kind": "photos", "photos": new[start : start + REFUSALS_AT_ONCE]})

    def walk(self, listing: str) -> tuple:
        """(cursor, has it ended) of a listing; (None, False) for one not begun."""
        return self._walks.get(listing, (None, False))

    def keep_walk(self, listing: str, cursor, ended: bool) -> None:
        if self.walk(listing) != (cursor, ended):
            self._put({"kind": "walk", "listing": listing, "cursor": cursor, "ended": ended})

    def name(self, source: str, asked: str) -> Taxon | None:
        return self._names.get((source, asked))

    def keep_name(self, source: str, asked: str, taxon: Taxon) -> None:
        line = {"kind": "name", "source": source, "asked": asked, "taxon": taxon.id}
        self._put(line | {"name": taxon.name, "told": taxon.told})

    def place(self, source: str, asked: str) -> str | None:
        return self._places.get((source, asked))

    def keep_place(self, source: str, asked: str, place: str) -> None:
        self._put({"kind": "place", "source": source, "asked": asked, "place": place})

    def keep_countries(self, named: dict[int, str]) -> None:
        self._put({"kind": "countries", "places": list(named), "names": list(named.values())})

    def _put(self, line: dict) -> None:
        self.journal.append(line)
        self._take(line)

    def _take(self, line: dict) -> None:
        try:
            if line["kind"] == "photos":
                for row in line["photos"]:
                    self._take_photo(_checked(row))
            elif line["kind"] == "walk":
                self._walks[line["listing"]] = (line["cursor"], bool(line["ended"]))
            elif line["kind"] == "name":
                taxon = Taxon(int(line["taxon"]), plain(line["name"]), plain(line["told"]))
                self._names[line["source"], line["asked"]] = taxon
            elif line["kind"] == "place":
                self._places[line["source"], line["asked"]] = plain(line["place"])
            elif line["kind"] == "countries":
                named = zip(line["places"], line["names"], strict=True)
                self.countries.update({int(place): plain(name) for place, name in named})
        except (KeyError, TypeError, ValueError):
            return

    def _take_photo(self, row: dict) -> None:
        folder, source, number = key = key_of(row)
        if key not in self.photos:
            self._folders.setdefault((source, number), []).append(folder)
        self.photos[key] = row


def row_of(species: str, name: str, found: Found) -> dict:
    """The row of a photo as its listing says it, every column there. species: the folder; name: for people."""
    said = {text: getattr(found, text) for text in TEXTS if text in Found._fields}
    said |= {"species": species, "name": name, "url": found.url[:LONGEST_URL], "places": list(found.places)}
    return dict.fromkeys(TEXTS, "") | said


def key_of(row: dict) -> tuple[str, str, str]:
    return row["species"], row["source"], row["id"]


def photo_id(row: dict) -> str:
    """The path of a photo below the folder, as the manifest names it."""
    return f"{row['species']}/{row['source']}_{row['id']}.jpg"


def _checked(row: dict) -> dict:
    """The row where it has the form that row_of gives it; TypeError or ValueError where it has not."""
    if not all(isinstance(row[text], str) for text in TEXTS) or row["status"] not in STATUSES:
        raise ValueError("a line of another form")
    if row["status"] == KEPT and not 0 <= int(row["look"], 16) < 1 << 64:
        raise ValueError("no hash of 64 bits")
    places = [int(place) for place in row["places"]]
    if not row["source"].isalpha() or not row["id"].replace("-", "").isalnum():
        raise ValueError("no photo of ours")
    return {text: row[text] for text in TEXTS} | {"places": places}
