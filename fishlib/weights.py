"""Public checkpoints (weights.yaml): where they come from, whether the ones here are whole.

Only `fetch` downloads, with its own code since pooch cannot go on where a cut connection stopped.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pooch
import requests
import urllib3
import yaml
from tqdm import tqdm

from fishlib import cache
from fishlib.errors import NotRun, UserError
from fishlib.files import locks, writing

MANIFEST = Path(__file__).with_name("weights.yaml")
GOOD = ("ok", "first use")
TRIES = 3  # so often an address is asked to go on after a cut connection
TIMEOUT = 60  # seconds without a byte
SLOWEST = 20_000  # bytes a second on the whole; slower is no download that would end
PATIENCE = 120  # seconds before the pace is held against that
MAX_UNKNOWN = 8 << 30  # bytes of a file whose size the manifest does not say
HUB = "https://huggingface.co/"  # the only place that is ever shown a token
MAX_TOKEN = 4096  # bytes of a login file
HOW_TO_SHOW = "then log in with `hf auth login` or set HF_TOKEN (fishlib keeps and shows no token)"


def manifest() -> dict[str, dict]:
    """name -> {for, licence, repository, revision, from, files: [{file, size, sha256}]}; also `folder` where that is
    used, `gated` where a licence must be accepted first, and a file's `path` where it has another name there."""
    return yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))


def list_(name: str | None = None, folder: Path | None = None, rehash: bool = False) -> list[dict]:
    """One row a file: name, for, licence, repository, revision, gated (how to get access; "" where anyone has it),
    path, size (bytes), sha256 (None: unknown), present, got, status.

    status: "ok", "first use" (no public hash; as first downloaded), "wrong", "no hash known", "missing", or
    "not checked" where nothing has hashed the file since it came; `rehash` hashes every file now.
    """
    rows = [row for key in (manifest() if name is None else [name]) for row in _files(key, folder)]
    for row in rows:
        path = row["path"]
        is_there = path.is_file()
        first = _noted(row["note"])
        row["got"] = None
        if is_there and rehash:
            row["got"] = cache.file_hash(path)
        elif is_there and first and row["note"].stat().st_mtime_ns >= path.stat().st_mtime_ns:
            row["got"] = first

        row["status"] = _status(row, first) if is_there else "missing"
        row["present"] = is_there and row["size"] in (None, path.stat().st_size)
        if rehash and row["status"] in GOOD:
            with suppress(UserError):  # a folder shared read-only can still be checked
                writing.write_text(row["note"], f"{row['got']}  {path.name}\n")
    return rows


def _noted(note: Path) -> str | None:
    """The hash kept beside a file when it was last hashed; None without one."""
    return note.read_text(encoding="utf-8", errors="replace")[:64] if note.is_file() else None


def _status(row: dict, first: str | None) -> str:
    """What is to be said of a file that is there; first: its hash as it was noted first."""
    if not row["got"]:
        return "not checked"
    expected = row["sha256"] or first
    if not expected:
        return "no hash known"
    if row["got"] != expected:
        return "wrong"
    return "ok" if row["sha256"] else "first use"


def home() -> Path:
    """Where checkpoints lie: $FISHLIB_WEIGHTS, or the user's cache."""
    folder = os.environ.get("FISHLIB_WEIGHTS") or Path(pooch.os_cache("fishlib"), "weights")
    return Path(folder).expanduser().resolve()


verify = partial(list_, rehash=True)


def path(name: str, offline: bool = False, folder: Path | None = None) -> Path:
    """The file or folder of a checkpoint of the manifest, or a local path as it is; never downloads.

    Raises NotRun, whose sentence names the missing file, where it goes and the command that fetches it.
    """
    if name not in manifest():
        if (local := Path(name).expanduser()).exists():
            return local
        raise NotRun(f"{name} is missing: it is neither a file here nor a name of `fishlib weights list`.")
    rows = list_(name, folder)
    if missing := [row["path"] for row in rows if not row["present"]]:
        names = ", ".join(p.name for p in missing)
        where = " on a computer with a network" if offline else ""
        put = f"put it into {missing[0].parent}, or run `fishlib weights fetch {name}`{where}"
        raise NotRun(f"{names} of the checkpoint {name} is missing or incomplete; {put}{access([name])}.")
    return rows[0]["path"].parent if "folder" in manifest()[name] else rows[0]["path"]


