"""iNaturalist: how it names species and places, and its photos of research-grade observations, page by page.

API v1 (https://api.inaturalist.org/v1/docs). A page is asked for by the last observation seen (id_above), since the
service counts pages no further than 10,000 observations. An observation is listed when one of its photos has an
allowed licence; the licence that counts is each photo's own (license_code; none means all rights reserved).
"""

import re
from collections.abc import Iterator

from fishlib.errors import UserError
from fishlib.photos import species as our_species
from fishlib.photos.gather.client import Client, ServiceDown
from fishlib.photos.gather.common import Ambiguous, Found, Page, Query, Taxon, Unknown, day, items, plain, whole

SOURCE = "inaturalist"
TITLE = "iNaturalist"
API = "https://api.inaturalist.org/v1"
SITE = "https://www.inaturalist.org"
PER_PAGE = 200  # the most the service gives
PLACES_AT_ONCE = 200  # ids in one address; the service takes 500
SPECIES_LEVEL = 10  # rank_level of a species; subspecies and forms lie below
COUNTRY_LEVEL = 0
ASK_AGAIN = True  # new observations have higher ids: a listing that ended goes on from there
SIZES = (("medium", 500), ("large", 1024), ("original", 2048))  # name in the address, long side in pixels
SIZED = re.compile(r"/(?:square|thumb|small|medium|large|original)\.(\w{2,5})(?:\?[^/]*)?$")


def resolve(client: Client, name: str) -> Taxon:
    """The species of a scientific or common name, synonyms followed, or of a taxon's number.

    Raises Unknown, and Ambiguous where several species bear the name or took it over; both name what there is.
    """
    if name.isdigit():
        return _only(_taxa(client, [int(name)]), name, told=f"number {name} is {{}} at {TITLE}")
    asked = {"q": name, "is_active": "any", "per_page": 30}
    found = [t for t in _results(client, "/taxa", asked) if _is_species(t) and whole(t.get("id")) is not None]
    same = [t for t in found if our_species.plain(_name(t)) == our_species.plain(name)]
    active = [t for t in same if t.get("is_active")]
    if active:
        return _only(active, name, told="")
    successors = [new for old in same for new in old.get("current_synonymous_taxon_ids") or ()]
    if same:
        return _only(_taxa(client, successors), name, told=f"{name} is called {{}} at {TITLE}")
    other = [t for t in found if our_species.plain(plain(t.get("matched_term"))) == our_species.plain(name)]
    other = [t for t in other if t.get("is_active")]
    if other:
        return _only(other, name, told=f"{name} is a name of {{}} at {TITLE}")
    near = [_name(t) for t in found if t.get("is_active")][:3]
    raise Unknown(f"no species at {TITLE}" + (f" (did you mean {' or '.join(near)}?)" if near else ""))


def place(client: Client, name: str) -> str:
    """The number of a place, a country before any other; UserError, naming what there is, where it is not clear."""
    if name.isdigit():
        return name
    found = _results(client, "/places/autocomplete", {"q": name, "per_page": 20})
    folded = name.casefold()
    same = [p for p in found if folded in (plain(p.get("name")).casefold(), plain(p.get("display_name")).casefold())]
    countries = [p for p in same if p.get("admin_level") == COUNTRY_LEVEL]
    chosen = countries or same
    if len(chosen) == 1 and whole(chosen[0].get("id")) is not None:
        return str(chosen[0]["id"])
    there = "; ".join(f"{plain(p.get('display_name'))}, number {plain(p.get('id'))}" for p in (chosen or found)[:5])
    what = "several places" if chosen else "no place"
    raise UserError(f"{name} is {what} at {TITLE}; give one by its number ({there or 'nothing is like it'}).")


def countries(client: Client, places: list[int]) -> dict[int, str]:
    """The names of those places that are countries."""
    named = {}
    for start in range(0, len(places), PLACES_AT_ONCE):
        some = ",".join(str(number) for number in places[start : start + PLACES_AT_ONCE])
        asked = {"admin_level": COUNTRY_LEVEL, "no_geom": "true"}
        for found in _results(client, f"/places/{some}", asked):
            if whole(found.get("id")) is not None:
                named[found["id"]] = plain(found.get("name"))
    return named


