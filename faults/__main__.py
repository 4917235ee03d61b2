"""`python -m faults [--short] [PART ...]`: try faults on purpose, print what was tried and what was lost."""

import argparse
import importlib
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults import commands, harness

PARTS = ("fuzz", "kills", "disk", "folders", "together")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without")
    parser.add_argument("--short", action="store_true", help="a few of each kind, for continuous integration")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it, to look at what was lost")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.parts) - set(PARTS))
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    tally = harness.Tally()
    with tempfile.TemporaryDirectory(prefix="fishlib-faults-") as temporary:
        root = (chosen.keep or Path(temporary)).resolve()
        _try(chosen.parts or PARTS, root, tally, chosen.short)
    return _say(tally)


def _try(parts, root: Path, tally: harness.Tally, short: bool) -> None:
    """Strangers' files are read on one core while commands are disturbed on the other."""
    if "fuzz" in parts:
        commands.undisturbed("reproduce", root, short)  # what both begin with
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(_part, "fuzz", root, tally, short) if "fuzz" in parts else None
        for part in parts:
            if part != "fuzz":
                _part(part, root, tally, short)
        if reading is not None:
            reading.result()


def _part(name: str, root: Path, tally: harness.Tally, short: bool) -> None:
    start = time.monotonic()
    place = root / name
    place.mkdir(parents=True, exist_ok=True)
    importlib.import_module(f"faults.{name}").run(place, tally, short)
    print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)


def _say(tally: harness.Tally) -> int:
    """Print the sums; the exit code, 1 where anything was lost."""
    for what, n in tally.tried.items():
        print(f"{n:>7}  {what}")
    kills = sum(n for what, n in tally.tried.items() if what.startswith("kills"))
    print(f"{kills} kills, {tally.tried.get('inputs', 0)} inputs; lost: {len(tally.lost) or 'nothing'}")
    for sentence in tally.lost:
        print(f"  {sentence}")
    return 1 if tally.lost else 0


if __name__ == "__main__":
    sys.exit(main())
