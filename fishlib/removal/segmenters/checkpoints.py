"""The segmenters' checkpoints: found by name, read, put into a network, and hashed for the cache's key.

What a user's file lacks or holds instead makes the method "not run" (NotRun), so that the study goes on without it.
"""

from pathlib import Path

from fishlib import cache, weights, zoo
from fishlib.errors import NotRun, UserError
from fishlib.files import tensors

# short name in a profile -> name in the weights' manifest
SHORT = {
    "swint_ogc": "groundingdino_swint_ogc",
    "swinb_cogcoor": "groundingdino_swinb_cogcoor",
    "vit_b": "sam_vit_b",
    "vit_l": "sam_vit_l",
    "vit_h": "sam_vit_h",
}


def locate(part: str, spec: str, offline: bool) -> Path | None:
    """The file or folder of a checkpoint: a SHORT name, a name of the manifest or a path; None for "zoo".

    part: what it is for, by the zoo's name where the zoo has one (gdino, say); UserError for "zoo" where it has none.
    Raises NotRun with the file that is missing and where to put it. Never downloads.
    """
    return locate_all({part: spec}, offline)[part]


def locate_all(specs: dict[str, str], offline: bool) -> dict[str, Path | None]:
    """Part of a method -> where its checkpoint lies, as locate; NotRun names all that are missing."""
    found, to_fetch = {}, []
    for part, spec in specs.items():
        name = SHORT.get(spec, spec)
        if name == "zoo":
            zoo.path(part)  # says so where the zoo has none
            found[part] = None
            continue
        try:
            found[part] = weights.path(name, offline)
        except NotRun:
            if name not in weights.manifest():
                raise
            to_fetch.append(name)
    if to_fetch:
        raise NotRun(_missing(list(dict.fromkeys(to_fetch)), offline))
    return found


def _missing(names: list[str], offline: bool) -> str:
    """The sentence about checkpoints of the manifest that are not here."""
    rows = [row for name in names for row in weights.list_(name) if not row["present"]]
    files = ", ".join(row["path"].name for row in rows)
    folders = ", ".join(dict.fromkeys(str(row["path"].parent) for row in rows))

    sizes = [row["size"] for row in rows]
    amount = f"{sum(filter(None, sizes)) / 1e9:.2f} GB"
    if not any(sizes):
        amount = "size unknown"
    elif not all(sizes):
        amount = f"more than {amount}"

    which = f"checkpoint {names[0]} is" if len(names) == 1 else f"checkpoints {', '.join(names)} are"
    where = " on a computer with a network" if offline else ""
    how = f"run `fishlib weights fetch {' '.join(names)}`{where} ({amount}), or put them into {folders}"
    return f"The {which} missing or incomplete ({files}); {how}{weights.access(names)}."


def fingerprint(path: Path | None, zoo_name: str) -> str:
    """Hash of the checkpoint: its file, the files of its folder that count, or the zoo's file of that name."""
    if path is None:
        return zoo.sha256(zoo_name)
    files = _that_count(path) if path.is_dir() else [path]
    return cache.key(files=[(file.name, cache.file_hash(file)) for file in files])


def _that_count(folder: Path) -> list[Path]:
    """A folder of the manifest: the files named there. A user's: all but hidden ones and notes of `weights`."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    listed = {row["path"].name for row in weights.list_() if row["path"].parent == folder.resolve()}
    if listed:
        return [file for file in files if file.name in listed]
    return [file for file in files if not file.name.startswith(".") and file.suffix not in (".sha256", ".part")]


def read(path: Path) -> dict:
    """Name -> tensor of a .safetensors or .pth file, mapped from the file; NotRun if it is neither."""
    try:
        return tensors.read_state(path)[0]
    except UserError as error:
        raise NotRun(str(error)) from error


def put(state: dict, model, strict: bool = True) -> list[str]:
    """The model takes the state's tensors as they lie in the file, without a copy, as float32; names that are missing.

    Raises RuntimeError where names (if strict) or shapes do not fit, as load_state_dict.
    """
    whole = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    return model.load_state_dict(whole, strict=strict, assign=True).missing_keys
