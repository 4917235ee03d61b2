"""iNaturalist, GBIF and the hosts of their photos, played by one server on 127.0.0.1.

A client reaches it by its session: `session(port)` leads every address to the server, the host as the first part of
the path. Run as a program it gathers into a folder, for tests that kill it: gather_services.py PORT OUT EACH.
"""

import io
import json
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import requests
from PIL import Image
from requests.adapters import HTTPAdapter

OPEN_DATA = "inaturalist-open-data.s3.amazonaws.com"
PICTURES = "pictures.example.org"
START = 1_700_000_000.0  # 2023-11-14
CC_BY = "http://creativecommons.org/licenses/by/4.0/"


class FakeTime:
    """A clock that sleeping turns; each look at it takes `tick` seconds."""

    def __init__(self, tick: float = 0.0):
        self.seconds, self.tick, self.slept = 0.0, tick, []

    def now(self) -> float:
        self.seconds += self.tick
        return self.seconds

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.seconds += seconds

    def wall(self) -> float:
        return START + self.seconds

    def clock(self):
        from fishlib.photos.gather.client import Clock

        return Clock(self.now, self.sleep, self.wall)


class ToServer(HTTPAdapter):
    """Sends every request to the server on this machine, whatever host it names."""

    def __init__(self, port: int):
        super().__init__()
        self.port = port

    def send(self, request, **settings):
        address = urlsplit(request.url)
        query = f"?{address.query}" if address.query else ""
        request.url = f"http://127.0.0.1:{self.port}/{address.netloc}{address.path}{query}"
        return super().send(request, **settings | {"proxies": {}})


def session(port: int) -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    made.mount("https://", ToServer(port))
    made.mount("http://", ToServer(port))
    return made


