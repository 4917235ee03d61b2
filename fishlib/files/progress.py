"""How far a stage is: a bar where somebody watches, else a line a minute, and a word to who waits elsewhere.

A notebook's stages run in a kernel, whose output the terminal never sees. `fishlib reproduce` therefore names a file in
VARIABLE; every Bar of the kernels it starts keeps its state there, and `watched` shows it.
"""

import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

VARIABLE = "FISHLIB_PROGRESS"  # environment: the file that bars keep their state in
MINUTE = 60.0
LOOK = 1.0  # seconds between two looks at the file


class Bar(tqdm):
    """tqdm for a stage: `unit` is what is counted, one of them.

    In a terminal and in Lab a bar, elsewhere (a log file, a cluster) a line a minute. The time left is that of this
    machine's own pace so far.
    """

    def __init__(self, *args, unit: str = "photo", **given):
        self._lines = not (_is_terminal() or _in_notebook() or VARIABLE in os.environ)
        if self._lines:
            given |= {"mininterval": MINUTE, "miniters": 1, "delay": MINUTE}
        super().__init__(*args, unit=unit, **given)

    def display(self, *args, **given):
        _tell(self)
        if not self._lines:
            return super().display(*args, **given)
        if self.n and given.get("msg") != "":
            print(said(state(self)), file=sys.stderr, flush=True)
        return True

    def close(self):
        if self._lines:
            self.disable = True  # the last line of a log is no bar
        super().close()


def state(bar: tqdm) -> dict:
    """desc, n, total, unit and left (seconds, None where nobody can tell) of a bar."""
    facts = bar.format_dict
    rate = facts["rate"] or (bar.n / facts["elapsed"] if facts["elapsed"] else 0)
    left = (bar.total - bar.n) / rate if rate and bar.total else None
    return {"desc": bar.desc.removesuffix(": "), "n": bar.n, "total": bar.total, "unit": bar.unit, "left": left}


def said(told: dict) -> str:
    """A state in words: gdino-sam: 85 of 214 photos, about 2 min left."""
    of = f" of {told['total']}" if told["total"] else ""
    text = f"{told['desc']}: {told['n']}{of} {told['unit']}s"
    if told["left"] is None or told["n"] == told["total"]:
        return text
    return f"{text}, about {time_left(told['left'])} left"


def time_left(seconds: float) -> str:
    """A time as people say it: 40 s, 2 min, 1 h 5 min."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@contextlib.contextmanager
def watched(show: Callable[[str], None]) -> Iterator[Callable[[], str]]:
    """Call `show` with what bars of kernels started meanwhile say, whenever that is new; yields a function that tells
    the last of it, "" before the first."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.json"
        ended = threading.Event()
        last = [""]

        def look() -> None:
            while not ended.wait(LOOK):
                text = _read(file)
                if text and text != last[0]:
                    last[0] = text
                    show(text)

        thread = threading.Thread(target=look, daemon=True)
        os.environ[VARIABLE] = str(file)
        thread.start()
        try:
            yield lambda: _read(file) or last[0]
        finally:
            ended.set()
            thread.join()
            del os.environ[VARIABLE]


def _read(file: Path) -> str:
    """What the file says, in words; "" where there is none, or it is just being written."""
    try:
        return said(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _tell(bar: tqdm) -> None:
    """Keep a bar's state for who waits; that nobody does any more is no error."""
    file = os.environ.get(VARIABLE)
    if not file:
        return
    with contextlib.suppress(OSError):
        Path(file).write_text(json.dumps(state(bar)), encoding="utf-8")


def _is_terminal() -> bool:
    return hasattr(sys.stderr, "isatty") and sys.stderr.isatty()


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
