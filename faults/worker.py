"""`python -m faults.worker READER HOW_MANY SEED PLACE`: hand one reader inputs; a line of JSON for each fault.

Watched by faults.fuzz from outside (time, memory); here: what is raised, and what is written outside PLACE.
"""

import json
import os
import random
import sys
import traceback
from pathlib import Path

import hypothesis

from faults import readers

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
TWO_PATHS = ("os.rename", "os.symlink", "os.link", "shutil.copyfile", "shutil.move")
ONE_PATH = ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "shutil.rmtree")
NEVER = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "pickle.find_class")
HARMLESS = ("/dev/null", "/dev/shm", "/proc/")  # what libraries open for themselves


def main() -> None:
    name, how_many, seed, place = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]).resolve()
    place.mkdir(parents=True, exist_ok=True)
    reader = readers.READERS[name]
    strategy, read = reader.inputs(), reader.prepare(place)
    outside: list[str] = []
    tried = answered = 0

    def one(given) -> None:
        nonlocal tried, answered
        tried += 1
        outside.clear()
        _keep(place.parent / "now.json", tried, given)
        raised, refused = wrong(read, given)
        answered += not (raised or refused)
        fault = raised or (f"wrote outside its folder: {outside[0]}" if outside else "")
        if fault:
            print(json.dumps({"input": repr(given)[:400], "wrong": fault[-1500:]}), flush=True)

    _try(strategy, one, 1, seed)  # what is imported late is imported now
    tried = answered = 0
    sys.addaudithook(watch(place, outside))
    _try(strategy, one, how_many, seed)
    while tried < how_many:  # hypothesis stops early where it knows all the inputs there are
        seed += 1
        _try(strategy, one, how_many - tried, seed)
    print(json.dumps({"tried": tried, "answered": answered}), flush=True)


def _try(strategy, one, how_many: int, seed: int) -> None:
    test = hypothesis.given(strategy)(one)
    settings = hypothesis.settings(
        max_examples=how_many,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.seed(seed)(settings(test))()
    random.seed(seed)


def wrong(read, given) -> tuple[str, bool]:
    """(what a reader did that it must not, "" when it answered or refused in a sentence; did it refuse?)."""
    from fishlib.errors import UserError

    try:
        read(given)
    except UserError as error:
        sentence = str(error)
        is_told = sentence and "Traceback" not in sentence
        return "" if is_told else f"refused without a word: {sentence!r}", True
    except Exception:
        return traceback.format_exc(), False
    return "", False


def _keep(file: Path, tried: int, given) -> None:
    """Note the input that is about to be read, so that one who hangs or dies is known."""
    file.write_text(json.dumps({"tried": tried, "input": repr(given)[:4000]}), encoding="utf-8")


def _is_within_a_folder(values: tuple) -> bool:
    """Is the path counted from an open folder, as rmtree does? Then that folder was watched."""
    return len(values) > 1 and isinstance(values[-1], int) and values[-1] >= 0


def watch(place: Path, outside: list[str]):
    root = str(place.parent)

    def is_elsewhere(path) -> bool:
        if isinstance(path, int) or path is None:
            return False
        text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - a link stays itself
        return not text.startswith((root, *HARMLESS))

    def watch(event: str, values: tuple) -> None:
        if event == "open":
            path, mode, flags = values
            writes = any(letter in (mode or "") for letter in "wax+") or bool((flags or 0) & WRITES)
            if writes and is_elsewhere(path):
                outside.append(f"open {path}")
        elif event in ONE_PATH and not _is_within_a_folder(values) and is_elsewhere(values[0]):
            outside.append(f"{event} {values[0]}")
        elif event in TWO_PATHS and any(is_elsewhere(path) for path in values[:2] if event != "os.symlink"):
            outside.append(f"{event} {values[:2]}")
        elif event in NEVER:
            outside.append(f"{event} {values[:1]}")

    return watch


if __name__ == "__main__":
    main()
