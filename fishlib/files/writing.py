"""Files that are whole or not there: written beside their place, then renamed into it."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from fishlib.errors import UserError


@contextmanager
def atomic(path: Path):
    """Yield a temporary path beside `path`; it replaces `path` when the block ends well, else it is removed.

    Raises UserError when the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise UserError(f"{path.parent} cannot be written ({error.strerror}); choose another --out folder.") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes files only their owner can read; a shared run folder wants more
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, newlines as they are."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
