"""Which file means which photo: names of masks, and those in COCO files, beside the photos' own."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from fishlib.files import paths
from fishlib.photos import formats

# what programs add to a photo's name: x_mask.png, x-mask.png, x.jpg.png, x_jpg.rf.0123abcd.png (Roboflow)
ADDED = re.compile(r"([-_. ]masks?|_(jpe?g|png|webp|bmp|tiff?)\.rf\.[0-9a-z]+)$")


def pair(photo_ids: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """photo_id -> the name that means it, of those that one does.

    names: paths as files or tables state them, with / or \\. Their suffixes, capitals and Unicode form do not matter,
    nor the folders above the species' (`images/train/a/1.png` means a/1.jpg). A name in another folder means a photo
    where no other name and no other photo is called so. What ADDED knows is taken off where nothing is called so as it
    stands. Of several names for a photo the first counts.
    """
    photo_ids, names = list(photo_ids), list(names)
    paired = _pair(photo_ids, names, _stem)
    rest = [photo_id for photo_id in photo_ids if photo_id not in paired]
    taken = {*paired.values()}
    return paired | _pair(rest, [name for name in names if name not in taken], _plain_stem)


def spelled(name: str) -> str:
    """A path as compared: with /, without ./ before it."""
    return name.replace("\\", "/").removeprefix("./")


def _pair(photo_ids: list[str], names: list[str], stem: Callable[[str], str]) -> dict[str, str]:
    stems = {name: stem(name) for name in names}
    meant: dict[str, list[str]] = defaultdict(list)  # the end of a path, of any number of parts -> names that end so
    for name, whole in stems.items():
        parts = whole.split("/")
        for first in range(len(parts)):
            meant["/".join(parts[first:])].append(name)
    ours = Counter(_last(_stem(photo_id)) for photo_id in photo_ids)

    def find(photo_id: str) -> str | None:
        own = _stem(photo_id)
        same = [name for name in meant.get(own, []) if stems[name] == own]
        if same:
            return same[0]
        longer = meant.get(own, [])
        if len(longer) == 1:
            return longer[0]
        alike = meant.get(_last(own), [])
        return alike[0] if len(alike) == 1 == ours[_last(own)] else None

    found = {photo_id: find(photo_id) for photo_id in photo_ids}
    return {photo_id: name for photo_id, name in found.items() if name is not None}


def _stem(name: str) -> str:
    """A name without its suffix, whatever its capitals and Unicode form."""
    path = PurePosixPath(paths.fold(spelled(name)))
    return path.with_suffix("").as_posix() if path.name else ""


def _plain_stem(name: str) -> str:
    """The stem without what programs add to a photo's name."""
    stem = ADDED.sub("", _stem(name))
    suffix = PurePosixPath(stem).suffix
    return stem.removesuffix(suffix) if suffix in formats.SUFFIXES else stem


def _last(stem: str) -> str:
    return stem.rsplit("/", 1)[-1]
