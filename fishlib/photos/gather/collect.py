"""Gathering photos: for every species one listing after the other, photo after photo, until there are enough.

What is listed twice is fetched once; what was decided stays decided. After a kill the same call goes on at the page it
was at: with the same answers of the services the same files come out.
"""

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from tqdm import tqdm

from fishlib.errors import UserError
from fishlib.files import locks
from fishlib.photos.gather import gbif, inaturalist, lists, names, records, tables
from fishlib.photos.gather.client import Client
from fishlib.photos.gather.common import Query
from fishlib.photos.gather.gathering import Gathering
from fishlib.photos.gather.names import Species
from fishlib.photos.gather.options import Options
from fishlib.photos.gather.records import Records, photo_id

SERVICES = {service.SOURCE: service for service in (inaturalist, gbif)}  # asked in this order


class Result(NamedTuple):
    """What came out."""

    counts: dict[str, int]  # species, photos, new, then how many have each other fate, and how many are in conflict
    empty: list[str]  # species without a photo
    unfinished: list[str]  # sentences: services that did not answer, photos to try again
    notes: list[str]  # sentences: synonyms that were followed, services that lack a species


def collect(
    out: Path,
    asked: list[str] | None = None,
    wanted: Options | None = None,
    sources: list[str] | None = None,
    client: Client | None = None,
    progress: bool = True,
) -> Result:
    """Gather photos into out/<species>/<source>_<id>.jpg; write the tables and the card beside them.

    asked: names of species (None: the paper's 17). sources: of SERVICES (None: both). Raises UserError for names that
    are not clear, options that cannot be met, a folder that holds photos of another origin or cannot be written. A
    service that fails later is told in the result.
    """
    client = client or Client()
    wanted = wanted or Options()
    services = _services(sources)
    out = Path(out).expanduser().resolve()
    with locks.held(out, "fishlib photos"):
        known = _records(out)
        species, notes = names.resolve(client, asked or names.the_papers(), services, known)
        queries = {service.SOURCE: _query(client, service, services, wanted, known) for service in services}
        with _bar(species, wanted, progress) as bar:
            gathering = Gathering(out, known, client, wanted, bar)
            gathering.notes += notes

            def gather() -> None:
                for place, one in enumerate(species, 1):
                    gathering.begin(one)
                    for service in services:
                        gathering.from_service(one, service, queries[service.SOURCE])
                    bar.total = bar.n + (wanted.each or 0) * (len(species) - place)
                gathering.name_countries()

            _run(gathering, gather)
    return _result(gathering, species)


def collect_listed(
    out: Path, listed: Path, wanted: Options | None = None, client: Client | None = None, progress: bool = True
) -> Result:
    """`collect` for the photos of a table (see lists) instead of species and services."""
    client = client or Client()
    wanted = wanted or Options(each=None, per_observer=None)
    out = Path(out).expanduser().resolve()
    pages = lists.read(listed)
    of_name = names.of_list(list(pages))
    species = list({one.folder: one for one in of_name.values()}.values())
    with locks.held(out, "fishlib photos"), _bar(species, wanted, progress) as bar:
        gathering = Gathering(out, _records(out), client, wanted, bar)

        def gather() -> None:
            for one in species:
                gathering.begin(one)
                for name, page in pages.items():
                    if of_name[name] == one:
                        gathering.from_list(one, page)

        _run(gathering, gather)
    return _result(gathering, species)


def _run(gathering: Gathering, gather) -> None:
    """Gather, and write the tables in the end however it comes."""
    try:
        try:
            gather()
        finally:
            gathering.write_tables()
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"{gathering.out} cannot be written ({why}); make room, then run the same again.") from error


def _bar(species: list[Species], wanted: Options, progress: bool) -> tqdm:
    total = wanted.each * len(species) if wanted.each else None
    return tqdm(total=total, unit="photo", disable=not progress)


def _services(sources: list[str] | None) -> list[ModuleType]:
    unknown = [name for name in sources or () if name not in SERVICES]
    if unknown:
        raise UserError(f"{unknown[0]} is no source of photos; choose {' or '.join(SERVICES)}.")
    return [service for name, service in SERVICES.items() if not sources or name in sources]


def _records(out: Path) -> Records:
    """What is known of the folder, which is held; halves of files that a killed run left there are removed."""
    for half in [*out.glob(".tmp-*"), *out.glob("*/.tmp-*")]:
        if half.is_file():
            half.unlink(missing_ok=True)
    known = Records(out)
    attribution = out / tables.FILES[0]
    if not known.journal.path.is_file() and attribution.exists():
        why = f"without the journal {records.JOURNAL} of the photos in it"
        raise UserError(f"{attribution} is there {why}, and would be lost; choose another --out.")
    return known


def _query(client: Client, service: ModuleType, services: list[ModuleType], wanted: Options, known: Records) -> Query:
    return Query(
        licences=wanted.licences,
        first=wanted.first,
        end=wanted.end,
        place=_place(client, service, services, wanted.place, known) if wanted.place else "",
        side=wanted.side,
        without_inaturalist=inaturalist in services,
    )


def _place(client: Client, service: ModuleType, services: list[ModuleType], place: str, known: Records) -> str:
    """The place as the service names it. A country's code is its name for iNaturalist, where GBIF is asked too."""
    found = known.place(service.SOURCE, place)
    if found is None:
        spelled = place
        if service is inaturalist and gbif in services:
            country = gbif.country(client, place)
            spelled = country[1] if country else place
        found = service.place(client, spelled)
        known.keep_place(service.SOURCE, place, found)
    return found


def _result(gathering: Gathering, species: list[Species]) -> Result:
    folders = {one.folder for one in species}
    rows = [row for row in gathering.records.photos.values() if row["species"] in folders]
    statuses = Counter(row["status"] for row in rows)
    kept = sorted((row for row in rows if row["status"] == records.KEPT), key=photo_id)
    counts = {"species": len(species), "photos": len(kept), "new": gathering.new}
    counts |= {status: statuses[status] for status in records.STATUSES if status != records.KEPT and statuses[status]}
    counts["in conflict"] = len(tables.conflicts_of(kept))
    unfinished = list(dict.fromkeys(gathering.unfinished))
    if statuses[records.FAILED]:
        unfinished.append(f"{statuses[records.FAILED]} photos got no answer; the same command tries them again.")
    with_photos = {row["species"] for row in kept}
    empty = [one.name for one in species if one.folder not in with_photos]
    return Result(counts, empty, unfinished, list(dict.fromkeys(gathering.notes)))
