"""The public models as a table for readers, made from the weights' manifest alone (docs/models.md holds it)."""

from fishlib import weights

HEAD = "| name | for | size | licence |\n| --- | --- | --: | --- |"


def markdown() -> str:
    """A row a checkpoint of the manifest, in its order."""
    rows = [_row(name, entry) for name, entry in weights.manifest().items()]
    return "\n".join([HEAD, *rows])


def _row(name: str, entry: dict) -> str:
    licence = entry["licence"]
    if entry.get("gated"):
        licence += "; **gated**"
    return f"| `{name}` | {entry['for']} | {_size(entry['files'])} | {licence} |"


def _size(files: list[dict]) -> str:
    """Megabytes of all files; those whose size nobody published are left out, and that is said."""
    known = [file["size"] for file in files if file["size"] is not None]
    if not known:
        return "not published"
    megabytes = f"{sum(known) / 1e6:,.0f} MB"
    large = [file for file in files if file["size"] is None and not file["file"].endswith(".json")]
    return f"over {megabytes}" if large else megabytes
