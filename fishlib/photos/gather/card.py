"""dataset.md: what the photos are, in the form of a Hugging Face dataset card (README.md there)."""

from collections import Counter
from pathlib import Path

import pandas as pd
import yaml

from fishlib.files import writing
from fishlib.photos.gather import gbif, inaturalist

FILE = "dataset.md"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
TITLES = {inaturalist.SOURCE: "iNaturalist", gbif.SOURCE: "GBIF", "list": "a list of addresses"}
LIMITS = """\
- Nobody has looked at the photos yet: several fish, a fish cut off by the border, a catch on ice or a drawing may be
  among them. `curation.csv` (notebook 01) is where a person's decisions go; `conflicts.csv` lists photos of different
  species that look alike.
- The species is what the source says (iNaturalist: research grade, at least two thirds of its identifiers agree). Some
  are wrong, more so among look-alikes such as *Auxis* or *Scomber*.
- The photos come in the order of the sources' own numbers, at most so many a species and an observer: no random
  sample. Where many people take photos, and of what, decides what is here.
- Photos of one observer and day (`groups.csv`) may show one fish; a split into training and test keeps groups whole.
- Models trained on photos from the web may have seen these. `--observed-after DATE` gathers younger ones.
- Every photo was shrunk and encoded anew as JPEG: no EXIF, no place, no colour profile. The country is the nearest
  that is said about the place."""


def write(attribution: pd.DataFrame, rows: list[dict], options: dict[str, str], out: Path) -> None:
    """attribution: the table as written; rows: of the photos kept; options: what the photos were narrowed to."""
    writing.write_text(out / FILE, card(attribution, rows, options))


def card(attribution: pd.DataFrame, rows: list[dict], options: dict[str, str]) -> str:
    """The text of the card."""
    days = sorted(row["fetched"] for row in rows if row["fetched"])
    span = "no day yet" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    conflicts = int((attribution["conflict"] != "").sum())
    sources = Counter(attribution["source"])
    authors = attribution["author"].nunique()
    parts = [
        f"---\n{_front_matter(attribution)}---",
        "# Photos of fish, gathered with fishlib",
        f"{len(attribution)} photos of {attribution['species'].nunique()} species by {authors} authors, "
        f"fetched {span}. {conflicts} of them look like a photo of another species (`conflicts.csv`).",
        "## Species and licences",
        _counts(attribution),
        "## Sources",
        "\n".join(f"- {TITLES.get(source, source)}: {count} photos" for source, count in sorted(sources.items())),
        "Gathered with these options:",
        "\n".join(f"- {name}: {_cell(value)}" for name, value in options.items()),
        "## Licences",
        "Each photo has its own licence and author, in `attribution.csv`, and keeps them: whoever shows a photo names "
        "both. CC BY-NC forbids commercial use of the photo." + _unstated(attribution),
        "## Limits",
        LIMITS,
        "## How to cite",
        _citation(sources, span),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(attribution: pd.DataFrame) -> str:
    count = len(attribution)
    said = {
        "pretty_name": "Photos of fish, gathered with fishlib",
        "license": "other",
        "license_name": "creative-commons-of-each-photo",
        "license_link": "attribution.csv",
        "task_categories": ["image-classification"],
        "size_categories": [next((name for most, name in SIZES if count < most), "n>1M")],
        "configs": [{"config_name": "default", "data_files": "*/*.jpg"}],
        "tags": ["biology", "fish", *sorted(attribution["source"].unique())],
    }
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True)


def _counts(attribution: pd.DataFrame) -> str:
    """A table: species, and photos under each licence."""
    licences = sorted(attribution["licence"].unique())
    lines = [["species", *(name or "not stated" for name in licences), "photos"]]
    for species, rows in attribution.groupby("species", sort=True):
        of_licence = Counter(rows["licence"])
        lines.append([_cell(str(species)), *(str(of_licence[name]) for name in licences), str(len(rows))])
    totals = Counter(attribution["licence"])
    lines.append(["all", *(str(totals[name]) for name in licences), str(len(attribution))])
    rule = ["---", *["--:"] * (len(licences) + 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


def _unstated(attribution: pd.DataFrame) -> str:
    count = int((attribution["licence"] == "").sum())
    if not count:
        return ""
    return f" {count} photos come from a list that states no licence for them: whether they may be used is not known."


def _citation(sources: Counter, span: str) -> str:
    lines = []
    if inaturalist.SOURCE in sources:
        lines.append(f"- iNaturalist. Available from {inaturalist.SITE}. Accessed {span}.")
    if gbif.SOURCE in sources:
        lines.append(
            f"- GBIF.org, Global Biodiversity Information Facility, {gbif.SITE}. Accessed {span}. For a publication, "
            f"register the records (column `observation`) as a derived dataset at {gbif.SITE}/derived-dataset, which "
            "gives a DOI and credits every publisher."
        )
    lines.append("- The authors of the photos, as `attribution.csv` names them.")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text of a source as plain text of a Markdown table."""
    for sign, shown in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("[", "\\["), ("*", "\\*")):
        text = text.replace(sign, shown)
    return text
