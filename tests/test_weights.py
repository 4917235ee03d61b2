"""Checkpoints: every download here comes from a small server on 127.0.0.1 that misbehaves on request."""

import errno
import hashlib
import os
import shutil
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from fishlib import cli, weights
from fishlib.errors import NotRun, UserError
from fishlib.files import locks

DATA = bytes(range(256)) * 3000
HASH = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server(monkeypatch):
    """Serves DATA under every path. .seen: (path, Range) of each request; .signed: what each was signed with; .cuts: so
    many answers stop half way; .ranges: are Range requests understood; .paths: path -> (status, headers) to answer
    instead."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            http.seen.append((self.path, asked))
            http.signed.append(self.headers.get("Authorization"))
            if self.path in http.paths:
                status, headers = http.paths[self.path]
                self.send_response(status)
                for key, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                return
            start = int(asked[6:-1]) if asked and http.ranges else 0
            if start >= len(http.data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if self.path in http.odd:
                http.odd[self.path](self)
                return
            self.send_header("Content-Length", str(len(http.data) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(http.data) - 1}/{len(http.data)}")
            self.end_headers()
            end = len(http.data)
            if http.cuts:
                http.cuts -= 1
                end = start + (end - start) // 2
            self.wfile.write(http.data[start:end])

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.data, http.seen, http.cuts, http.ranges, http.paths = DATA, [], 0, True, {}
    http.signed = []
    http.odd = {}  # path -> what answers in its own way from the headers on
    http.handle_error = lambda *_: None  # a client that hangs up is part of the tests
    http.url = f"http://127.0.0.1:{http.server_port}/"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield http
    http.shutdown()
    http.server_close()


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
    """fetch(**facts of the one file) of a manifest that points at the server; it goes to tmp_path/weights."""

    def fetch(name="tiny", **facts):
        file = {"file": "tiny.pth", "size": len(DATA), "sha256": HASH} | facts
        entry = {"for": "tests", "licence": "none", "from": file.pop("urls", [server.url]), "files": [file]}
        entry |= {fact: file.pop(fact) for fact in ("gated",) if fact in file}
        (tmp_path / "weights.yaml").write_text(yaml.safe_dump({"tiny": entry}))
        return weights.fetch(name, progress=False)

    monkeypatch.setattr(weights, "MANIFEST", tmp_path / "weights.yaml")
    monkeypatch.setattr(weights, "TRIES", 1)
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path / "weights"))
    return fetch


def files(tmp_path):
    return sorted(p.name for p in (tmp_path / "weights").glob("*") if p.suffix not in (".sha256", ".lock"))


def test_a_download_is_checked_listed_and_not_repeated(fetch, server, tmp_path):
    path = fetch()
    assert path.read_bytes() == DATA and files(tmp_path) == ["tiny.pth"]
    assert fetch() == path == weights.path("tiny", offline=True) and len(server.seen) == 1
    [row] = weights.list_()
    assert (row["name"], row["present"], row["status"]) == ("tiny", True, "ok")


def test_a_cut_connection_is_gone_on_with_by_the_next_call(fetch, server, tmp_path):
    server.cuts = 1
    with pytest.raises(UserError, match=r"tiny\.pth could not be downloaded, tiny\.pth\.part is kept"):
        fetch()
    assert files(tmp_path) == ["tiny.pth.part"]
    part = (tmp_path / "weights" / "tiny.pth.part").read_bytes()
    assert part and DATA.startswith(part)
    assert fetch().read_bytes() == DATA and files(tmp_path) == ["tiny.pth"]
    assert server.seen == [("/tiny.pth", None), ("/tiny.pth", f"bytes={len(part)}-")]


def test_a_cut_connection_is_gone_on_with_within_one_call(fetch, server, monkeypatch):
    monkeypatch.setattr(weights, "TRIES", 3)
    server.cuts = 2
    assert fetch().read_bytes() == DATA and len(server.seen) == 3


def test_a_server_without_range_sends_all_of_it_again(fetch, server):
    server.cuts, server.ranges = 1, False
    with pytest.raises(UserError):
        fetch()
    assert fetch().read_bytes() == DATA


def test_without_a_public_hash_a_part_is_never_joined(fetch, server, tmp_path):
    server.cuts = 1
    with pytest.raises(UserError, match="cut"):
        fetch(sha256=None, size=None)
    assert files(tmp_path) == []
    assert fetch(sha256=None, size=None).read_bytes() == DATA
    assert [asked for _, asked in server.seen] == [None, None]


@pytest.mark.parametrize("left", [DATA, DATA + b"more", b"other" * 9])
def test_what_an_ended_program_left_is_used_or_replaced(fetch, server, tmp_path, monkeypatch, left):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "tiny.pth.part").write_bytes(left)
    monkeypatch.setattr(weights, "TRIES", 2)
    if left.startswith(b"other"):  # its hash tells at the end; then all of it is asked for anew
        with pytest.raises(UserError, match="sha256"):
            fetch()
    assert fetch().read_bytes() == DATA
    assert files(tmp_path) == ["tiny.pth"]


@pytest.mark.parametrize("data", [DATA[:-1] + b"x", DATA[:1000]])
def test_a_wrong_file_is_removed_and_named(fetch, server, tmp_path, data):
    server.data = data
    with pytest.raises(UserError) as caught:
        fetch(size=len(data))
    got = hashlib.sha256(data).hexdigest()
    assert got in str(caught.value) and HASH in str(caught.value) and "tiny.pth" in str(caught.value)
    assert files(tmp_path) == []


def test_a_wrong_size_is_refused_before_the_download(fetch, server, tmp_path):
    with pytest.raises(UserError, match=f"offers {len(DATA)} bytes instead of 7"):
        fetch(size=7)
    assert files(tmp_path) == []


def test_the_next_address_is_asked(fetch, server):
    server.paths = {"/gone/tiny.pth": (404, {})}
    assert fetch(urls=[server.url + "gone/", server.url]).read_bytes() == DATA
    assert [path for path, _ in server.seen] == ["/gone/tiny.pth", "/tiny.pth"]


@pytest.mark.parametrize(("status", "headers"), [(404, {}), (500, {}), (302, {"Location": "ftp://127.0.0.1/tiny.pth"})])
def test_an_error_of_the_server_is_one_sentence(fetch, server, tmp_path, status, headers):
    server.paths = {"/tiny.pth": (status, headers)}
    with pytest.raises(UserError, match="InvalidSchema" if headers else str(status)) as caught:
        fetch()
    assert "\n" not in str(caught.value) and files(tmp_path) == []


def test_other_schemes_read_nothing(fetch, tmp_path):
    (tmp_path / "tiny.pth").write_bytes(DATA)
    with pytest.raises(UserError, match="could not be downloaded"):
        fetch(urls=[tmp_path.as_uri() + "/"])
    assert files(tmp_path) == []


def test_a_server_that_is_not_there(fetch, server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with pytest.raises(UserError, match="connection failed"):
        fetch(urls=[dead])
    assert fetch(urls=[dead, server.url]).read_bytes() == DATA


def test_too_little_space_is_seen_before_the_download(fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 5, 5))
    with pytest.raises(UserError, match="the disk is full"):
        fetch()
    assert files(tmp_path) == []


def test_a_disk_that_fills_up_leaves_nothing(fetch, tmp_path, monkeypatch):
    opened = Path.open

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, block):
            if self.file.tell() > 200_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(block)

    def open_(self, mode="r", *args, **kwargs):
        file = opened(self, mode, *args, **kwargs)
        return Full(file) if self.suffix == ".part" and mode in ("wb", "ab") else file

    monkeypatch.setattr(Path, "open", open_)
    with pytest.raises(UserError, match=r"tiny\.pth was not saved: the disk is full"):
        fetch()
    assert files(tmp_path) == []


@pytest.mark.parametrize("trouble", ["cut", "wrong", "full"])
def test_the_command_says_it_in_one_sentence_and_leaves_no_broken_file(
    fetch, server, tmp_path, monkeypatch, capsys, trouble
):
    fetch()  # writes the manifest
    (tmp_path / "weights" / "tiny.pth").unlink()
    if trouble == "full":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 5, 5))
    server.cuts, server.data = int(trouble == "cut"), DATA[::-1] if trouble == "wrong" else DATA
    monkeypatch.setattr("sys.argv", ["fishlib", "weights", "fetch", "tiny"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr().err.splitlines()[-1]  # after the progress bar
    words = {"cut": "could not be downloaded", "wrong": "sha256", "full": "the disk is full"}
    assert stopped.value.code == 2 and "fishlib: " in said and "tiny.pth" in said and words[trouble] in said
    assert files(tmp_path) == ["tiny.pth.part"] * (trouble == "cut")


def test_a_folder_that_cannot_be_made_is_named(fetch, tmp_path):
    (tmp_path / "weights").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        fetch()


def test_first_use_is_trusted_named_and_held_against_later_checks(fetch, tmp_path, capsys):
    path = fetch(sha256=None, size=None)
    assert f"trusted on first use with sha256 {HASH}" in capsys.readouterr().out
    assert weights.list_()[0]["status"] == weights.verify("tiny")[0]["status"] == "first use"
    path.write_bytes(DATA[::-1])
    assert weights.verify("tiny")[0]["status"] == "wrong"
    with pytest.raises(UserError, match="first download"):
        fetch(sha256=None, size=None)


def test_verify_sees_what_changed_and_list_does_not_claim_it_is_checked(fetch, tmp_path):
    path = fetch()
    path.write_bytes(DATA[::-1])
    note = path.with_name("tiny.pth.sha256")
    stamp = note.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(stamp, stamp))
    assert weights.list_()[0]["status"] == "not checked"
    assert weights.verify()[0]["status"] == "wrong"
    with pytest.raises(UserError, match="delete it and fetch tiny again"):
        fetch()
    assert path.read_bytes() == DATA[::-1]
    path.unlink()
    assert weights.verify()[0]["status"] == "missing"


@pytest.mark.parametrize("file", ["../out.pth", "/etc/out.pth", "a/../../out.pth"])
def test_no_file_lies_outside_the_folder(fetch, tmp_path, file):
    with pytest.raises(UserError, match="lies outside"):
        fetch(file=file)
    assert not list(tmp_path.parent.glob("out.pth")) and not (tmp_path / "out.pth").exists()


def test_an_unknown_name_lists_the_known_ones(fetch):
    with pytest.raises(UserError, match="choose one of tiny"):
        fetch("tine")


def test_a_second_download_of_one_file_names_the_first(fetch, tmp_path):
    with locks.held(tmp_path / "weights", "fishlib weights fetch tiny", file="tiny.pth"):
        os.environ.pop(locks.HELD)  # as in another process
        with pytest.raises(locks.InUse, match=r"tiny\.pth is being written by fishlib weights fetch tiny \(process"):
            fetch()
    fetch()


@pytest.mark.parametrize("name", list(weights.manifest()))
@pytest.mark.parametrize("offline", [True, False])
def test_a_missing_checkpoint_is_named_without_a_network(tmp_path, monkeypatch, name, offline):
    def no_network(*_, **__):
        raise AssertionError("touched the network")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    with pytest.raises(NotRun, match=f"`fishlib weights fetch {name}`") as caught:
        weights.path(name, offline=offline)
    entry = weights.manifest()[name]
    folder = (tmp_path / entry.get("folder", "")).resolve()
    assert all(file["file"] in str(caught.value) for file in entry["files"]) and str(folder) in str(caught.value)
    assert {row["status"] for row in weights.verify()} == {"missing"} and not any(tmp_path.iterdir())


def test_a_truncated_copy_is_missing_and_a_local_path_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(b"half")
    with pytest.raises(NotRun, match="incomplete"):
        weights.path("sam_vit_b")
    assert not weights.list_("sam_vit_b")[0]["present"]
    assert weights.path(str(tmp_path / "sam_vit_b_01ec64.pth")) == tmp_path / "sam_vit_b_01ec64.pth"
    with pytest.raises(NotRun, match="neither a file"):
        weights.path(str(tmp_path / "nothing.pth"))


def test_a_folder_checkpoint_is_used_as_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    entry = weights.manifest()["bert"]
    folder = tmp_path / entry["folder"]
    folder.mkdir()
    for file in entry["files"]:
        with (folder / file["file"]).open("wb") as f:
            f.truncate(file["size"])  # sparse: the right size costs no space
    assert weights.path("bert") == folder.resolve()


def test_the_manifest_is_complete_and_https():
    for name, entry in weights.manifest().items():
        assert entry["for"] and entry["licence"] and entry["files"] and entry["repository"], name
        assert "revision" in entry and (entry["revision"] is None or str(entry["revision"])), name
        if entry["revision"] and "huggingface" in entry["from"][0]:
            assert f"{entry['repository']}/resolve/{entry['revision']}/" in entry["from"][0]
        assert all(url.startswith("https://") and url.endswith("/") for url in entry["from"])
        for file in entry["files"]:
            assert file["sha256"] is None or len(file["sha256"]) == 64 == len(file["sha256"].strip())
            assert file["size"] is None or file["size"] > 0


# Servers that mean no good


def endless(handler):
    """No length, and no end."""
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


def trickling(handler):
    """The right file, a byte at a time."""
    handler.send_header("Content-Length", str(len(DATA)))
    handler.end_headers()
    for byte in DATA:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.02)


def compressed(handler):
    """A gzip bomb: the size it states says nothing of what comes out."""
    handler.send_header("Content-Length", str(len(DATA)))
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(DATA)


def no_number(handler):
    handler.send_header("Content-Length", "abc")
    handler.end_headers()


@pytest.mark.parametrize(
    ("answer", "size", "said"),
    [
        (endless, len(DATA), "more bytes than the file has"),
        (endless, None, "more bytes than the file has"),
        (trickling, len(DATA), "cut"),
        (compressed, len(DATA), "gzip"),
        (no_number, len(DATA), "'abc'"),
    ],
)
def test_a_download_is_bounded_in_bytes_and_time(fetch, server, tmp_path, monkeypatch, answer, size, said):
    monkeypatch.setattr(weights, "PATIENCE", 0.5)
    monkeypatch.setattr(weights, "MAX_UNKNOWN", 4 << 20)
    server.odd["/tiny.pth"] = answer
    with pytest.raises(UserError, match=said):
        fetch(size=size, sha256=HASH if size else None)
    kept = [path.stat().st_size for path in (tmp_path / "weights").glob("tiny.pth*")]
    assert sum(kept) <= len(DATA)


# Files that their publisher gives to those alone who accepted a licence

TOKEN = "hf_not_a_real_one"
HOW = "sign in at https://example.org/tiny and accept the licence"


@pytest.fixture
def hub(server, monkeypatch, tmp_path):
    """The server is the hub; nobody is logged in."""
    monkeypatch.setattr(weights, "HUB", server.url)
    for variable in ("HF_TOKEN", "HF_TOKEN_PATH", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    return server


def log_in(tmp_path, token=TOKEN):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "token").write_text(f"{token}\n")


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_file_that_is_refused_says_how_to_get_it(fetch, hub, tmp_path, monkeypatch, status):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.paths = {"/tiny.pth": (status, {})}
    with pytest.raises(UserError) as caught:
        fetch(gated=HOW)
    said = str(caught.value)
    assert HOW in said and "hf auth login" in said and str(status) in said and "\n" not in said
    assert str(tmp_path / "weights" / "tiny.pth") in said  # where to put it by hand
    assert TOKEN not in said and files(tmp_path) == []


def test_a_refusal_of_what_is_not_gated_is_the_servers_error(fetch, hub, tmp_path):
    hub.paths = {"/tiny.pth": (403, {})}
    with pytest.raises(UserError, match=r"could not be downloaded.*403"):
        fetch()


def test_the_token_is_the_hubs_own_and_shown_to_the_hub_alone(fetch, hub, tmp_path, monkeypatch, capsys):
    path = fetch(gated=HOW)
    assert hub.signed == [None] and path.unlink() is None  # nobody is logged in
    log_in(tmp_path)
    fetch(gated=HOW).unlink()
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_variable")
    fetch(gated=HOW).unlink()
    fetch().unlink()  # whoever gives a file to anyone learns of no token
    assert hub.signed[1:] == [f"Bearer {TOKEN}", "Bearer hf_of_the_variable", None]
    monkeypatch.setattr(weights, "HUB", "https://example.org/")
    fetch(gated=HOW)
    assert hub.signed[4:] == [None]
    said = capsys.readouterr()
    assert "hf_" not in said.out + said.err
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and file.parent.name != "hub"]
    assert not [file for file in kept if b"hf_" in file.read_bytes()]


def test_the_token_does_not_follow_to_another_host(fetch, hub, tmp_path):
    log_in(tmp_path)
    elsewhere = f"http://localhost:{hub.server_port}/store/tiny.pth"
    hub.paths = {"/tiny.pth": (302, {"Location": elsewhere})}
    assert fetch(gated=HOW).read_bytes() == DATA
    assert [path for path, _ in hub.seen] == ["/tiny.pth", "/store/tiny.pth"]
    assert hub.signed == [f"Bearer {TOKEN}", None]


def test_no_password_of_another_file_is_sent(fetch, hub, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fetch(gated=HOW).unlink()
    fetch()
    assert hub.signed == [None, None]


@pytest.mark.parametrize("token", ["hf_ü", "hf_a\nX-Other: b", "hf_\x00"])
def test_what_is_no_token_is_not_sent_and_not_shown(fetch, hub, tmp_path, token):
    log_in(tmp_path, token)
    with pytest.raises(UserError, match="is no token") as caught:
        fetch(gated=HOW)
    assert "hf_" not in str(caught.value) and hub.seen == []


def test_a_gated_checkpoint_that_is_missing_says_so_before_any_download(fetch, hub):
    path = fetch(gated=HOW)
    path.unlink()
    with pytest.raises(NotRun, match=f"tiny is gated: {HOW}"):
        weights.path("tiny")
    assert weights.list_()[0]["gated"] == HOW


def test_a_file_may_have_another_name_where_it_comes_from(fetch, server):
    assert fetch(path="long-name.bin").name == "tiny.pth" and server.seen == [("/long-name.bin", None)]


# What a profile needs


def command(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["fishlib", "weights", "fetch", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


def test_a_profile_needs_what_its_methods_take_and_nothing_else(tmp_path):
    from fishlib import profiles
    from fishlib.naming import needs

    assert needs.of(profiles.load("demo")).names == []
    paper = needs.of(profiles.load("paper"))
    assert set(paper.names) == {"detic", "clip", "sam_vit_h", "groundingdino_swint_ogc", "bert", "swin_t"}
    assert paper.memory == sum(map(needs.known_bytes, ("sam_vit_h", "groundingdino_swint_ogc", "bert")))
    own = {
        "based_on": "demo", "method": "sam3", "compare": ["gdino-sam2", "rembg", "grabcut"], "backbone": "resnet18",
        "segmenters": {"gdino-sam2": {"gdino": "zoo", "sam2": "edgetam"}, "rembg": {"session": "silueta"}},
    }  # fmt: skip
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    assert needs.of(profiles.load(tmp_path / "own.yaml")).names == ["edgetam", "rembg_silueta", "sam3"]
    own["segmenters"]["sam3"] = {"masks": str(tmp_path)}  # made by another program
    own["segmenters"]["rembg"] = {"model": str(tmp_path / "u2net.onnx")}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    assert needs.of(profiles.load(tmp_path / "own.yaml")).names == ["edgetam"]


def test_fetching_for_a_profile_says_how_much_first_and_goes_on_after_a_refusal(hub, tmp_path, monkeypatch, capsys):
    facts = {"for": "tests", "licence": "none", "repository": "a/b", "revision": None, "from": [hub.url]}
    file = {"size": len(DATA), "sha256": HASH}
    listed = {
        "sam3": facts | {"gated": HOW, "folder": "sam3", "files": [{"file": "model.safetensors", **file}]},
        "rembg_u2net": facts | {"files": [{"file": "u2net.onnx", **file}]},
        "sam_vit_h": facts | {"files": [{"file": "sam.pth", **file}]},  # which this profile does not need
    }
    (tmp_path / "weights.yaml").write_text(yaml.safe_dump(listed))
    monkeypatch.setattr(weights, "MANIFEST", tmp_path / "weights.yaml")
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path / "weights"))
    own = {"based_on": "demo", "method": "sam3", "compare": ["sam3", "rembg"], "pretrainings": ["none"]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    hub.paths = {"/model.safetensors": (401, {})}

    assert command(monkeypatch, "--profile", str(tmp_path / "own.yaml")) == 2
    said = capsys.readouterr()
    assert "needs sam3, rembg_u2net" in said.out and "To fetch: 0.00 GB" in said.out and "Memory: more than" in said.out
    assert said.out.index("To fetch") < said.out.index("rembg_u2net:") and HOW in said.out
    assert "1 of 2 could not be fetched" in said.err and "model.safetensors was refused" in said.err
    assert files(tmp_path) == ["sam3", "u2net.onnx"] and "/sam.pth" not in [path for path, _ in hub.seen]

    hub.paths = {}
    assert command(monkeypatch, "--profile", str(tmp_path / "own.yaml")) == 0
    assert command(monkeypatch, "--profile", str(tmp_path / "own.yaml")) == 0
    assert "All of it is here." in capsys.readouterr().out


def test_fetch_without_a_name_says_what_to_give(monkeypatch, capsys):
    assert command(monkeypatch) == 2 and "--profile NAME" in capsys.readouterr().err
    assert command(monkeypatch, "--profile", "nowhere") == 2 and "demo, paper" in capsys.readouterr().err
