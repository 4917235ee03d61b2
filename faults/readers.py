"""What reads strangers' files: a strategy of inputs and the function that is handed each, by name.

A reader answers, or raises UserError; anything else (another error, a hang, a write outside its folder, much memory) is
a fault. `prepare(place)` runs once, before the watching begins, and gives the function.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import strategies as st

from faults import strangers

PHOTOS = {"a/1.png": (24, 40), "a/2.png": (24, 40)}
SECRET = "what-lies-beside-the-run"  # must not be found in a report


@dataclass
class Reader:
    """inputs: what is handed over; prepare(place) -> a function of one input; long, short: how many are tried."""

    inputs: Callable[[], st.SearchStrategy]
    prepare: Callable[[Path], Callable[[Any], None]]
    long: int
    short: int


def _of_a_file(name: str, read: Callable[[Path], Any]) -> Callable[[Path], Callable[[bytes], None]]:
    """A reader of one file of that name in its folder."""

    def prepare(place: Path) -> Callable[[bytes], None]:
        file = place / name

        def one(data: bytes) -> None:
            file.write_bytes(data)
            read(file)

        return one

    return prepare


def _photo(file: Path) -> None:
    from fishlib.photos import decode

    picture = decode.decode(file)
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3, picture.shape


def _scan(place: Path) -> Callable[[bytes], None]:
    """A folder with the spoiled photo and a good one: each is a row."""
    from fishlib.photos import manifest

    folder = place / "photos" / "species"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "good.png").write_bytes(strangers.pictures()[3])

    def one(data: bytes) -> None:
        (folder / "spoiled.jpg").write_bytes(data)
        rows = manifest.scan(folder.parent)
        assert sorted(rows.photo_id) == ["species/good.png", "species/spoiled.jpg"], list(rows.photo_id)

    return one


def _mask(place: Path) -> Callable[[bytes], None]:
    from fishlib.removal.segmenters import imported

    folder = place / "masks" / "a"
    folder.mkdir(parents=True, exist_ok=True)
    picture = np.zeros((24, 40, 3), np.uint8)

    def one(data: bytes) -> None:
        (folder / "1.png").write_bytes(data)
        reader = imported.build({"root": str(folder.parent), "sizes": PHOTOS}, "cpu", True)
        _hold(reader.segment([picture], ["a/1.png"]))

    return one


def _coco(place: Path) -> Callable[[bytes], None]:
    from fishlib.removal.segmenters import imported

    file = place / "coco.json"
    picture = np.zeros((24, 40, 3), np.uint8)

    def one(data: bytes) -> None:
        file.write_bytes(data)
        reader = imported.build({"root": str(file), "sizes": PHOTOS}, "cpu", True)
        for name in PHOTOS:
            reader.key_for(name)
        _hold(reader.segment([picture] * len(PHOTOS), list(PHOTOS)))

    return one


def _hold(found: list) -> None:
    """Each answer is a mask of the photo's size or says why not."""
    for one in found:
        assert one.reason or (one.mask is not None and one.mask.shape == (24, 40)), one


def _manifest(file: Path) -> None:
    from fishlib.photos import manifest

    manifest.read_manifest(file)


def _decisions(file: Path) -> None:
    from fishlib.photos import curation

    curation.read_decisions(file)


def _reviews(file: Path) -> None:
    from fishlib.removal import reviews

    reviews.well_cut(reviews.read(file))


def _synonyms(file: Path) -> None:
    from fishlib.photos import matching

    matching.match_classes(["Scomber japonicus"], ["chub mackerel", "tuna"], file)


def _classes(file: Path) -> None:
    from fishlib.naming import classlists

    names = classlists.read(file)["classes"]
    assert names and all(isinstance(name, str) for name in names), names


def _checkpoint(file: Path) -> None:
    from fishlib.naming import checkpoints

    checkpoints.told(file)
    checkpoints.read(file)


def _profile(file: Path) -> None:
    """Loaded, and each of its methods' options looked at, as every command does before it begins."""
    from fishlib import profiles
    from fishlib.removal import segmenters

    profile = profiles.load(file)
    for name in dict.fromkeys([*profile.compare, profile.method]):
        segmenters.check(name, profile.segmenters.get(name, {}))
        segmenters.label(name, profile.segmenters.get(name, {}))