def pages(client: Client, taxon: int, query: Query, cursor: int | None) -> Iterator[Page]:
    """The photos of a species after the observation `cursor` (None: from the first), the oldest entries first."""
    above = cursor or 0
    asked = {
        "taxon_id": taxon,
        "quality_grade": "research",
        "photos": "true",
        "photo_license": ",".join(code.lower().replace(" ", "-") for code in query.licences if code != "PDM"),
        "order_by": "id",
        "order": "asc",
        "per_page": PER_PAGE,
    }
    if query.first:
        asked["d1"] = query.first.isoformat()
    if query.end:
        asked["d2"] = query.end.isoformat()
    if query.place:
        asked["place_id"] = query.place
    while True:
        answer = client.json(f"{API}/observations", asked | {"id_above": above})
        observations = _held(answer)
        ids = [whole(observation.get("id")) for observation in observations]
        if None in ids or (ids and max(ids) <= above):
            raise ServiceDown(f"{TITLE} does not list observations in their order; run the same command again later.")
        left = whole(answer.get("total_results"))
        last = not ids or (left is not None and left <= len(ids))
        above = max(ids, default=above)
        photos = [photo for observation in observations for photo in _photos(observation, query)]
        yield Page(photos, above, last)
        if last:
            return


def sized(url: str, side: int) -> str:
    """The address of a photo of iNaturalist in the smallest size that is `side` pixels long, or in the largest."""
    name = next((name for name, long_side in SIZES if long_side >= side), SIZES[-1][0])
    return SIZED.sub(rf"/{name}.\1", url)


def _photos(observation: dict, query: Query) -> Iterator[Found]:
    user = observation.get("user")
    user = user if isinstance(user, dict) else {}
    number = str(observation["id"])
    places = observation.get("place_ids")
    for photo in items(observation.get("photos")):
        photo_number = whole(photo.get("id"))
        if photo_number is None:
            continue
        flagged = any(not flag.get("resolved") for flag in items(photo.get("flags")))
        yield Found(
            source=SOURCE,
            id=str(photo_number),
            url=sized(str(photo.get("url") or ""), query.side),
            page=f"{SITE}/observations/{number}",
            author=plain(user.get("name")) or plain(user.get("login")),
            observer=plain(user.get("id")) or plain(user.get("login")),
            licence=plain(photo.get("license_code")),
            observation=number,
            date=day(observation.get("observed_on")),
            places=tuple(p for p in places if whole(p) is not None) if isinstance(places, list) else (),
            refusal=f"it is flagged at {TITLE}" if flagged else "",
        )


def _only(taxa: list[dict], name: str, told: str) -> Taxon:
    if not taxa:
        raise Unknown(f"no species at {TITLE} now (a number it does not have, or a name it gave up)")
    if len({taxon["id"] for taxon in taxa}) > 1:
        there = ", ".join(f"{_name(t)} ({plain(t.get('iconic_taxon_name'))}, number {t['id']})" for t in taxa[:5])
        raise Ambiguous(f"several species at {TITLE}: {there}; give the full name or the number of one")
    return _taxon(taxa[0], told.format(_name(taxa[0])))


def _taxa(client: Client, numbers: list) -> list[dict]:
    some = ",".join(str(number) for number in numbers if whole(number) is not None)
    found = _results(client, "/taxa", {"id": some, "is_active": "any"}) if some else []
    return [taxon for taxon in found if whole(taxon.get("id")) is not None and _is_species(taxon)]


def _taxon(taxon: dict, told: str) -> Taxon:
    return Taxon(taxon["id"], _name(taxon), told)


def _name(taxon: dict) -> str:
    return plain(taxon.get("name"))


def _is_species(taxon: dict) -> bool:
    level = taxon.get("rank_level")
    return isinstance(level, int | float) and 0 < level <= SPECIES_LEVEL


def _results(client: Client, path: str, params: dict) -> list[dict]:
    return _held(client.json(API + path, params))


def _held(answer) -> list[dict]:
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
        raise ServiceDown(f"{TITLE} answers in another form than it is known for; a newer fishlib may be needed.")
    return items(answer["results"])
