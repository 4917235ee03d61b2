"""What a process opens and lists, noted as it happens: a run knows from it what a notebook's result rests on.

Python's own audit events tell of every file it opens and every folder it lists (PEP 578). Nothing tells of a file that
was looked for and is not there; who acts on that says so with `looked_for`.
"""

import json
import os
import sys
from pathlib import Path

VARIABLE = "FISHLIB_READS"  # environment: the file to note into
LOOKED_FOR = "fishlib.looked_for"
FIRST = ("open", "os.listdir", "os.scandir", "os.remove", LOOKED_FOR)  # events whose first argument is the path
_noting = False


def looked_for(path: Path) -> Path:
    """Note that what follows depends on whether `path` is there; returns it."""
    sys.audit(LOOKED_FOR, str(path))
    return path


def note_if_asked() -> None:
    """From now on note every path that this process opens or lists, where VARIABLE names a file; once a process."""
    global _noting
    target = os.environ.get(VARIABLE)
    if not target or _noting:
        return
    _noting = True
    notes = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    seen: set[str] = set()

    def note(event: str, arguments: tuple) -> None:
        if event == "open" and arguments[1] is None and _is_folder(arguments[0]):
            return  # opened to be kept on the disk (fsync), not to be listed
        if event in FIRST:
            paths = arguments[:1]
        elif event == "os.rename":
            paths = arguments[:2]
        else:
            return
        for path in paths:
            text = _text(path)
            if text and text not in seen:
                seen.add(text)
                os.write(notes, (json.dumps(text) + "\n").encode())

    sys.addaudithook(note)


def noted(file: Path) -> set[str]:
    """The absolute paths that a process noted in a file."""
    found = set()
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            found.add(json.loads(line))
        except ValueError:  # the last line of a process that was killed
            continue
    return found


def _is_folder(path) -> bool:
    try:
        return os.path.isdir(path)  # noqa: PTH112 - a path of any kind, or a number
    except (TypeError, ValueError):
        return False


def _text(path) -> str:
    """An absolute path; "" for what is none (a number of an open file)."""
    if not isinstance(path, str | bytes | os.PathLike):
        return ""
    try:
        return os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - resolving would ask the disk for each
    except (TypeError, ValueError, OSError):
        return ""
