"""SIGKILL at random writes of a command, several times in one folder; then the command once more, to its end."""

import time
from pathlib import Path

import numpy as np

from faults import commands, harness


def run(work: Path, tally: harness.Tally, short: bool) -> None:
    chains = {"cut": 12, "fetch": 6, "pretrain": 4, "reproduce": 4}
    if short:
        chains = dict.fromkeys(commands.NAMES, 1)
    random = np.random.default_rng(0)
    for name in commands.NAMES:
        command, wanted, writes = commands.undisturbed(name, work.parent, short)
        kills = command.short_kills if short else command.kills
        for chain in range(chains[name]):
            _chain(command, work, tally, wanted, random.integers(1, writes + 1, kills), chain)
    if not short:
        _kernel(work, tally)


def _chain(command, work: Path, tally, wanted: dict[str, bytes], moments, chain: int) -> None:
    """Kill the command at each of the moments (number of its writes), then let it end and compare."""
    out = harness.clear(work / f"{command.name}-killed")
    for moment in moments:
        ended = harness.run(command.words(out), out, "kill", int(moment))
        tally.count(f"kills of {command.name}", int(ended.killed))
        tally.hold(ended.code is not None, f"{command.name} hung after a kill")
        if ended.code != -9:  # something it had started died, a kernel most likely, or it ended before that write
            tally.hold(ended.clean, f"{command.name} after a kill: {commands.describe(ended.said)}")
    last = harness.run(command.words(out), out)
    what = f"{command.name}, chain {chain}, killed at writes {[int(m) for m in moments]}"
    tally.hold(last.code == 0, f"{what}: ended with {last.code}, {commands.describe(last.said)}")
    differ = harness.differences(harness.contents(out, command.everything), wanted)
    tally.hold(not differ, f"{what}: {differ}")


def _kernel(work: Path, tally) -> None:
    """The notebook's kernel dies alone, as when memory runs out: one sentence, and the command goes on."""
    command, wanted, _ = commands.undisturbed("reproduce", work.parent)
    for wait in (2.0, 6.0):
        out = harness.clear(work / "kernel-killed")
        ended = harness.run(command.words(out), out, meanwhile=lambda process, wait=wait: _kill_kernel(process, wait))
        tally.count("kills of a kernel")
        told = ended.code == 2 and ended.clean and "kernel" in ended.said.casefold()
        tally.hold(told, f"a kernel killed: exit code {ended.code}, {commands.describe(ended.said)}")
        last = harness.run(command.words(out), out)
        differ = harness.differences(harness.contents(out), wanted)
        tally.hold(last.code == 0 and not differ, f"after a kernel was killed: exit code {last.code} {differ}")


def _kill_kernel(process, wait: float) -> None:
    """Kill the first kernel the command starts, `wait` seconds after it is there."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.is_running():
        kernels = [p for p in process.children(recursive=True) if "ipykernel" in " ".join(p.cmdline())]
        if kernels:
            time.sleep(wait)
            kernels[0].kill()
            return
        time.sleep(0.05)
