"""What the parts share: small inputs, commands run with a fault, bytes compared."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import psutil
import yaml

HOOK = Path(__file__).parent / "hook"
LIMIT = 600  # seconds a command may take before it counts as hung
# what may differ between two runs: when and how long, who holds a lock, where it lay
VOLATILE = (
    "run.json",
    "report.zip",
    "made_of.json",
    "big.pth.sha256",
    ".lock",
    ".lock-holder.json",
    "made_with.json",
    ".private.json",
)
VOLATILE_FOLDERS = ("stages", "notebooks", ".executed", "report", "cache", "figures")


@dataclass
class Tally:
    """What was tried and what was lost, for the last line of the output."""

    tried: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def count(self, what: str, n: int = 1) -> None:
        self.tried[what] = self.tried.get(what, 0) + n

    def hold(self, right: bool, sentence: str) -> None:
        """Note a loss where something that must be so is not."""
        if not right:
            self.lost.append(sentence)
            print(f"LOST  {sentence}", flush=True)


@dataclass
class Outcome:
    """How a command ended: exit code (negative: a signal; None: hung and was killed), what it said, its writes.

    killed: did the kill that was asked for happen, to the command or to a process it had started?
    """

    code: int | None
    said: str
    writes: int
    killed: bool

    @property
    def clean(self) -> bool:
        """Did it end, and with a sentence rather than a traceback?"""
        return self.code is not None and "Traceback (most recent call last)" not in self.said


def photos(folder: Path, species: int = 3, each: int = 5) -> Path:
    """A tree of small pictures of coloured ellipses, folder/<species>/<n>.png, the same bytes every time."""
    random = np.random.default_rng(0)
    for kind in range(species):
        for number in range(each):
            picture = random.integers(0, 120, (64, 96, 3), np.uint8)
            mask = np.zeros((64, 96), np.uint8)
            centre = int(random.integers(40, 56)), int(random.integers(26, 38))
            cv2.ellipse(mask, centre, (30, 12), float(random.uniform(-20, 20)), 0, 360, 255, -1)
            picture[mask > 0] = (60 * kind + 40, 220 - 50 * kind, 120)
            file = folder / f"species_{kind}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return folder


def profile(file: Path) -> Path:
    """A profile of small settings: GrabCut's masks, a tiny random network, two draws."""
    values = {
        "based_on": "demo",
        "name": "small",
        "method": "grabcut",
        "compare": ["grabcut"],
        "composite": {"size": 64, "backgrounds": ["black", "red"], "dilations": [0, 1]},
        "backbone": "mobilenetv3_small_050",
        "pretrainings": ["none"],
        "transfer": {"shots": [1, 2], "trials": 2, "epochs": 5},
        "block": 4,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


def command(*words) -> list[str]:
    """The command line of `fishlib` with these words."""
    return [sys.executable, "-m", "fishlib.cli", *map(str, words)]


def run(
    words: list[str], folder: Path, do: str = "", at: int = 0, clock: float = 0.0, meanwhile=None, limit: float = LIMIT
) -> Outcome:
    """Run a command; at its `at`-th write below `folder` the fault `do` happens (see hook/sitecustomize.py).

    meanwhile: called with the psutil.Process while the command runs, until it ends. After a kill, whatever the command
    had started is killed as well, as when a machine goes down.
    """
    counter = folder.with_name(f"{folder.name}.writes")
    death = counter.with_name(f"{counter.name}.killed")
    counter.unlink(missing_ok=True)
    death.unlink(missing_ok=True)
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(HOOK), environment.get("PYTHONPATH", ""), str(Path.cwd())])
    environment |= {"FAULT_FOLDER": str(folder), "FAULT_COUNTER": str(counter), "FAULT_AT": str(at), "FAULT_DO": do}
    if clock:
        environment["FAULT_CLOCK"] = str(clock)
    process = subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        if meanwhile is not None:
            meanwhile(psutil.Process(process.pid))
        said, _ = process.communicate(timeout=limit)
        code = process.returncode
    except subprocess.TimeoutExpired:
        kill_all(process.pid)
        said, code = process.communicate()[0], None
    finally:
        kill_all(process.pid)
    writes = counter.stat().st_size if counter.exists() else 0
    return Outcome(code, said, writes, death.exists())


def kill_all(group: int) -> None:
    """SIGKILL to a command and all it started."""
    members = [p for p in psutil.process_iter() if _group(p.pid) == group]
    for member in members:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue
    psutil.wait_procs(members, timeout=10)


def _group(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def contents(folder: Path, everything: bool = False) -> dict[str, bytes]:
    """Relative name -> bytes of what a run leaves for people; without `everything` nothing that tells times."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if not file.is_file() or file.name in VOLATILE:
            continue
        if not everything and name.parts[0] in VOLATILE_FOLDERS:
            continue
        found[name.as_posix()] = file.read_bytes()
    return found


def differences(found: dict[str, bytes], wanted: dict[str, bytes]) -> str:
    """What differs, as words; empty when nothing does."""
    missing = sorted(set(wanted) - set(found))
    extra = sorted(set(found) - set(wanted))
    other = sorted(name for name in set(found) & set(wanted) if found[name] != wanted[name])
    parts = [
        f"{word} {', '.join(names[:4])}"
        for word, names in (("no", missing), ("extra", extra), ("other", other))
        if names
    ]
    return "; ".join(parts)


def clear(folder: Path) -> Path:
    """An empty place for an output."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder
