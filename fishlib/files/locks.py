"""One writer at a time in a folder; readers need no lock.

The lock is the operating system's (filelock: flock, msvcrt), so that it ends with its process, however that ends. Who
holds it stands in a file beside it, for the sentence that the next one reads.
"""

import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path

import filelock

from fishlib.errors import UserError
from fishlib.files import writing

HELD = "FISHLIB_HELD"  # environment: what a parent process holds locked (the kernels of `reproduce` write too)
LOCK = ".lock"
HOLDER = ".lock-holder.json"


class InUse(UserError):
    """Another process writes into this folder."""


@contextmanager
def held(folder: Path, what: str, wait: float = 0.0, file: str = ""):
    """Hold the folder for writing while the block runs; a process that holds it already, or whose parent does, goes on.

    what: the command or widget, for others to read. wait: seconds to wait for another holder; InUse, which names it,
    after that. file: hold no more than that file (and what lies beside it by its name); others may write others.
    UserError where the folder cannot be written.
    """
    folder = Path(folder).resolve()
    target = folder / file
    if str(target) in _held_by_us():
        yield
        return

    note = _beside(folder, HOLDER, file)
    if note.is_symlink():
        raise UserError(f"{note} is a link, where a lock is kept; remove it.")
    lock = _acquire(
        _beside(folder, LOCK, file),
        lambda: f"{target} is being written by {holder(folder, file)}; wait for it or stop it.",
        wait,
    )
    try:
        if note.exists() and not file:  # whoever held the folder was killed
            writing.sweep(folder)
        _say_who(note, what)
        with _inherited(target):
            yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        _release(lock)


@contextmanager
def briefly(path: Path, wait: float = 10.0):
    """Hold one file, which need not be there, while the block reads it and writes it anew: a moment's work.

    Others who do so wait; InUse where somebody holds it for longer than `wait` seconds. Errors as `held`.
    """
    path = Path(path)
    lock = _acquire(_beside(path.parent, LOCK, path.name), lambda: f"{path} is being written; try again.", wait)
    try:
        yield
    finally:
        _release(lock)


def holder(folder: Path, file: str = "") -> str:
    """Who writes into the folder, as part of a sentence; the least that is sure where nothing is readable."""
    try:
        said = json.loads(_beside(Path(folder), HOLDER, file).read_text(encoding="utf-8")[:4096])
        return f"{said['what']} (process {int(said['pid'])} on {said['host']}, since {said['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _beside(folder: Path, name: str, file: str) -> Path:
    """Where a lock or its holder's note lies: of the whole folder, or of one file in it."""
    return folder / (f".{file}{name}" if file else name)


def _acquire(file: Path, busy: Callable[[], str], wait: float):
    """The lock of that file, taken; InUse with what `busy` says after `wait` seconds."""
    folder = file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.is_symlink():
            raise UserError(f"{file} is a link, where a lock is kept; remove it.")
        lock = filelock.FileLock(file, thread_local=False)
        deadline = time.monotonic() + wait
        while True:
            try:
                lock.acquire(timeout=0)
                return lock
            except filelock.Timeout:
                if time.monotonic() >= deadline:
                    raise InUse(busy()) from None
                time.sleep(0.02)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror or error}); choose another folder.") from error
    except NotImplementedError:  # a file system without locks: nobody can be kept out there
        return nullcontext()


def _release(lock) -> None:
    if isinstance(lock, filelock.BaseFileLock):
        lock.release()


def _say_who(note: Path, what: str) -> None:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    said = {"what": what, "pid": os.getpid(), "host": socket.gethostname(), "since": since}
    with suppress(UserError, OSError):  # only a courtesy: a full disk must not stop the work here
        writing.write_text(note, json.dumps(said))


def _held_by_us() -> list[str]:
    return [name for name in os.environ.get(HELD, "").split("\n") if name]


@contextmanager
def _inherited(target: Path):
    """Kernels started in the block know that the folder, or file, is held for them."""
    before = os.environ.get(HELD)
    os.environ[HELD] = "\n".join([*_held_by_us(), str(target)])
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(HELD, None)
        else:
            os.environ[HELD] = before
