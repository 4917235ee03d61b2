"""The commands that are disturbed: what each needs, what it leaves, and whether everything must be equal."""

import functools
import hashlib
import http.server
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from faults import harness

NAMES = ("cut", "fetch", "pretrain", "reproduce")
SIZE = 3_000_000  # bytes of the checkpoint that is fetched


@dataclass
class Command:
    """name; words(out) gives the command line; everything: each file must be equal, not only what people read."""

    name: str
    words: Callable[[Path], list[str]]
    everything: bool = True
    kills: int = 5  # in a row, in one folder, before the run that ends
    short_kills: int = 2  # the same, in continuous integration


@functools.cache
def all_commands(work: Path, short: bool = False) -> dict[str, Command]:
    """cut, fetch, pretrain and reproduce on small inputs below `work`.

    short: reproduce ends with the second notebook, where masks and their index are written.
    """
    photos = harness.photos(work / "photos")
    profile = harness.profile(work / "small.yaml")
    network = ("--backbone", "mobilenetv3_small_050", "--from", "none")

    def cut(out: Path) -> list[str]:
        return harness.command("cut", photos, "--out", out, "--method", "grabcut", "--background", "transparent")

    def pretrain(out: Path) -> list[str]:
        return harness.command(
            "pretrain", "--photos", photos, "--out", out / "own.safetensors", "--epochs", 3, *network
        )

    def reproduce(out: Path) -> list[str]:
        words = harness.command("reproduce", "--photos", photos, "--profile", profile, "--out", out, "--offline")
        if short:
            words[1:3] = ["-c", TWO_NOTEBOOKS]  # in place of -m fishlib.cli
        return words

    return {
        "cut": Command("cut", cut),
        "fetch": Command("fetch", _fetching(work), kills=3),
        "pretrain": Command("pretrain", pretrain, kills=3, short_kills=1),
        "reproduce": Command("reproduce", reproduce, everything=False, kills=4, short_kills=1),
    }


TWO_NOTEBOOKS = """
from fishlib import cli, run
first = run.notebooks()[:2]
run.notebooks = lambda only=None: first
cli.main()
"""
FETCH = """
import sys
from pathlib import Path
from fishlib import cli, weights
weights.MANIFEST = Path(sys.argv.pop(1))
cli.main()
"""


def _fetching(work: Path) -> Callable[[Path], list[str]]:
    """`weights fetch` from a server of this machine that cuts every third connection."""
    data = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(SIZE // 32))
    address = _serve(data)
    file = {"file": "big.pth", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    entry = {"for": "a test", "licence": "MIT", "from": [address], "files": [file]}
    manifest = work / "weights.yaml"
    manifest.write_text(yaml.safe_dump({"big": entry}), encoding="utf-8")
    driver = work / "fetch.py"
    lines = f"import os\nos.environ['FISHLIB_WEIGHTS'] = sys.argv.pop(1)\n{FETCH}"
    driver.write_text(f"import sys\n{lines}", encoding="utf-8")
    return lambda out: [sys.executable, str(driver), str(out), str(manifest), "weights", "fetch", "big"]


def _serve(data: bytes) -> str:
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            start = 0
            if said := self.headers.get("Range"):
                start = int(said.removeprefix("bytes=").split("-")[0])
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            end = len(data) if len(asked) % 3 else start + (len(data) - start) // 2
            try:
                for at in range(start, end, 1 << 14):
                    self.wfile.write(data[at : min(at + (1 << 14), end)])
            except OSError:
                return  # the client was killed

        def log_message(self, *_):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


@functools.cache
def undisturbed(name: str, root: Path, short: bool = False) -> tuple[Command, dict[str, bytes], int]:
    """(the command, the bytes it leaves, its number of writes) when nothing happens to it; run once, for all parts.

    RuntimeError where it does not end well even so.
    """
    command = all_commands(root, short)[name]
    out = harness.clear(root / f"{name}-undisturbed")
    ended = harness.run(command.words(out), out)
    if ended.code != 0:
        raise RuntimeError(f"{name}, undisturbed, ended with {ended.code}: {ended.said[-500:]}")
    return command, harness.contents(out, command.everything), ended.writes


def describe(said: str) -> str:
    """The last line of an output, short enough for one line."""
    lines = [line for line in said.splitlines() if line.strip()]
    return json.dumps(lines[-1][-160:], ensure_ascii=False) if lines else "nothing"
