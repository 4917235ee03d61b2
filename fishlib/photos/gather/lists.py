"""Photos of a list that someone made: a CSV with the columns species and url, and licence, author, date and group."""

from pathlib import Path

from fishlib.errors import UserError
from fishlib.files.frames import read_table
from fishlib.photos.gather.common import Found, Page, plain, short_hash

SOURCE = "list"
TITLE = "list"
OPTIONAL = ("licence", "license", "author", "date", "group", "page")


def read(path: Path) -> dict[str, Page]:
    """Species as the list spells it -> all of its photos, in the list's order.

    A row without an address, or with one that is not http, stays as a photo with its refusal. UserError for a list
    without rows, and for a row without a species.
    """
    frame = read_table(path, ["species", "url"], OPTIONAL, others=True)
    if frame.empty:
        raise UserError(f"{path} lists no photo; give rows with species and url.")
    listed: dict[str, list[Found]] = {}
    for number, row in zip(frame.index, frame.to_dict("records"), strict=True):
        species = plain(row["species"])
        if not species:
            raise UserError(f"{path}, row {number}, names no species.")
        listed.setdefault(species, []).append(_photo(row, f"{Path(path).name}, row {number}"))
    return {species: Page(photos, None, last=True) for species, photos in listed.items()}


def _photo(row: dict[str, str], where: str) -> Found:
    url = row["url"]
    refusal = ""
    if not url.lower().startswith(("http://", "https://")):
        refusal = f"{where}, has no address that starts with http:// or https://"
    elif "@" in url.split("/")[2]:
        refusal = f"{where}, has an address with a name or a password in it"
    return Found(
        source=SOURCE,
        id=short_hash(url or where),
        url="" if refusal else url,
        page=plain(row["page"]),
        author=plain(row["author"]),
        observer=plain(row["author"]),
        licence=plain(row["licence"] or row["license"]),
        observation="",
        date=plain(row["date"]),
        group=plain(row["group"]),
        refusal=refusal,
    )
