"""Files that are whole or not there: written beside their place, then renamed into it."""

import hashlib
import os
import re
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from fishlib.errors import UserError

TEMPORARY = re.compile(r"\.tmp-[a-z0-9_]{8}-[0-9a-f]{8}(\.[^/]{0,15})?")  # as `atomic` names them
SETTLED = 1.0  # seconds


@contextmanager
def atomic(path: Path, keep: bool = False):
    """Yield a temporary path beside `path`; it replaces `path` when the block ends well, else it is removed.

    keep: the bytes and the rename are on the disk before this returns (fsync), for what nobody can compute again,
    as answers of people and journals; what a cache holds does without, for it is made anew. Raises UserError when the
    folder cannot be written, and for an OSError of the block: a full disk, say.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix=_temporary_end(path))
        os.close(handle)
    except OSError as error:
        raise UserError(f"{path.parent} cannot be written ({error.strerror}); choose another --out folder.") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes files only their owner can read; a shared run folder wants more
        if keep:
            _sync_file(temporary)
        temporary.replace(path)
        if keep:
            _sync_folder(path.parent)
    except OSError as error:
        raise UserError(failed(path, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the temporary files that a killed writer left in a folder and below it; links are not followed.

    For whoever holds the folder's lock. A file written a moment ago stays: what is answered into one file of the folder
    (see locks.briefly) needs no lock of the folder.
    """
    for place, _, names in os.walk(folder):
        for name in filter(TEMPORARY.fullmatch, names):
            _remove_settled(Path(place, name))


def sweep_beside(*paths: Path) -> None:
    """Remove the temporary files that a killed writer of these files left; those of other files in the folder stay.

    For whoever holds the lock of these files, in a folder that others write into as well.
    """
    for path in paths:
        end = _temporary_end(path)
        for file in path.parent.glob(".tmp-*"):
            if TEMPORARY.fullmatch(file.name) and file.name.endswith(end):
                with suppress(OSError):
                    file.unlink()


def _temporary_end(path: Path) -> str:
    """How the names of a file's temporary files end: what it is known by, short for any name, and its own suffix."""
    known_by = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    return f"-{known_by}{path.suffix[:16]}"


def _remove_settled(file: Path) -> None:
    with suppress(OSError):
        age = time.time() - file.lstat().st_mtime
        if abs(age) > SETTLED:  # its time lies ahead where the clock was set back
            file.unlink()


def failed(path: Path, error: Exception) -> str:
    """The sentence for a file that could not be written."""
    why = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
    return f"{path} cannot be written ({why}); make room there or choose another folder, then run again: it goes on."


def write_text(path: Path, text: str, keep: bool = False) -> None:
    """Write UTF-8 text atomically, newlines as they are. keep: see `atomic`."""
    with atomic(path, keep) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_bytes(path: Path, data: bytes, keep: bool = False) -> None:
    """Write bytes atomically. keep: see `atomic`."""
    with atomic(path, keep) as temporary:
        temporary.write_bytes(data)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Put the folder's entries on the disk, where the system can (Windows cannot open a folder)."""
    if os.name != "posix":
        return
    with suppress(OSError):  # some network file systems refuse it
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
