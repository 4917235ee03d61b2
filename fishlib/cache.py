"""Content-addressed artifacts: what is computed once is found again under the hash of all that made it."""

import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fishlib.errors import UserError


def key(**parts) -> str:
    """Hex key of JSON-able parts (photo hash, stage parameters, checkpoint hash, code version)."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    with Path(path).open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def code_version(*modules: str) -> str:
    """Hash of the modules' source files: a changed stage never reads what its older self wrote.

    Takes names, so that a cached run need not import what it does not use.
    """
    return key(files=[file_hash(find_spec(name).origin) for name in modules])[:12]


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


def save(path: Path, compress: bool = True, **arrays) -> None:
    """Write arrays as an .npz, atomically; compress: smaller but slower."""
    with atomic(path) as temporary, temporary.open("wb") as f:
        (np.savez_compressed if compress else np.savez)(f, **arrays)


def load(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a .npz, or None when it is not there or cannot be read (it is then computed anew)."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


def entry(root: Path, stage: str, hex_key: str) -> Path:
    """Where an artifact of a stage lies; two letters a folder keep folders small."""
    return Path(root) / stage / hex_key[:2] / f"{hex_key}.npz"


def array_hash(values: np.ndarray) -> str:
    """Hash of an array's dtype, shape and bytes."""
    head = f"{values.dtype}{values.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(values).tobytes()).hexdigest()[:32]
