"""The shapes the modules of this room hand each other, and text of services made plain."""

import hashlib
import re
from datetime import date
from typing import Any, NamedTuple

MAX_TEXT = 300  # letters of a name or a note; what is longer is no name
MAIL = re.compile(r"[^\s@<>()\[\],;:]+@[^\s@<>()\[\],;:]+\.[^\s@<>()\[\],;:]+")
DAY = re.compile(r"(\d{4})(-\d{2})?(-\d{2})?")


class Found(NamedTuple):
    """A photo as a service lists it. Everything is text; what the service does not say is empty."""

    source: str  # inaturalist, gbif or list
    id: str  # letters, digits and -; unique within the source
    url: str  # of the picture, in the size that is fetched
    page: str  # where a person sees it
    author: str  # to be named with the photo
    observer: str  # who observed, as the source tells observers apart
    licence: str  # as listed; licences.known says which one it is
    observation: str
    date: str  # YYYY-MM-DD, or less of it where the source knows no more
    country: str = ""
    places: tuple[int, ...] = ()  # iNaturalist's places that hold the observation; one of them is the country
    group: str = ""  # of a list that states groups itself
    refusal: str = ""  # why the listing itself rules the photo out


class Page(NamedTuple):
    """One answer of a service."""

    photos: list[Found]
    cursor: Any  # JSON-able; where the next page begins. None: a listing without pages
    last: bool
    note: str = ""  # for the user


class Query(NamedTuple):
    """What a listing is narrowed to."""

    licences: tuple[str, ...]  # codes of licences.CODES
    first: date | None = None  # observed on that day or later
    end: date | None = None  # observed on that day or earlier
    place: str = ""  # as the service names it
    side: int = 1024  # pixels; photos are shrunk to it
    without_inaturalist: bool = False  # GBIF holds a copy of iNaturalist's observations


class Taxon(NamedTuple):
    """A species as a service knows it."""

    id: int
    name: str  # the accepted scientific name
    told: str = ""  # how it was reached, where the name asked for is not the accepted one


class Unknown(Exception):
    """The service knows no species of that name; str(error) continues "NAME is "."""


class Ambiguous(Exception):
    """The name means several species; str(error) continues "NAME is "."""


def plain(value: Any) -> str:
    """One line of at most MAX_TEXT letters, without mail addresses; empty for what is neither text nor number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    printable = "".join(letter if letter.isprintable() else " " for letter in str(value))
    line = " ".join(printable.split())
    return MAIL.sub("(mail address left out)", line)[:MAX_TEXT]


def day(value: Any) -> str:
    """The date that a text begins with: YYYY-MM-DD, YYYY-MM or YYYY; empty where there is none."""
    found = DAY.match(value) if isinstance(value, str) else None
    return found.group(0) if found else ""


def whole(value: Any) -> int | None:
    """The value where it is a whole number (a JSON true is none)."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def items(value: Any) -> list[dict]:
    """The objects of a JSON list; empty where there is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def short_hash(*parts: str) -> str:
    """12 hex digits that stand for the parts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
