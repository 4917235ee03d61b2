"""Two and four processes on one folder: the second waits or says who is there, and nothing is lost."""

import subprocess
import sys
from pathlib import Path

from faults import commands, harness

REVIEW = """
import sys
from pathlib import Path
from fishlib.removal import reviews
file, reviewer, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for k in range(n):
    reviews.put(file, (f"a/{k}.png", "grabcut"), reviewer, "good")
"""
ANSWERS = 40


def run(work: Path, tally: harness.Tally, short: bool) -> None:
    for name in ("cut",) if short else commands.NAMES:
        command, wanted, _ = commands.undisturbed(name, work.parent, short)
        for processes in (2,) if short else (2, 4):
            _at_once(command, work, tally, wanted, processes)
    _reviewers(work, tally, 2 if short else 4)


def _at_once(command, work: Path, tally, wanted: dict[str, bytes], processes: int) -> None:
    out = harness.clear(work / f"{command.name}-together")
    started = [
        subprocess.Popen(command.words(out), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(processes)
    ]
    ended = [(process.communicate(timeout=harness.LIMIT)[0], process.returncode) for process in started]
    tally.count(f"folders with {processes} processes")
    for said, code in ended:
        told = code == 0 or ("process" in said and "since" in said)
        sentence = f"{command.name} x {processes}: exit {code}, {commands.describe(said)}"
        tally.hold(told and "Traceback" not in said, sentence)
    tally.hold(any(code == 0 for _, code in ended), f"{command.name} x {processes}: none ended well")
    last = harness.run(command.words(out), out)
    differ = harness.differences(harness.contents(out, command.everything), wanted)
    tally.hold(last.code == 0 and not differ, f"{command.name} x {processes}, then alone: {last.code} {differ}")


def _reviewers(work: Path, tally, reviewers: int) -> None:
    """Reviewers in processes of their own answer into one reviews.csv."""
    file = work / "reviews" / "reviews.csv"
    harness.clear(file.parent).mkdir()
    names = [f"reviewer {n}" for n in range(reviewers)]
    started = [subprocess.Popen([sys.executable, "-c", REVIEW, str(file), name, str(ANSWERS)]) for name in names]
    codes = [process.wait(timeout=harness.LIMIT) for process in started]
    kept = file.read_text(encoding="utf-8").count("good") if file.is_file() else 0
    tally.count("answers of reviewers at once", reviewers * ANSWERS)
    tally.hold(not any(codes) and kept == reviewers * ANSWERS, f"{kept} of {reviewers * ANSWERS} answers kept")
