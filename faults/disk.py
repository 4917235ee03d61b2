"""A disk that is full, read-only or forbidden from some write on: a sentence, and it goes on once mended."""

import contextlib
import shutil
import subprocess
from pathlib import Path

import numpy as np

from faults import commands, harness

ERRORS = ("ENOSPC", "EROFS", "EACCES")


def run(work: Path, tally: harness.Tally, short: bool) -> None:
    tries = {"cut": 12, "fetch": 6, "pretrain": 6, "reproduce": 6}
    if short:
        tries = {"cut": 2, "fetch": 1}
    random = np.random.default_rng(1)
    for name, how_many in tries.items():
        command, wanted, writes = commands.undisturbed(name, work.parent, short)
        for n, moment in enumerate(random.integers(1, writes + 1, how_many)):
            _refused(command, work, tally, wanted, ERRORS[n % len(ERRORS)], int(moment))
    if not short:
        _small_file_system(work, tally)


def _refused(command, work: Path, tally, wanted: dict[str, bytes], error: str, moment: int) -> None:
    out = harness.clear(work / f"{command.name}-refused")
    what = f"{command.name}, {error} from write {moment} on"
    ended = harness.run(command.words(out), out, error, moment)
    tally.count(f"full or forbidden disks ({command.name})")
    tally.hold(ended.clean, f"{what}: {commands.describe(ended.said)}")
    if ended.code == 0:  # the last writes are courtesies
        differ = harness.differences(harness.contents(out, command.everything), wanted)
        tally.hold(not differ, f"{what}: ended well, but {differ}")
    last = harness.run(command.words(out), out)
    differ = harness.differences(harness.contents(out, command.everything), wanted)
    tally.hold(last.code == 0 and not differ, f"{what}, then mended: exit code {last.code} {differ} {last.said[-200:]}")


def _small_file_system(work: Path, tally) -> None:
    """A real file system of a few megabytes, where the machine lets us make one: writes fail in their middle."""
    for name in commands.NAMES:
        command, wanted, _ = commands.undisturbed(name, work.parent)
        whole = sum(len(data) for data in wanted.values())
        place = work / "small"
        with _mounted(place, max(200_000, int(0.6 * whole))) as mounted:
            if not mounted:
                print("no small file system can be mounted here; only injected errors were tried")
                return
            out = place / "out"
            ended = harness.run(command.words(out), out)
            tally.count("small file systems")
            told = ended.clean and ended.code not in (0, None) and "full" in ended.said
            tally.hold(told, f"{command.name} on a full disk: exit {ended.code}, {commands.describe(ended.said)}")
            roomier = harness.clear(work / f"{command.name}-roomier")
            shutil.copytree(out, roomier, symlinks=True)
        last = harness.run(command.words(roomier), roomier)
        differ = harness.differences(harness.contents(roomier, command.everything), wanted)
        tally.hold(last.code == 0 and not differ, f"{command.name} after a full disk: exit {last.code} {differ}")


@contextlib.contextmanager
def _mounted(place: Path, size: int):
    place.mkdir(exist_ok=True)
    asked = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    mounted = bool(shutil.which("mount")) and subprocess.run(asked, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=False)
