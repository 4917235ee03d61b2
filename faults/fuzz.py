"""Strangers' files by the thousand into everything that reads one: an answer or a sentence, soon, in little memory."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from faults import commands, harness, readers

SECONDS = 10  # of the process's own time, for one input
MOST_SECONDS = 60  # of the clock, whatever else this machine does
MEMORY = 2 << 30  # bytes resident


def run(work: Path, tally: harness.Tally, short: bool) -> None:
    _finished_run(work, short)
    for name, reader in readers.READERS.items():
        start = time.monotonic()
        tried, answered = _read(work, tally, name, reader.short if short else reader.long)
        tally.count("inputs", tried)
        print(
            f"{tried:>5} {name} ({answered} answered, the others refused), {time.monotonic() - start:.0f} s", flush=True
        )


def _finished_run(work: Path, short: bool) -> None:
    """A run of small pictures that the reports are made of, without what only speeds up the next run."""
    commands.undisturbed("reproduce", work.parent, short)
    left_out = shutil.ignore_patterns("cache", "report", "report.zip")
    copy = harness.clear(work / "a-finished-run")
    shutil.copytree(work.parent / "reproduce-undisturbed", copy, ignore=left_out)


def _read(work: Path, tally, name: str, how_many: int) -> tuple[int, int]:
    """Hand one reader its inputs in a process of its own; that process is replaced when it hangs, swells or dies."""
    tried = answered = 0
    seed = 1
    while tried < how_many:
        place = work / "inputs"
        shutil.rmtree(place, ignore_errors=True)
        lines, ended = _watched(name, how_many - tried, seed, place, work / "now.json")
        faults = [line for line in lines if "wrong" in line]
        for fault in faults:
            tally.hold(False, f"{name}: {fault['wrong']}\n    given {fault['input']}")
        now = json.loads((work / "now.json").read_text(encoding="utf-8")) if (work / "now.json").is_file() else {}
        done = next((line for line in lines if "tried" in line), None)
        if done is not None:
            return tried + done["tried"], answered + done["answered"]
        tally.hold(False, f"{name}: {ended}\n    given {now.get('input', '')[:400]}")
        tried += now.get("tried", how_many)
        seed += 1
    return tried, answered


def _watched(name: str, how_many: int, seed: int, place: Path, now: Path) -> tuple[list[dict], str]:
    """(the worker's lines, how it ended) ; killed when one input takes too long or too much."""
    words = [sys.executable, "-m", "faults.worker", name, str(how_many), str(seed), str(place)]
    now.unlink(missing_ok=True)
    environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT, text=True, env=environment)
        stopped = _watch(psutil.Process(process.pid), now)
        process.wait()
        said.seek(0)
        text = said.read()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith(('{"input"', '{"tried"'))]
    return lines, stopped or f"ended with {process.returncode}: {text[-1500:]}"


def _watch(process: psutil.Process, now: Path) -> str:
    """Why the worker was killed; "" when it ended by itself."""
    began, spent, stamp = time.monotonic(), 0.0, None
    while True:
        try:
            if process.status() == psutil.STATUS_ZOMBIE or not process.is_running():
                return ""
            used = sum(process.cpu_times()[:2])
            memory = process.memory_info().rss
        except psutil.NoSuchProcess:
            return ""
        latest = now.stat().st_mtime_ns if now.exists() else None
        if latest != stamp or stamp is None:  # another input; importing before the first is no input's time
            began, spent, stamp = time.monotonic(), used, latest
        if memory > MEMORY:
            process.kill()
            return f"took {memory >> 20} MB"
        if stamp is not None and (used - spent > SECONDS or time.monotonic() - began > MOST_SECONDS):
            process.kill()
            return f"read one input for {time.monotonic() - began:.0f} s"
        time.sleep(0.05)
