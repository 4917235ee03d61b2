"""Which licence a text names: codes and addresses of the services, and what people write by hand.

A text is mapped only when every word of it is understood; anything else ("CC BY for the text, photo (c) ...") is no
known licence, and the photo is refused.
"""

import re
from typing import NamedTuple

from fishlib.errors import UserError

WEB = "https://creativecommons.org"
CODES = ("CC0", "CC BY", "CC BY-NC", "CC BY-SA", "CC BY-NC-SA", "CC BY-ND", "CC BY-NC-ND", "PDM")
DEFAULT = ("CC0", "CC BY", "CC BY-NC")
NEWEST = "4.0"
ADDRESS = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/"
    r"(?:licenses/(?P<terms>by(?:-nc)?(?:-sa|-nd)?)/(?P<version>[1-4]\.\d)(?:/[a-z]{2,3})?|publicdomain/(?P<public>zero|mark)/1\.0)"
    r"(?:/(?:legalcode|deed)(?:\.[a-z_-]+)?)?/?"
)
TERMS = {  # a word people write -> the part of a licence it stands for
    "by": "by", "attribution": "by",
    "nc": "nc", "noncommercial": "nc", "noncomercial": "nc",
    "sa": "sa", "sharealike": "sa",
    "nd": "nd", "noderivatives": "nd", "noderivs": "nd", "noderivative": "nd",
}  # fmt: skip
COMMONS = {"cc", "creative", "commons"}
SPLIT = {"non commercial": "noncommercial", "share alike": "sharealike", "no derivatives": "noderivatives",
         "no derivs": "noderivs"}  # fmt: skip
FILLING = {"license", "licence", "licensed", "under", "international", "unported", "generic", "universal", "the", "a"}
ZERO_FILLING = {"public", "domain", "dedication", "zero", "0", "cc0", "1"}


class Licence(NamedTuple):
    """A licence that is known: its code, one of CODES, and the address of its text."""

    code: str
    url: str


def known(text: str) -> Licence | None:
    """The licence that a code (cc-by-nc, CC_BY_4_0), an address or a text names, None where it names none we know."""
    text = text.strip().casefold()
    return _by_address(text) or _by_words(text)


def chosen(texts: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The codes of the licences a user allows, in the order of CODES; UserError for one that is not known."""
    codes = set()
    for text in texts:
        licence = known(text)
        if licence is None:
            raise UserError(f"{text!r} is no licence that fishlib knows; choose among {', '.join(CODES)}.")
        codes.add(licence.code)
    if not codes:
        raise UserError(f"No licence is allowed, so that no photo is; choose among {', '.join(CODES)}.")
    return tuple(code for code in CODES if code in codes)


def of(code: str, version: str = NEWEST) -> Licence:
    """A licence of CODES with its address."""
    if code == "CC0":
        return Licence(code, f"{WEB}/publicdomain/zero/1.0/")
    if code == "PDM":
        return Licence(code, f"{WEB}/publicdomain/mark/1.0/")
    return Licence(code, f"{WEB}/licenses/{code.removeprefix('CC ').lower()}/{version}/")


def _by_address(text: str) -> Licence | None:
    address = ADDRESS.fullmatch(text)
    if address is None:
        return None
    if address["public"]:
        return of("CC0" if address["public"] == "zero" else "PDM")
    return of(_code(set(address["terms"].split("-"))), address["version"])


def _by_words(text: str) -> Licence | None:
    version = re.search(r"(?<![\d.])([1-4])[._]0(?![\d.])", text)
    if version:
        text = text.replace(version.group(0), " ")
    words = " ".join(re.findall(r"[^\W_]+", text))
    for apart, together in SPLIT.items():
        words = words.replace(apart, together)
    said = set(words.split()) - FILLING
    if "cc0" in said or said >= {"cc", "0"} or said >= {"cc", "zero"}:
        return of("CC0") if said <= COMMONS | ZERO_FILLING else None
    if said in ({"public", "domain"}, {"public", "domain", "mark"}, {"pdm"}, {"pd"}):
        return of("PDM")
    named = said & set(TERMS)
    if not named or not said <= COMMONS | set(TERMS):
        return None
    if not said & COMMONS and "attribution" not in said:
        return None  # a bare "by" or "nc" names no licence
    code = _code({TERMS[word] for word in named})
    return of(code, version.group(1) + ".0" if version else NEWEST) if code else None


def _code(terms: set[str]) -> str:
    """CC BY-NC-SA of {by, nc, sa}; empty where there is no such licence."""
    code = "CC " + "-".join(term.upper() for term in ("by", "nc", "sa", "nd") if term in terms)
    return code if code in CODES else ""
