"""What was asked for becomes species: a folder's name, the accepted scientific name, and the services' numbers."""

import re
import unicodedata
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from fishlib.errors import UserError
from fishlib.files.paths import fold
from fishlib.photos import species
from fishlib.photos.gather.client import Client
from fishlib.photos.gather.common import Ambiguous, Taxon, Unknown
from fishlib.photos.gather.records import Records

NONE = 0  # in the place of a number: the service lacks the species
LONGEST = 80  # letters of a folder's name
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


class Species(NamedTuple):
    """One species to gather."""

    folder: str  # its subfolder of the photos
    name: str  # for people: the accepted scientific name, or as a list spells it
    taxa: dict[str, int]  # service -> its number of the species


def read_names(path: Path) -> list[str]:
    """The names of a text file, one a line; what follows # is a remark. UserError where there is none."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text in UTF-8; give a file with one species a line.") from error
    names = [line.split("#")[0].strip() for line in text.split("\n")]
    names = [name for name in names if name]
    if not names:
        raise UserError(f"{path} names no species; give one a line.")
    return names


def the_papers() -> list[str]:
    """The scientific names of the paper's 17 species, in its order."""
    return [row["scientific_name"] for row in species.all_species()]


def resolve(
    client: Client, asked: list[str], services: list[ModuleType], records: Records
) -> tuple[list[Species], list[str]]:
    """(the species in the order asked for, each once; sentences about synonyms and services that lack one).

    What was resolved once stays so for this folder. Raises UserError that names every name that means no species or
    several; ServiceDown where no service could be asked.
    """
    found: dict[str, Species] = {}
    notes, troubles = [], []
    for name in dict.fromkeys(name.strip() for name in asked):
        try:
            taxa, said = _taxa(client, name, services, records)
        except Ambiguous as error:
            troubles.append(f"{name} is {error}")
            continue
        if not taxa:
            troubles.append(f"{name} is {'; '.join(said)}")
            continue
        notes += [taxon.told for taxon in taxa.values() if taxon.told]
        notes += [f"{name} is {sentence}" for sentence in said]
        one = _species(name, taxa)
        known = found.setdefault(fold(one.folder), one)
        found[fold(one.folder)] = known._replace(taxa=one.taxa | known.taxa)
    if troubles:
        raise UserError(f"{'. '.join(troubles)}. Nothing was fetched; correct the names.")
    return list(found.values()), notes


def of_list(names: list[str]) -> dict[str, Species]:
    """Name as a list spells it -> its species; UserError where two species would share a folder."""
    found: dict[str, Species] = {}
    of_name = {}
    for name in names:
        one = _species(name, {})
        first = found.setdefault(fold(one.folder), one)
        if species.plain(first.name) != species.plain(one.name):
            raise UserError(f"{first.name} and {name} would share the folder {one.folder}; rename one of them.")
        of_name[name] = first
    return of_name


def folder_of(name: str) -> str:
    """A name as that of a folder any system can hold: letters, digits, - and _."""
    composed = unicodedata.normalize("NFC", name)
    safe = re.sub(r"[^\w-]+", "_", composed).strip("_-")[:LONGEST].strip("_-")
    if not safe or safe.casefold() in RESERVED:
        safe = f"species_{safe}".strip("_")
    return safe


def _taxa(
    client: Client, name: str, services: list[ModuleType], records: Records
) -> tuple[dict[str, Taxon], list[str]]:
    """(service -> what it takes the name for, what the others say). Raises Ambiguous for a name of several species."""
    row = species.find(name)
    query = row["scientific_name"] if row else name
    taxa: dict[str, Taxon] = {}
    lacking: dict[str, Taxon] = {}
    for service in services:
        known = records.name(service.SOURCE, query)
        if known is None:
            # the first service may know a common name or a number, the others then get the scientific one
            spelled = next((taxon.name for taxon in taxa.values()), query)
            try:
                known = service.resolve(client, spelled)
            except Unknown as error:
                lacking[service.SOURCE] = Taxon(NONE, "", str(error))
                continue
            records.keep_name(service.SOURCE, query, known)
        (taxa if known.id != NONE else lacking)[service.SOURCE] = known
    if taxa:
        for source, said in lacking.items():
            records.keep_name(source, query, said)
    return taxa, [said.told for said in lacking.values()]


def _species(name: str, taxa: dict[str, Taxon]) -> Species:
    accepted = next((taxon.name for taxon in taxa.values()), name)
    row = species.find(accepted) or species.find(name)
    numbers = {source: taxon.id for source, taxon in taxa.items()}
    if row:
        return Species(row["folder"], row["scientific_name"], numbers)
    return Species(folder_of(accepted), accepted, numbers)
