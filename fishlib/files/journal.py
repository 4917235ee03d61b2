"""Rows kept one by one while a long run goes on, so that a killed run loses no finished one."""

import json
import os
from pathlib import Path

from fishlib.errors import UserError

MAX_LINE = 1 << 20  # bytes; a row is a few hundred


class Journal:
    """A file of JSON lines beside a table: the rows since the table was last written whole.

    path: the journal's file. Text is escaped to ASCII, so that no name of a file can break a line.
    """

    def __init__(self, path: Path):
        self.path = Path(path)

    def append(self, row: dict) -> None:
        """Keep one row (JSON-able; a NaN becomes ""): it is on the disk when this returns. OSError as the disk says."""
        plain = {name: "" if value != value else value for name, value in row.items()}
        line = json.dumps(plain) + "\n"
        if self.path.is_symlink():
            raise UserError(f"{self.path} is a link, where a journal is kept; remove it.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            if _ends_within_a_line(self.path):
                line = "\n" + line
            file.write(line.encode("ascii"))
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> list[dict]:
        """The rows kept, in order; a line that a kill left half is passed over."""
        if self.path.is_symlink() or not self.path.is_file():
            return []
        found = []
        with self.path.open("rb") as file:
            for line in iter(lambda: file.readline(MAX_LINE), b""):  # only \n ends a line
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(row, dict):
                    found.append(row)
        return found

    def clear(self) -> None:
        """Forget the rows: the table now says them."""
        self.path.unlink(missing_ok=True)


def _ends_within_a_line(path: Path) -> bool:
    """Was the writer killed in the middle of its last row?"""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
