"""What is shared names nobody: paths, user and host in a text give way to words that any reader can fill in."""

import getpass
import html
import platform
import re
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote

from fishlib.study import Study

REPOSITORY = Path(__file__).parents[1]
EMBEDDED = re.compile(r"(data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+)")  # pictures in HTML: letters by chance
# a home folder of anybody, also of whoever made a file that is shown; what follows the name stays
HOMES = re.compile(r"(?:/home|/Users|[A-Za-z]:(?:\\{1,2}|/)Users)(?:\\{1,2}|/)[^\\/\s\"'<>:;,|]+")


def anonymous(text: str, study: Study, others: Iterable[str | Path] = ()) -> str:
    """The text with RUN, PHOTOS, MASKS, FISHLIB, PYTHON, TEMP and ~ for the folders of those names, USER and HOST.

    others: further files whose absolute paths give way to their names, such as a profile's; the classifier's and
    those that the profile names are known from the study. Applying it twice changes nothing more.
    """
    return _apply(text, _rules(study, others))


def anonymous_values(value: Any, study: Study, others: Iterable[str | Path] = ()) -> Any:
    """`anonymous` for every text in dicts and lists as JSON has them (run.json, a notebook), but for pictures."""
    return _apply_to_values(value, _rules(study, others))


def name_of(path: str | Path) -> str:
    """The last part of a path as any system writes it: a dataset's or a file's name."""
    text = str(path)
    kind = PureWindowsPath if "\\" in text else PurePosixPath
    return kind(text).name or text


def is_absolute(text: str) -> bool:
    """Is this the absolute path of some system?"""
    return PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def _rules(study: Study, others: Iterable[str | Path]) -> list[tuple[re.Pattern, str]]:
    """(pattern, the word for it) in the order in which they are to be applied."""
    places = [(_path_pattern(spelling), word) for path, word in _places(study, others) for spelling in _spellings(path)]
    people = [(_name_pattern(name), word) for name, word in _people()]
    return [*places, (HOMES, "~"), *people]


def _apply(text: str, rules: list[tuple[re.Pattern, str]]) -> str:
    parts = EMBEDDED.split(text)  # at odd places what EMBEDDED found
    for place in range(0, len(parts), 2):
        for pattern, word in rules:
            parts[place] = pattern.sub(lambda _, word=word: word, parts[place])
    return "".join(parts)


def _apply_to_values(value: Any, rules: list[tuple[re.Pattern, str]]) -> Any:
    if isinstance(value, str):
        return _apply(value, rules)
    if isinstance(value, list):
        return [_apply_to_values(inner, rules) for inner in value]
    if isinstance(value, dict):
        return {
            _apply(name, rules): inner if _is_picture(name, inner) else _apply_to_values(inner, rules)
            for name, inner in value.items()
        }
    return value


def _places(study: Study, others: Iterable[str | Path]) -> list[tuple[str, str]]:
    """(path, word for it), the innermost first: a run that lies in the home folder is RUN, not ~/runs/mine."""
    words = {str(Path.home()): "~", tempfile.gettempdir(): "TEMP", sys.prefix: "PYTHON", str(REPOSITORY): "FISHLIB"}
    words[str(study.out)] = "RUN"
    if not study.drawn:
        words[str(study.photos)] = "PHOTOS"
        if study.masks:
            words[str(study.masks)] = "MASKS"
    named = [*others, study.classifier or "", *_texts(study.profile.model_dump())]
    for path in map(str, named):
        if is_absolute(path) and path not in words:
            words[path] = name_of(path)
    folders = [(path, word) for path, word in words.items() if name_of(path).strip("/\\")]  # never the root itself
    return sorted(folders, key=lambda place: -len(place[0]))


def _texts(value: Any) -> list[str]:
    """Every text in nested dicts and lists."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _texts(one)]


def _spellings(path: str) -> list[str]:
    """The path as outputs write it: as it is, with /, as Python's repr, in HTML, in an address."""
    posix = path.replace("\\", "/")
    return list(dict.fromkeys([path, posix, path.replace("\\", "\\\\"), html.escape(path), quote(posix)]))


@cache
def _path_pattern(path: str) -> re.Pattern:
    """The path where it is whole: /data/fish in neither /data/fish2 nor /mnt/data/fish."""
    return re.compile(rf"(?<![\w.~-]){re.escape(path)}(?![\w-])")


@cache
def _people() -> list[tuple[str, str]]:
    """(name, word for it): who is logged in, and on which machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such account, as in some containers
        user = Path.home().name
    host = platform.node()
    names = {user: "USER", host: "HOST", host.split(".")[0]: "HOST"}
    return [(name, word) for name, word in names.items() if name and name != "localhost"]


@cache
def _name_pattern(name: str) -> re.Pattern:
    """A name that may be a word (anna, fish) is one in a path, an address or after "on"; any other one everywhere."""
    whole = rf"(?<![\w-]){re.escape(name)}(?![\w-])"
    if re.search(r"[\d._-]", name):
        return re.compile(whole)
    return re.compile(rf"(?<=[/\\@]){whole}|{whole}(?=@)|(?<=\d on ){whole}")


def _is_picture(name: str, value: Any) -> bool:
    """A MIME type's data in a notebook, base64."""
    return name.startswith("image/") and name != "image/svg+xml" and isinstance(value, str | list)
