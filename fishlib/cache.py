"""Content-addressed artifacts: what is computed once is found again under the hash of all that made it."""

import ast
import functools
import hashlib
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from fishlib.files import writing

PACKAGE = Path(__file__).parent
# What changes no result by its code: sentences, reading and writing; parameters and checkpoints enter a key themselves.
BYSTANDERS = tuple(f"fishlib.{name}" for name in ("errors", "cache", "files", "study", "profiles", "device", "weights"))


def key(**parts) -> str:
    """Hex key of JSON-able parts (photo hash, stage parameters, checkpoint hash, code version)."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    with Path(path).open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def code_version(*modules: str) -> str:
    """Hash of the source of these modules and of all of fishlib that they import, but for BYSTANDERS.

    A changed stage thus never reads what its older self wrote, and a module that is split stays in the key.
    Takes names, so that a cached run need not import what it does not use.
    """
    sources = sorted(set().union(*map(code_closure, modules)))
    return key(files=[(name, file_hash(source_of(name))) for name in sources])[:12]


@functools.cache
def code_closure(module: str, without: tuple[str, ...] = BYSTANDERS) -> frozenset[str]:
    """The module and every module of fishlib it imports, at once, in a function, or by way of another.

    Read from the sources, nothing is imported. without: names that are left out with what only they import.
    """
    reached, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name in reached or name.startswith(without):
            continue
        reached.add(name)
        todo.extend(imported(source_of(name).read_text(encoding="utf-8")))
    return frozenset(reached)


def imported(source: str) -> list[str]:
    """Names of fishlib's modules in the import statements of a source."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
            names.extend(f"{node.module}.{alias.name}" for alias in node.names)  # a submodule, or a name in one
    return [name for name in names if name.startswith("fishlib.") and source_of(name)]


def source_of(module: str) -> Path | None:
    """The source file of a module of fishlib; None where the name is no module."""
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    candidates = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def save(path: Path, compress: bool = True, **arrays) -> None:
    """Write arrays as an .npz, atomically; compress: smaller but slower."""
    with writing.atomic(path) as temporary, temporary.open("wb") as f:
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
