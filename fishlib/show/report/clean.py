"""HTML of a run folder made safe to show: text, tables and pictures that lie inside it; nothing is loaded or run.

A run may come from anybody, and a page's policy (see templates/base.html) stops neither `<meta refresh>` nor a form.
"""

import re

import bleach
from bleach.css_sanitizer import CSSSanitizer

TEXT = "a abbr b blockquote br caption code dd del details div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i li ol"
TEXT += " p pre progress q s small span strong sub summary sup u ul"
TABLES = "col colgroup table tbody td tfoot th thead tr"
TAGS = {*TEXT.split(), *TABLES.split(), "img"}
ATTRIBUTES = {"alt", "class", "colspan", "id", "lang", "max", "open", "rowspan", "scope", "title", "valign", "value"}
PROPERTIES = ["background-color", "color", "font-weight", "text-align", "vertical-align", "white-space", "width"]
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*")
LINK = re.compile(r"(#|https?://)", re.IGNORECASE)  # followed when a reader clicks, and only then
# what holds no text: its content would stay as text where the tags alone are taken away
UNSHOWN = re.compile(r"<(style|script|template|title)\b.*?(</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)


def cleaned(html: str) -> str:
    """The HTML with TAGS and harmless attributes alone; pictures only as data, links only where a reader sees them.

    Styles go: the page brings those of tables and views itself.
    """
    css = CSSSanitizer(allowed_css_properties=PROPERTIES)
    attributes = {"*": _is_allowed}
    cleaner = bleach.Cleaner(
        tags=TAGS, attributes=attributes, protocols={"http", "https", "data"}, strip=True, css_sanitizer=css
    )
    return cleaner.clean(UNSHOWN.sub("", html))


def _is_allowed(tag: str, name: str, value: str) -> bool:
    if name == "src":
        return tag == "img" and PICTURE.fullmatch(value) is not None
    if name == "href":
        return tag == "a" and LINK.match(value) is not None
    return name == "style" or name in ATTRIBUTES
