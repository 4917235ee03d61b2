"""One run: photo after photo is looked up, fetched and kept, or refused with its reason."""

import hashlib
from collections import Counter
from pathlib import Path
from types import ModuleType

from tqdm import tqdm

from fishlib.errors import UnreadablePhoto
from fishlib.files import paths, writing
from fishlib.photos.gather import card, inaturalist, licences, lists, options, picture, records, tables
from fishlib.photos.gather.client import Client, Failed, Gone, Refused, ServiceDown
from fishlib.photos.gather.common import Found, Page, Query, day, short_hash
from fishlib.photos.gather.looks import Looks
from fishlib.photos.gather.names import Species
from fishlib.photos.gather.options import Options
from fishlib.photos.gather.records import Records, photo_id

UNANSWERED = 20  # photos in a row without an answer: something is wrong with the host or the network
DECIDED = {records.DUPLICATE, records.GONE, records.UNUSABLE, records.FAILED}  # no second look in the same run


class Gathering:
    """What a run works with, and what it has to say in the end.

    notes: sentences for the user; unfinished: sentences why the run has to be repeated; new: photos brought.
    """

    def __init__(self, out: Path, known: Records, client: Client, wanted: Options, bar: tqdm):
        self.out, self.records, self.client, self.wanted, self.bar = out, known, client, wanted, bar
        self.notes: list[str] = []
        self.unfinished: list[str] = []
        self.new = 0
        self._down: set[str] = set()  # services that were given up
        self._unanswered = 0  # photos in a row
        self._kept = 0  # photos of the species at hand, and the same by observer
        self._of_observer: Counter[str] = Counter()
        self._looks = Looks()

    def begin(self, species: Species) -> None:
        """Turn to a species: bring again what is missing of it, and try once more what got no answer."""
        self.bar.set_description(species.name)
        self._kept, self._of_observer, self._looks = 0, Counter(), Looks()
        here = self.records.of_species(species.folder)
        for row in here:
            self._count(row)
        try:
            for row in here:
                if paths.file_inside(self.out, photo_id(row)) is None:
                    self._restore(row)
            for row in self.records.of_species(species.folder, records.FAILED):
                if not self._enough():
                    self._bring(row)
        except ServiceDown as error:
            self.unfinished.append(str(error))

    def from_service(self, species: Species, service: ModuleType, query: Query) -> None:
        """Photos of one service until there are enough, or it lists no more."""
        taxon = species.taxa.get(service.SOURCE)
        if taxon is None or service.SOURCE in self._down or self._enough():
            return
        listing = self._listing(species, service, taxon, query)
        cursor, ended = self.records.walk(listing)
        if ended and not service.ASK_AGAIN:
            return
        try:
            for page in service.pages(self.client, taxon, query, cursor):
                if not self.from_page(species, page):
                    return
                self.records.keep_walk(listing, page.cursor, page.last)
                self.notes += [page.note] if page.note else []
        except ServiceDown as error:
            self._down.add(service.SOURCE)
            self.unfinished.append(str(error))

    def from_list(self, species: Species, page: Page) -> None:
        """The photos of a list that someone made."""
        try:
            self.from_page(species, page)
        except ServiceDown as error:
            self.unfinished.append(str(error))

    def from_page(self, species: Species, page: Page) -> bool:
        """Decide about every photo of a page; False when there were enough before its end."""
        refused = []
        whole = True
        for found in page.photos:
            if self._enough():
                whole = False
                break
            why = self._why_not(found)
            row = self.records.photos.get((species.folder, found.source, found.id))
            if row and row["status"] == records.KEPT:
                self._listed_again(row, found, why)
            elif row and row["status"] in DECIDED:
                continue
            elif why:
                refused.append(_row(species, found) | {"status": records.NOT_ALLOWED, "reason": why})
            elif not self._too_many(found):
                self._bring(_row(species, found))
        self.records.keep_refusals(refused)
        return whole

    def name_countries(self) -> None:
        """Ask iNaturalist which of the places of the photos are countries."""
        kept = [row for row in self.records.photos.values() if row["status"] == records.KEPT and not row["country"]]
        unknown = sorted({place for row in kept for place in row["places"]} - set(self.records.countries))
        if not unknown or inaturalist.SOURCE in self._down:
            return
        try:
            named = inaturalist.countries(self.client, unknown)
        except ServiceDown as error:
            self.unfinished.append(f"The countries of some photos are not known yet: {error}")
            return
        self.records.keep_countries({place: named.get(place, "") for place in unknown})

    def write_tables(self) -> None:
        """The tables and the card, of everything the folder holds."""
        attribution = tables.write(self.records, self.out)
        kept = [row for row in self.records.photos.values() if row["status"] == records.KEPT]
        card.write(attribution, kept, options.told(self.wanted), self.out)

    def _why_not(self, found: Found) -> str:
        """Why a photo is not taken by what its listing says of it; empty where it may be."""
        if found.refusal:
            return found.refusal
        if not found.licence:
            return "" if found.source == lists.SOURCE else "no licence is stated for it, all rights are reserved"
        licence = licences.known(found.licence)
        if licence is None:
            return f"its licence is not known: {found.licence}"
        if licence.code not in self.wanted.licences:
            return f"its licence is {licence.code}"
        return self._outside(found.date)

    def _outside(self, said: str) -> str:
        """Why a photo of that day is not wanted; empty where it is."""
        first, end = self.wanted.first, self.wanted.end
        observed = day(said)
        if not (first or end):
            return ""
        if len(observed) < len("2020-01-01"):
            return "the day it was observed is not known"
        if first and observed < first.isoformat():
            return f"observed before {first}"
        if end and observed > end.isoformat():
            return f"observed after {end}"
        return ""

    def _listed_again(self, row: dict, found: Found, why: str) -> None:
        """A photo that is here is listed once more: a licence that changed counts as it is said now.

        (narrower options than those it was gathered with take no photo away).
        """
        licence = licences.known(found.licence)
        now = {"licence": licence.code if licence else found.licence, "licence_url": licence.url if licence else ""}
        if now["licence"] == row["licence"] and not found.refusal:
            return
        if not why:
            self.records.keep_photo(row | now)
            return
        path = paths.file_inside(self.out, photo_id(row))
        if path is not None:
            path.unlink()
        reason = f"listed under {row['licence'] or 'no licence'} and later not: {why}"
        fate = {"status": records.NOT_ALLOWED, "reason": reason, "sha256": "", "look": ""}
        self._lose(row | now | fate)

    def _bring(self, row: dict) -> None:
        """Fetch a photo and keep it, unless it cannot be had, is none, or looks like one of the species."""
        jpeg, look, fate = self._picture(row)
        facts = {"look": f"{look:016x}", "fetched": self.client.clock.today(), "status": records.KEPT, "reason": ""}
        if jpeg is None:
            self.records.keep_photo(row | fate)
            return
        alike = self._looks.near(look)
        if alike:
            facts |= {"status": records.DUPLICATE, "reason": f"looks like {alike[0]}"}
            self.records.keep_photo(row | facts)
            return
        self._write(row, jpeg)
        kept = row | facts | {"sha256": hashlib.sha256(jpeg).hexdigest()}
        self.records.keep_photo(kept)
        self._count(kept)

    def _restore(self, row: dict) -> None:
        """Bring again a photo whose file is missing; where that fails, its row says why."""
        jpeg, _, fate = self._picture(row)
        if jpeg is None:
            self._lose(row | {"sha256": ""} | fate)
            return
        self._write(row, jpeg)
        self.records.keep_photo(row | {"sha256": hashlib.sha256(jpeg).hexdigest()})

    def _picture(self, row: dict) -> tuple[bytes | None, int, dict]:
        """(JPEG, its look, {}), or (None, 0, the status and the reason that the photo gets)."""
        try:
            return *self._prepared(row), {}
        except Gone as error:
            fate = records.GONE, f"withdrawn, it is not there any more ({error})"
        except (Refused, UnreadablePhoto) as error:
            fate = records.UNUSABLE, str(error)
        except Failed as error:
            fate = records.FAILED, str(error)
        self._hold_on(fate[0])
        return None, 0, {"status": fate[0], "reason": fate[1]}

    def _prepared(self, row: dict) -> tuple[bytes, int]:
        """(JPEG, its look): fetched, or the file of the same photo where another species lists it too.

        (such a pair is a conflict, which the tables show).
        """
        for twin in self.records.same_photo(row["source"], row["id"]):
            path = paths.file_inside(self.out, photo_id(twin))
            if path is not None:
                return path.read_bytes(), int(twin["look"], 16)
        if not row["url"].isprintable() or not 0 < len(row["url"]) < records.LONGEST_URL:
            raise Refused("it has no address")
        data = self.client.photo(row["url"])
        self._unanswered = 0
        return picture.prepared(data, self.wanted.side)

    def _hold_on(self, status: str) -> None:
        """Raise ServiceDown where photo after photo gets no answer: the listing is gone on with another time."""
        self._unanswered = self._unanswered + 1 if status == records.FAILED else 0
        if self._unanswered >= UNANSWERED:
            raise ServiceDown(f"{UNANSWERED} photos in a row got no answer; run the same command again later.")

    def _write(self, row: dict, jpeg: bytes) -> None:
        paths.own_folder(self.out, row["species"])
        writing.write_bytes(self.out / photo_id(row), jpeg)
        self.new += 1

    def _count(self, row: dict) -> None:
        """A photo is here: it counts for its species and its observer, and others may look like it."""
        self._kept += 1
        self._of_observer[row["observer"]] += 1
        self._looks.add(photo_id(row), int(row["look"], 16))
        self.bar.update(1)

    def _lose(self, row: dict) -> None:
        """A photo is no longer here, and none is its duplicate; row: what is said of it now."""
        self.records.keep_photo(row)
        self._kept -= 1
        self._of_observer[row["observer"]] -= 1
        self._looks = Looks()
        for kept in self.records.of_species(row["species"]):
            self._looks.add(photo_id(kept), int(kept["look"], 16))
        self.bar.update(-1)

    def _enough(self) -> bool:
        return self.wanted.each is not None and self._kept >= self.wanted.each

    def _too_many(self, found: Found) -> bool:
        most = self.wanted.per_observer
        return most is not None and bool(found.observer) and self._of_observer[_observer(found)] >= most

    def _listing(self, species: Species, service: ModuleType, taxon: int, query: Query) -> str:
        """What names a listing in the journal: another narrowing is another one, read from its beginning."""
        narrowing = query._replace(side=0)
        return short_hash(species.folder, service.SOURCE, str(taxon), repr(narrowing), str(self.wanted.per_observer))


def _row(species: Species, found: Found) -> dict:
    """A photo's row of the journal before its fate is known; who observed and the group are hashes there."""
    licence = licences.known(found.licence) if found.licence else None
    terms = {"licence": licence.code, "licence_url": licence.url} if licence else {}
    people = {"observer": _observer(found), "group": _group(found)}
    return records.row_of(species.folder, species.name, found) | terms | people


def _observer(found: Found) -> str:
    return short_hash(found.source, found.observer) if found.observer else ""


def _group(found: Found) -> str:
    """Photos of one observer and day; without a day, of one observation; else the photo alone."""
    observed = day(found.date)
    if found.group:
        return found.group
    if found.observer and len(observed) == len("2020-01-01"):
        return short_hash(found.source, "observer and day", found.observer, observed)
    if found.observation:
        return short_hash(found.source, "observation", found.observation)
    return short_hash(found.source, "photo", found.id)
