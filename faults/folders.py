"""Folders that vanish, photos that change while they are read, a clock that was set back."""

import shutil
import threading
import time
from pathlib import Path

import numpy as np

from faults import commands, harness


def run(work: Path, tally: harness.Tally, short: bool) -> None:
    for name in ("cut",) if short else ("cut", "reproduce"):
        command, wanted, _ = commands.undisturbed(name, work.parent, short)
        if not short:
            _output_vanishes(command, work, tally, wanted)
        _clock_set_back(command, work, tally, wanted)
    for seed in range(1 if short else 6):
        _photos_change(work, tally, seed, short)


def _output_vanishes(command, work: Path, tally, wanted: dict[str, bytes]) -> None:
    """Somebody deletes the output folder while the command runs."""
    out = harness.clear(work / f"{command.name}-vanished")

    def delete(process) -> None:
        deadline = time.monotonic() + 60
        while process.is_running() and time.monotonic() < deadline:
            if len(list(out.rglob("*.png"))) > 2:
                shutil.rmtree(out, ignore_errors=True)
                return
            time.sleep(0.01)

    ended = harness.run(command.words(out), out, meanwhile=delete)
    tally.count("vanished folders")
    tally.hold(ended.clean, f"{command.name}, its folder deleted: {commands.describe(ended.said)}")
    last = harness.run(command.words(out), out)
    differ = harness.differences(harness.contents(out, command.everything), wanted)
    tally.hold(last.code == 0 and not differ, f"{command.name}, its folder deleted, then again: {last.code} {differ}")


def _clock_set_back(command, work: Path, tally, wanted: dict[str, bytes]) -> None:
    """Killed half way, then the clock stands a day earlier, then right again."""
    out = harness.clear(work / f"{command.name}-clock")
    harness.run(command.words(out), out, "kill", 30)
    for clock in (-86400.0, 0.0):
        ended = harness.run(command.words(out), out, clock=clock)
        tally.count("clocks set back", int(bool(clock)))
        tally.hold(ended.code == 0, f"{command.name}, clock {clock:+.0f} s: {commands.describe(ended.said)}")
        differ = harness.differences(harness.contents(out, command.everything), wanted)
        tally.hold(not differ, f"{command.name}, clock {clock:+.0f} s: {differ}")


def _photos_change(work: Path, tally, seed: int, short: bool) -> None:
    """Photos are rewritten, cut short and deleted while `reproduce` reads them; then all are as they were.

    Whatever the disturbed run said, the next one must say what an undisturbed run says: nothing wrong was kept.
    """
    name = "cut" if seed % 2 == 0 else "reproduce"
    command, wanted, _ = commands.undisturbed(name, work.parent, short)
    photos = work.parent / "photos"
    originals = {file: file.read_bytes() for file in sorted(photos.rglob("*.png"))}
    random = np.random.default_rng(seed)
    stop = threading.Event()

    def disturb() -> None:
        files = list(originals)
        while not stop.wait(0.003):
            file = files[random.integers(len(files))]
            other = originals[files[random.integers(len(files))]]
            kind = random.integers(4)
            if kind == 0:
                file.write_bytes(other)
            elif kind == 1:
                file.write_bytes(other[: random.integers(len(other))])
            elif kind == 2:
                file.unlink(missing_ok=True)
            else:
                file.write_bytes(originals[file])

    out = harness.clear(work / f"{name}-changing")
    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        ended = harness.run(command.words(out), out)
    finally:
        stop.set()
        thread.join()
        for file, data in originals.items():
            file.write_bytes(data)
    tally.count("runs over changing photos")
    tally.hold(ended.clean, f"{name} over changing photos: {commands.describe(ended.said)}")
    last = harness.run(command.words(out), out)
    tally.hold(last.code == 0, f"{name} once the photos hold still: {last.code}, {commands.describe(last.said)}")
    differ = harness.differences(harness.contents(out, command.everything), wanted)
    tally.hold(not differ, f"{name} once the photos hold still: {differ}")
