"""Tables as CSV files: those that people make by hand or in Excel, and our own."""

import csv
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from fishlib.errors import UserError
from fishlib.files import locks, writing

MAX_BYTES = 256 << 20  # a table of 20,000 photos and 20 variants has some 100 MB
# Excel and LibreOffice take a cell that starts so for a formula; it is written with ' before it and read without
FORMULA = re.compile(r"^'*[=+\-@\t\r]")
ESCAPED = re.compile(r"^'+[=+\-@\t\r]")
SEPARATORS = ",;\t"  # Excel writes ; where the decimal sign is a comma


def write_frame(frame: pd.DataFrame, path: Path, keep: bool = False, floats: str | None = "%.9g") -> None:
    """A CSV (UTF-8, \\n, no index), atomically; 9 digits hold a float32 and drop the noise of a float64 (floats=None:
    the shortest text that is the number, 100.0 and not 100).

    Text that a spreadsheet would take for a formula gets ' before it (read_frame and read_answers take it off again).
    keep: see writing.atomic.
    """
    safe = frame.copy(deep=False)
    quoting = csv.QUOTE_MINIMAL
    for name in frame:
        texts = [value for value in frame[name] if isinstance(value, str)]
        if any(FORMULA.match(text) for text in texts):
            safe[name] = frame[name].map(_shielded)
        if any("\r" in text for text in texts):
            quoting = csv.QUOTE_NONNUMERIC  # a bare \r would end the row for most readers
    text = safe.to_csv(index=False, lineterminator="\n", float_format=floats, quoting=quoting)
    writing.write_text(path, text, keep)


def rewrite(path: Path, change: Callable[[], pd.DataFrame]) -> None:
    """Write what `change()` makes of the table as it is now, for tables that several people answer into at once.

    No other process rewrites it meanwhile, and the answer is on the disk when this returns. UserError, and nothing is
    written, as `change`, locks.briefly and write_frame raise it.
    """
    with locks.briefly(path):
        write_frame(change(), path, keep=True)


def read_frame(path: Path, columns: Iterable[str] = ()) -> pd.DataFrame:
    """A table that fishlib wrote, every cell as text, the columns in the file's order.

    Raises UserError, naming the file, where it is missing, too large, no CSV, or lacks one of `columns`.
    """
    path = Path(path)
    _hold_size(path)
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8", index_col=False)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as a table ({_short(error)}).") from error
    missing = [name for name in columns if name not in frame]
    if missing:
        raise UserError(f"{path} lacks the column {missing[0]!r}; fishlib did not write it, or it was changed.")
    for name in frame:
        escaped = frame[name].str.match(ESCAPED)
        if escaped.any():
            frame.loc[escaped, name] = frame.loc[escaped, name].str[1:]
    return frame


def read_table(path: Path, columns: Iterable[str], optional: Iterable[str] = (), others: bool = False) -> pd.DataFrame:
    """A table that a person may have made: text, blanks round cells removed, the columns in the order given.

    Read by the header's names, whatever their capitals and order; comma, semicolon or tab; UTF-8 with or without a
    BOM; an `optional` column that is missing is empty; empty cells at the end of a row and empty rows do not count.
    others: further columns are allowed (and dropped). The index of the frame counts the file's rows (the header is
    row 1), for messages. Raises UserError, naming the file (and row), for anything else.
    """
    path = Path(path)
    _hold_size(path)
    wanted = [*columns, *optional]
    rows = _rows(path)
    if not rows:
        return pd.DataFrame(columns=wanted, dtype=str)
    header = _names(rows[0][1])
    places = {name: _place(path, header, name, name in optional) for name in wanted}
    unknown = [name for name in header if name not in [w.casefold() for w in wanted]]
    if unknown and not others:
        raise UserError(f"{path} has an unknown column ({', '.join(unknown)}); it takes {', '.join(wanted)}.")
    cells, numbers = [], []
    for number, row in rows[1:]:
        if not any(cell.strip() for cell in row):
            continue
        if any(cell.strip() for cell in row[len(header) :]):
            raise UserError(f"{path}, row {number}, has more cells than the header has names; quote the commas in it.")
        filled = [*row, *[""] * (len(header) - len(row))]
        cells.append([_plain(filled[place]) if place is not None else "" for place in places.values()])
        numbers.append(number)
    return pd.DataFrame(cells, columns=wanted, index=numbers, dtype=str)


def read_header(path: Path) -> list[str]:
    """The names of the columns of a table that a person may have made, in small letters; [] for an empty file."""
    path = Path(path)
    _hold_size(path)
    rows = _rows(path)
    return _names(rows[0][1]) if rows else []


def _names(header: list[str]) -> list[str]:
    names = [name.strip().casefold() for name in header]
    while names and not names[-1]:
        names.pop()
    return names


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """(row number counted from 1, cells) of every row of a table made by a person."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8; save it as CSV UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    if "\0" in text:
        raise UserError(f"{path} is no table; save it as CSV UTF-8.")
    first = text.split("\n", 1)[0]
    separator = max(SEPARATORS, key=first.count)
    try:
        return list(enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), 1))
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as a table ({error}); save it as CSV UTF-8.") from error


def _place(path: Path, header: list[str], name: str, optional: bool) -> int | None:
    found = [place for place, said in enumerate(header) if said == name.casefold()]
    if len(found) > 1:
        raise UserError(f"{path} has the column {name!r} more than once; keep one.")
    if not found and not optional:
        raise UserError(f"{path} has no column {name!r}; its header says {', '.join(header) or 'nothing'}.")
    return found[0] if found else None


def _hold_size(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    if not path.is_file() or size > MAX_BYTES:
        raise UserError(f"{path} is no table of at most {MAX_BYTES >> 20} MB.")


def _shielded(value):
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def _plain(cell: str) -> str:
    cell = cell.strip()
    return cell[1:] if ESCAPED.match(cell) else cell


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