def _profiles() -> st.SearchStrategy[bytes]:
    """Every field and every option of every method odd in its turn; whole profiles spoiled."""
    import importlib

    from fishlib import profiles
    from fishlib.removal import segmenters

    demo = profiles.load("demo").model_dump(mode="json")
    fields = [("method",), *_leaves(demo)]
    for method, module in segmenters.MODULES.items():
        options = getattr(importlib.import_module(module), "DEFAULTS", {})
        fields += [("segmenters", method, option) for option in options]

    @st.composite
    def one_field(draw) -> bytes:
        where = draw(st.sampled_from(fields))
        values = _inside(where, draw(strangers.odd_values))
        return yaml.safe_dump({"based_on": "demo", **values}, allow_unicode=True).encode("utf-8", "replace")

    whole = strangers.spoiled_values(demo).map(strangers.as_json)
    text = yaml.safe_dump(demo).encode()
    return one_field() | one_field() | whole | strangers.spoiled_bytes([text])


def _leaves(values: dict, above: tuple = ()) -> list[tuple]:
    found = []
    for name, value in values.items():
        found.append((*above, name))
        if isinstance(value, dict):
            found += _leaves(value, (*above, name))
    return found


def _inside(where: tuple, value: Any) -> dict:
    for name in reversed(where):
        value = {name: value}
    return value


# A run folder given to `report`

RUN_FILES = ("*.json", "*.csv", "*.ipynb", "*.txt", "*.md", "*.tex", "*.png", "*.svg")
RUN_KINDS = ("bytes", "values", "cells", "link", "folder", "gone", "outside", "binary")


def _runs() -> st.SearchStrategy[tuple]:
    """(which file counts from 0..1, what happens to it, an odd value, a seed) for one to three files of a run."""
    spoil = st.tuples(
        st.integers(0, 10**6), st.sampled_from(RUN_KINDS), strangers.odd_values, st.integers(0, 2**32 - 1)
    )
    return st.lists(spoil, min_size=1, max_size=3)


def _report(place: Path) -> Callable[[list], None]:
    from fishlib.show import report

    original = place.parent / "a-finished-run"  # made by faults.fuzz
    (place.parent / "secret.txt").write_text(SECRET, encoding="utf-8")

    def one(spoils: list) -> None:
        run = place / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(original, run, symlinks=True)
        files = sorted(file for pattern in RUN_FILES for file in run.rglob(pattern) if "drawn" not in file.parts)
        for number, kind, value, seed in spoils:
            _spoil(run, files[number % len(files)], kind, value, np.random.default_rng(seed))
        report.build(run)
        for page in (run / "report").rglob("*.html"):
            assert SECRET not in page.read_text(encoding="utf-8"), f"{page.name} shows a file from outside the run"

    report.build(shutil.copytree(original, place / "run", dirs_exist_ok=True))
    return one


def _spoil(run: Path, file: Path, kind: str, value: Any, random: np.random.Generator) -> None:
    """Do that to one file of a copied run."""
    if not file.is_file() or file.is_symlink():
        return
    data = file.read_bytes()
    if kind == "bytes":
        at = int(random.integers(0, max(1, len(data))))
        file.write_bytes(data[:at] + random.bytes(4) + data[at + int(random.integers(0, 9)) :])
    elif kind == "values" and file.suffix in (".json", ".ipynb"):
        _spoil_document(file, data, value, random)
    elif kind == "cells" and file.suffix == ".csv":
        _spoil_cell(file, data, value, random)
    elif kind == "link":
        file.unlink()
        file.symlink_to(run.parent.parent / "secret.txt")
    elif kind == "folder":
        file.unlink()
        file.mkdir()
    elif kind == "gone":
        file.unlink()
    elif kind == "outside" and file.suffix == ".csv":
        first = data.split(b"\n")[1].split(b",")[0] if data.count(b"\n") > 1 else b"x"
        file.write_bytes(data.replace(first, b"../../secret.txt"))
    elif kind == "outside" and file.suffix == ".ipynb":
        file.write_bytes(data.replace(b"## ", b"![](../../secret.txt) ", 1))
    elif kind == "binary":
        file.write_bytes(random.bytes(500))


