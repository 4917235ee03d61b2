"""A species' names as HTML, each in its own language, so that a page's switch can show one of them.

Without the switch, and without scripts, a page shows the Japanese and the scientific name (see report.css).
"""

from markupsafe import Markup, escape

from fishlib.photos import species

LANGS = {"ja": "ja", "scientific": "la", "en": "en"}  # language of species.names -> HTML's lang


def html(folder: str) -> Markup:
    """The names of a species; of one that has none its folder's name, as text."""
    return of(species.names(folder), folder)


def of(names: dict[str, str], otherwise: str) -> Markup:
    """The given names (language -> text), one <span> a text, with the blank before it, so that a hidden one leaves
    none; `otherwise` where there are none.

    A span's classes n-<language> say which choices show it: its own languages, and of the first also those in which
    the species has no name.
    """
    if not names:
        return escape(otherwise)
    first = next(iter(names.values()))
    spans = []
    for text in dict.fromkeys(names.values()):
        serves = [lang for lang in LANGS if names.get(lang, first) == text]
        own = next(lang for lang in LANGS if names.get(lang) == text)
        classes = " ".join(f"n-{lang}" for lang in serves)
        blank = " " if spans else ""
        spans.append(Markup('<span class="n {}" lang="{}">{}{}</span>').format(classes, LANGS[own], blank, text))
    return Markup("").join(spans)