def picture(seed: int, size=(120, 80), noise: int = 0, exif: Image.Exif | None = None) -> bytes:
    """A JPEG of coarse blocks; another seed looks otherwise, noise changes the bytes and hardly the looks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    image = np.asarray(Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)).astype(int)
    if noise:
        image = image + np.random.default_rng(noise).integers(-2, 3, image.shape)
    buffer = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=95, exif=exif or Image.Exif())
    return buffer.getvalue()


def taxon(number: int, name: str, other=(), active=True, successors=(), rank_level=10) -> dict:
    return {
        "id": number, "name": name, "rank_level": rank_level, "is_active": active,
        "iconic_taxon_name": "Actinopterygii", "current_synonymous_taxon_ids": list(successors) or None,
        "other": list(other),
    }  # fmt: skip


def observation(number: int, taxon_id: int, photos, user=1, observed_on="2020-05-01", places=(), **more) -> dict:
    """photos: numbers, or pairs of number and licence; the licence is cc-by without."""
    pairs = [photo if isinstance(photo, tuple) else (photo, "cc-by") for photo in photos]
    return {
        "id": number, "taxon_id": taxon_id, "observed_on": observed_on, "place_ids": list(places),
        "location": "35.123456,139.654321", "place_guess": "12 Harbour Road",
        "user": {"id": user, "login": f"user{user}", "name": f"Person {user} <person{user}@example.org>"},
        "photos": [
            {"id": n, "license_code": code, "flags": [], "url": f"https://{OPEN_DATA}/photos/{n}/square.jpg?1"}
            for n, code in pairs
        ],
    } | more  # fmt: skip


def record(key: int, taxon_key: int, media, by="Anna", date="2020-05-01T10:00", dataset="d1", country="Japan") -> dict:
    """media: pairs of a name at PICTURES, and a licence."""
    return {
        "key": key, "taxonKey": taxon_key, "datasetKey": dataset, "recordedBy": by, "eventDate": date,
        "country": country, "countryCode": "JP", "decimalLatitude": 35.123456, "license": CC_BY,
        "media": [
            {"type": "StillImage", "identifier": f"http://{PICTURES}/{name}", "license": licence, "creator": by}
            for name, licence in media
        ],
    }  # fmt: skip


class Services:
    """What the services know, what was asked of them, and how single answers go wrong.

    seen: paths with their host, in order. bad: path with its host -> list of functions of the handler, one for each
    time it is asked, None for a right answer; the last one stays. before: called with each path before its answer.
    """

    def __init__(self) -> None:
        self.taxa: list[dict] = []
        self.observations: list[dict] = []
        self.records: list[dict] = []
        self.matches: dict[str, dict] = {}
        self.pictures: dict[str, bytes] = {}  # path with its host -> bytes; iNaturalist's are drawn by number
        self.places: list[dict] = []
        self.seen: list[str] = []
        self.queries: list[dict[str, list[str]]] = []
        self.agents: set[str] = set()
        self.bad: dict[str, list] = {}
        self.before = lambda path: None
        self.most_a_page = 200

    def species(self, number: int, name: str) -> None:
        """A species both services know by the same name; GBIF's number is the negative one's absolute plus 9000."""
        self.taxa.append(taxon(number, name))
        self.matches[name] = {
            "usageKey": 9000 + number, "canonicalName": name, "rank": "SPECIES", "status": "ACCEPTED",
            "matchType": "EXACT", "kingdom": "Animalia", "species": name,
        }  # fmt: skip

    def photos_seen(self) -> list[str]:
        return [path for path in self.seen if not path.startswith("/api.")]

    def pages_seen(self) -> list[str]:
        return [path for path in self.seen if path.startswith("/api.")]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        address = urlsplit(handler.path)
        query = parse_qs(address.query)
        self.seen.append(address.path)
        self.queries.append(query)
        self.agents.add(handler.headers.get("User-Agent", ""))
        self.before(address.path)
        planned = self.bad.get(address.path, [])
        spoilt = (planned.pop(0) if len(planned) > 1 else planned[0]) if planned else None
        if spoilt is not None:
            spoilt(handler)
            return
        first = {name: values[0] for name, values in query.items()}
        _, host, *parts = address.path.split("/")
        if host == "api.inaturalist.org":
            self._inaturalist(handler, parts[1:], first)
        elif host == "api.gbif.org":
            self._gbif(handler, parts[1:], query, first)
        else:
            self._picture(handler, address.path, host, parts)

    def _inaturalist(self, handler, parts: list[str], asked: dict[str, str]) -> None:
        if parts == ["taxa"]:
            send_json(handler, {"results": self._taxa(asked)})
        elif parts == ["observations"]:
            self._observations(handler, asked)
        elif parts[:1] == ["places"]:
            numbers = parts[1].split(",")
            found = [p for p in self.places if str(p["id"]) in numbers and p["admin_level"] == 0]
            if parts[1] == "autocomplete":
                found = [p for p in self.places if asked["q"].casefold() in p["display_name"].casefold()]
            send_json(handler, {"results": found})

    def _taxa(self, asked: dict[str, str]) -> list[dict]:
        if "id" in asked:
            return [t for t in self.taxa if str(t["id"]) in asked["id"].split(",")]
        found = []
        for one in self.taxa:
            names = [one["name"], *one["other"]]
            matched = [name for name in names if asked["q"].casefold() in name.casefold()]
            if matched:
                found.append({**one, "matched_term": matched[0]})
        return found

    def _observations(self, handler, asked: dict[str, str]) -> None:
        per_page = min(int(asked["per_page"]), self.most_a_page)
        if int(asked.get("page", 1)) * per_page > 10_000:
            send_json(handler, {"error": "Result window is too large", "status": 403}, 403)
            return
        allowed = asked["photo_license"].split(",")
        found = [
            o
            for o in self.observations
            if str(o["taxon_id"]) == asked["taxon_id"]
            and o["id"] > int(asked["id_above"])
            and any(photo["license_code"] in allowed for photo in o["photos"])
            and asked.get("d1", "") <= o["observed_on"] <= asked.get("d2", "9999")
            and ("place_id" not in asked or int(asked["place_id"]) in o["place_ids"])
        ]
        found.sort(key=lambda o: o["id"])
        send_json(handler, {"total_results": len(found), "results": found[:per_page]})

    def _gbif(self, handler, parts: list[str], asked: dict[str, list[str]], first: dict[str, str]) -> None:
        if parts == ["species", "match"]:
            send_json(handler, self.matches.get(first["name"], {"matchType": "NONE", "confidence": 100}))
        elif parts == ["enumeration", "country"]:
            send_json(handler, [{"iso2": "JP", "iso3": "JPN", "title": "Japan"}])
        elif parts == ["occurrence", "search"]:
            offset, limit = int(first["offset"]), min(int(first["limit"]), 300)
            if offset + limit > 100_000:
                send_json(handler, {"error": "offset + limit is too large"}, 400)
                return
            found = [r for r in self.records if str(r["taxonKey"]) == first["taxonKey"]]
            page = found[offset : offset + limit]
            end = offset + limit >= len(found)
            send_json(handler, {"offset": offset, "count": len(found), "endOfRecords": end, "results": page})

    def _picture(self, handler, path: str, host: str, parts: list[str]) -> None:
        data = self.pictures.get(path)
        if data is None and host == OPEN_DATA:
            data = picture(int(parts[1]))
        if data is None:
            send(handler, 404, b"not there")
            return
        send(handler, 200, data, {"Content-Type": "image/jpeg"})


def send(handler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def send_json(handler, value, status: int = 200) -> None:
    send(handler, status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"})


def status(number: int, **headers: str):
    """A planned answer: that status, headers with - for _."""
    return lambda handler: send(handler, number, b"", {name.replace("_", "-"): v for name, v in headers.items()})


def cut(handler) -> None:
    """Half of what is announced, then the connection ends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "image/jpeg")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"x" * 500)
    handler.close_connection = True


def at_path(path: str, host: str = OPEN_DATA) -> str:
    return f"/{host}/{path}"


def large(number: int) -> str:
    """The path of a photo of iNaturalist, in the size that is fetched."""
    return at_path(f"photos/{number}/large.jpg")


@contextmanager
def served(services: Services):
    """The port of a server that answers for the services while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            services.answer(self)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # a client that hangs up or is killed is part of the tests
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def client(port: int, time: FakeTime | None = None):
    from fishlib.photos.gather.client import Client

    return Client(session(port), (time or FakeTime()).clock())


def twice(paths: list[str]) -> list[str]:
    return [path for path, count in Counter(paths).items() if count > 1]


if __name__ == "__main__":
    from fishlib.photos.gather import collect, options

    port, out, each = sys.argv[1:]
    wanted = options.checked(each=int(each))
    collect.collect(out, ["Thunnus obesus", "Auxis rochei"], wanted, client=client(int(port)), progress=False)
