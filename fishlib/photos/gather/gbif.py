"""GBIF: how it names species, and the photos of observations that it lists from its publishers, page by page.

API v1 (https://techdocs.gbif.org/en/openapi/). A photo's licence is the one its publisher states for the picture
(media[].license), a code, an address or free text; the licence of the record beside it covers the data alone.
Preserved specimens are left out: fixed fish have lost their colours, and many of the pictures are X-rays or labels.
"""

import hashlib
from collections.abc import Iterator
from datetime import date

from fishlib.errors import UserError
from fishlib.photos.gather import inaturalist
from fishlib.photos.gather.client import Client, ServiceDown
from fishlib.photos.gather.common import Ambiguous, Found, Page, Query, Taxon, Unknown, day, items, plain, whole

SOURCE = "gbif"
TITLE = "GBIF"
API = "https://api.gbif.org/v1"
SITE = "https://www.gbif.org"
PER_PAGE = 300  # the most the service gives
DEEPEST = 100_000  # records of one listing the service pages through
RANKS = ("SPECIES", "SUBSPECIES", "VARIETY", "FORM")
SEEN_ALIVE = ("HUMAN_OBSERVATION", "MACHINE_OBSERVATION", "OBSERVATION", "LIVING_SPECIMEN")
INATURALIST = "50c9509d-22c7-4a22-a47d-8c48425ef4a7"  # the dataset that is a copy of iNaturalist's observations
ASK_AGAIN = False  # new records come in anywhere in its order, so that an ended listing has no place to go on from


def resolve(client: Client, name: str) -> Taxon:
    """The species of a scientific name in GBIF's backbone, synonyms followed.

    Raises Unknown, and Ambiguous where the name is several species'.
    """
    asked = {"name": name, "strict": "true", "verbose": "true"}
    answer = client.json(f"{API}/species/match", asked)
    if not isinstance(answer, dict):
        raise ServiceDown(f"{TITLE} answers in another form than it is known for; a newer fishlib may be needed.")
    kind = answer.get("matchType")
    key = whole(answer.get("acceptedUsageKey")) or whole(answer.get("usageKey"))
    if kind == "EXACT" and key is not None and answer.get("rank") in RANKS:
        own = plain(answer.get("canonicalName")) or name
        if whole(answer.get("acceptedUsageKey")) is None:
            return Taxon(key, own)
        accepted = plain(answer.get("species")) or own
        return Taxon(key, accepted, f"{name} is called {accepted} at {TITLE}")
    others = items(answer.get("alternatives"))
    equal = [o for o in others if o.get("matchType") == "EXACT" and o.get("rank") in RANKS]
    if len(equal) > 1:
        there = ", ".join(f"{plain(o.get('scientificName'))} ({plain(o.get('kingdom'))})" for o in equal[:5])
        raise Ambiguous(f"several species at {TITLE}: {there}; give the full name of one with its author")
    near = [plain(o.get("canonicalName")) for o in [answer, *others] if o.get("rank") in RANKS]
    near = list(dict.fromkeys(filter(None, near)))[:3]
    raise Unknown(f"no species at {TITLE}" + (f" (did you mean {' or '.join(near)}?)" if near else ""))


def country(client: Client, name: str) -> tuple[str, str] | None:
    """(two-letter code, English name) of a country given by code or name, None where it is no country."""
    folded = name.strip().casefold()
    for found in items(client.json(f"{API}/enumeration/country")):
        names = {plain(found.get(key)).casefold() for key in ("iso2", "iso3", "title")}
        if folded in names - {""}:
            return plain(found.get("iso2")), plain(found.get("title"))
    return None


def place(client: Client, name: str) -> str:
    """The code of a country; UserError where the place is none."""
    found = country(client, name)
    if found is None:
        raise UserError(f"{TITLE} knows places by country only, and {name} is none; add --source inaturalist.")
    return found[0]


def pages(client: Client, taxon: int, query: Query, cursor: int | None) -> Iterator[Page]:
    """The photos of a species from the record number `cursor` on (None: from the first), in the service's order."""
    offset = cursor or 0
    asked = {
        "taxonKey": taxon,
        "mediaType": "StillImage",
        "occurrenceStatus": "PRESENT",
        "basisOfRecord": SEEN_ALIVE,
        "limit": PER_PAGE,
    }
    if query.first or query.end:
        asked["eventDate"] = f"{_said(query.first)},{_said(query.end)}"
    if query.place:
        asked["country"] = query.place
    while offset + PER_PAGE <= DEEPEST:
        answer = client.json(f"{API}/occurrence/search", asked | {"offset": offset})
        if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
            raise ServiceDown(f"{TITLE} answers in another form than it is known for; a newer fishlib may be needed.")
        records = items(answer["results"])
        last = bool(answer.get("endOfRecords")) or not records
        offset += len(records)
        photos = [photo for record in records for photo in _photos(record, query)]
        yield Page(photos, offset, last)
        if last:
            return
    note = f"{TITLE} pages through {DEEPEST:,} records of a species and no further; narrow them by --years or --place"
    yield Page([], offset, last=True, note=note)


def _photos(record: dict, query: Query) -> Iterator[Found]:
    key = whole(record.get("key"))
    if key is None or (query.without_inaturalist and record.get("datasetKey") == INATURALIST):
        return
    for medium in items(record.get("media")):
        url = medium.get("identifier")
        if medium.get("type") != "StillImage" or not isinstance(url, str) or not url.strip():
            continue
        owner = plain(medium.get("creator")) or plain(medium.get("rightsHolder"))
        observer = plain(record.get("recordedBy")) or owner or plain(record.get("datasetKey"))
        digest = hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:8]
        yield Found(
            source=SOURCE,
            id=f"{key}-{digest}",
            url=_fetched(url.strip(), query.side),
            page=f"{SITE}/occurrence/{key}",
            author=owner or plain(record.get("recordedBy")),
            observer=observer,
            licence=plain(medium.get("license")),
            observation=str(key),
            date=day(record.get("eventDate")),
            country=plain(record.get("country")),
        )


def _fetched(url: str, side: int) -> str:
    """The address as it is, but for iNaturalist's photos, which there are in several sizes."""
    return inaturalist.sized(url, side) if "inaturalist" in url.split("/photos/")[0] else url


def _said(when: date | None) -> str:
    return when.isoformat() if when else "*"