def access(names: list[str]) -> str:
    """What to do first for those of these checkpoints that are gated, to end a sentence with; "" where none is."""
    told = [f"; {name} is gated: {manifest()[name]['gated']}" for name in names if manifest()[name].get("gated")]
    return "".join(told) + (f", {HOW_TO_SHOW}" if told else "")


def fetch(name: str, folder: Path | None = None, progress: bool = True) -> Path:
    """Download what is missing of a checkpoint, hash all of it, and give its `path`.

    A cut connection leaves a `.part` file that the next call goes on with (not without a public hash: halves
    of two files would go unnoticed), a wrong hash or a full disk nothing. Without a public hash the first
    download is trusted, its hash kept beside it and printed. UserError, also for a wrong file that was there, and
    locks.InUse where another process downloads the same file.
    """
    for row in _files(name, folder):
        file = row["path"]
        with locks.held(file.parent, f"fishlib weights fetch {name}", file=file.name):
            writing.sweep_beside(row["note"])
            if not file.exists():
                _download(row, progress)
    for row in verify(name, folder):
        file, got = row["path"], row["got"]
        if row["status"] == "wrong":
            wanted = row["sha256"] or "the one of its first download"
            raise UserError(f"{file} has sha256 {got}, not {wanted}; delete it and fetch {name} again.")
        if row["status"] == "no hash known":
            writing.write_text(row["note"], f"{got}  {file.name}\n")
            print(f"{file.name}: no public hash is known, trusted on first use with sha256 {got}")
    return path(name, folder=folder)


def _files(name: str, folder: Path | None) -> list[dict]:
    """A checkpoint's files and where each lies or goes: folder, $FISHLIB_WEIGHTS or the user's cache."""
    entry = manifest().get(name)
    if entry is None:
        raise UserError(f"There is no checkpoint {name!r}; choose one of {', '.join(manifest())}.")
    root, rows = (Path(folder).expanduser().resolve() if folder else home()), []
    for file in entry["files"]:
        target = (root / entry.get("folder", "") / file["file"]).resolve()
        if not target.is_relative_to(root):
            raise UserError(f"{target} lies outside {root}; correct the name of the file in {MANIFEST}.")
        there = quote(file.get("path", file["file"]), safe="+/")
        row = {fact: entry.get(fact) for fact in ("for", "licence", "repository", "revision")}
        row |= {"name": name, "gated": entry.get("gated", ""), "path": target}
        row |= {"size": file["size"], "sha256": file["sha256"], "urls": [base + there for base in entry["from"]]}
        rows.append(row | {"note": target.with_name(target.name + ".sha256")})
    return rows


def _download(row: dict, progress: bool) -> None:
    """Ask the addresses in order, each again after a cut connection, until one gives the whole file."""
    part = row["path"].with_name(row["path"].name + ".part")
    said = {}
    refused = False
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        for url in row["urls"]:
            for _ in range(TRIES):
                try:
                    _receive(url, part, row, progress)
                    part.replace(row["path"])
                    return
                except requests.HTTPError as error:  # an answer, and no use asking again
                    said[url] = str(error)
                    refused |= error.response is not None and error.response.status_code in (401, 403)
                    break
                except requests.RequestException as error:
                    said[url] = f"the connection failed or was cut ({type(error).__name__})"
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full" if full else f"it cannot be written ({error.strerror})"
        raise UserError(f"{row['path']} was not saved: {why}; make room or choose another folder.") from error
    if not row["sha256"]:  # nothing may go on from it
        part.unlink(missing_ok=True)
    kept = f", {part.name} is kept to go on from" if part.exists() else ""
    answers = "; ".join(f"{url}: {answer}" for url, answer in said.items())
    if refused and row["gated"]:
        by_hand = f"or put the file there yourself from a browser: {row['path']}"
        raise UserError(f"{row['path'].name} was refused{access([row['name']])}, {by_hand} ({answers}).")
    raise UserError(f"{row['path']} could not be downloaded{kept}; try again later ({answers}).")