def _spoil_document(file: Path, data: bytes, value: Any, random: np.random.Generator) -> None:
    document = json.loads(data)
    places = list(strangers.places(document))
    if places:
        holder, key = places[int(random.integers(len(places)))]
        holder[key] = value
    file.write_bytes(strangers.as_json(document))


def _spoil_cell(file: Path, data: bytes, value: Any, random: np.random.Generator) -> None:
    rows = data.split(b"\n")
    row = int(random.integers(len(rows)))
    cells = rows[row].split(b",")
    cells[int(random.integers(len(cells)))] = str(value).encode("utf-8", "replace")
    rows[row] = b",".join(cells)
    file.write_bytes(b"\n".join(rows))


MANIFEST = ["photo_id", "species", "path", "sha256", "width", "height", "status", "reason"]
ROW = ["a/1.png", "a", "a/1.png", "0" * 64, "40", "24", "ok", ""]
LISTED = [["index", "name"], ["0", "Scomber japonicus"], ["1", "Thunnus thynnus"]]

READERS = {
    "photos": Reader(
        lambda: strangers.spoiled_bytes(strangers.pictures()), _of_a_file("photo.jpg", _photo), long=1500, short=60
    ),
    "scanned folders": Reader(lambda: strangers.spoiled_bytes(strangers.pictures()), _scan, long=400, short=20),
    "masks": Reader(lambda: strangers.spoiled_bytes(strangers.mask_pictures()), _mask, long=600, short=30),
    "COCO": Reader(
        lambda: (
            strangers.spoiled_values(strangers.coco()).map(strangers.as_json)
            | strangers.spoiled_bytes([json.dumps(strangers.coco()).encode()])
        ),
        _coco,
        long=800,
        short=60,
    ),
    "manifests": Reader(
        lambda: strangers.tables(MANIFEST, [ROW, ROW]), _of_a_file("manifest.csv", _manifest), long=300, short=20
    ),
    "decisions": Reader(
        lambda: strangers.tables(
            ["photo_id", "one_whole_fish", "note"], [["a/1.png", "yes", ""], ["a/2.png", "no", "two fish"]]
        ),
        _of_a_file("curation.csv", _decisions),
        long=300,
        short=20,
    ),
    "reviews": Reader(
        lambda: strangers.tables(["photo_id", "method", "reviewer", "verdict"], [["a/1.png", "grabcut", "me", "good"]]),
        _of_a_file("reviews.csv", _reviews),
        long=300,
        short=20,
    ),
    "synonyms": Reader(
        lambda: strangers.tables(["synonym", "accepted"], [["chub mackerel", "Scomber japonicus"]]),
        _of_a_file("synonyms.csv", _synonyms),
        long=200,
        short=10,
    ),
    "class lists (CSV)": Reader(
        lambda: strangers.tables(LISTED[0], LISTED[1:]), _of_a_file("own.classes.csv", _classes), long=300, short=20
    ),
    "class lists (JSON)": Reader(
        lambda: strangers.spoiled_values({"classes": ["a", "b"], "mean": [0, 0, 0], "std": [1, 1, 1]}).map(
            strangers.as_json
        ),
        _of_a_file("own.classes.json", _classes),
        long=300,
        short=20,
    ),
    "checkpoints' metadata": Reader(
        lambda: strangers.spoiled_values(strangers.FACTS).map(strangers.as_json).map(strangers.with_metadata),
        _of_a_file("own.safetensors", _checkpoint),
        long=400,
        short=30,
    ),
    "checkpoints": Reader(
        lambda: strangers.spoiled_bytes(strangers.checkpoints()), _of_a_file("own.pth", _checkpoint), long=500, short=30
    ),
    "profiles": Reader(_profiles, _of_a_file("own.yaml", _profile), long=1000, short=80),
    "run folders": Reader(_runs, _report, long=200, short=4),
}