def _receive(url: str, part: Path, row: dict, progress: bool) -> None:
    """One answer of one address into `part`: never more bytes than the manifest says, never at a crawl for hours.

    Raises requests.HTTPError for a wrong answer, another RequestException for a lost or endlessly slow connection,
    any other OSError for the disk.
    """
    size, sha256 = row["size"], row["sha256"]
    have = part.stat().st_size if sha256 and part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    token = _token() if row["gated"] and url.startswith(HUB) else ""
    with requests.get(url, headers=headers, auth=_showing(token), stream=True, timeout=TIMEOUT) as reply:
        if reply.status_code == 416:  # nothing is left to send: begin anew, the part was never checked
            part.unlink(missing_ok=True)
            raise requests.ConnectionError("range not satisfiable")
        reply.raise_for_status()
        start = have if reply.status_code == 206 else 0  # a server without Range sends all of it again
        total = _offered(reply, start) or size
        if size and total != size:
            raise requests.HTTPError(f"offers {total} bytes instead of {size}")
        if total and total - start > shutil.disk_usage(part.parent).free:
            raise OSError(errno.ENOSPC, "too little space")

        bar = tqdm(desc=part.stem, total=total, initial=start, unit="B", unit_scale=True, disable=not progress)
        with bar, part.open("ab" if start else "wb") as f:
            for block in _bounded(reply, (size or MAX_UNKNOWN) - start, part):
                bar.update(f.write(block))
    if sha256 and (got := cache.file_hash(part)) != sha256:
        part.unlink()
        raise requests.HTTPError(f"sent a file with sha256 {got} instead of {sha256}, which was removed")


def _showing(token: str) -> Callable:
    """What requests calls to sign a request; also without a token, else it would take one from a .netrc file. Where an
    answer leads on to another host, requests leaves the token out."""

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


def _token() -> str:
    """The user's token of the hub: the variable HF_TOKEN, else what `hf auth login` left; "" where there is none.

    UserError, without the token, for text that no token is.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    if not token:
        cache_home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        home_of_the_hub = os.environ.get("HF_HOME") or Path(cache_home, "huggingface")
        file = Path(os.environ.get("HF_TOKEN_PATH") or Path(home_of_the_hub, "token")).expanduser()
        with suppress(OSError), file.open("rb") as f:
            token = f.read(MAX_TOKEN).decode("utf-8", "replace").strip()
    if not (token.isascii() and token.isprintable()):
        raise UserError("The hub's token (HF_TOKEN or the file of `hf auth login`) is no token; log in anew.")
    return token


def _offered(reply: requests.Response, start: int) -> int | None:
    """Bytes of the whole file as the answer has it; None where it does not say. HTTPError for an odd answer."""
    coding = reply.headers.get("Content-Encoding", "identity")
    if coding != "identity":  # compressed, its size would say nothing of what comes out
        raise requests.HTTPError(f"sends the file as {coding[:20]!r}, which was not asked for")
    length = reply.headers.get("Content-Length")
    if not length:
        return None
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        raise requests.HTTPError(f"says a length of {length[:20]!r}")
    return start + int(length)


def _block(reply: requests.Response) -> bytes:
    """What has come of an answer, at most 64 KiB, without waiting for more; b"" at its end. RequestException."""
    try:
        return reply.raw.read1(1 << 16)
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(str(error)) from error


def _bounded(reply: requests.Response, most: int, part: Path) -> Iterator[bytes]:
    """The blocks of an answer; HTTPError, `part` removed, after more than `most` bytes; a crawl is a cut."""
    begun = time.monotonic()
    came = 0
    while block := _block(reply):
        came += len(block)
        if came > most:
            part.unlink(missing_ok=True)
            raise requests.HTTPError("sends more bytes than the file has")
        yield block
        seconds = time.monotonic() - begun
        if seconds > PATIENCE and came < SLOWEST * seconds:
            raise requests.ConnectionError("too slow")
