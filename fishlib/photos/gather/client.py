"""Asks services and the hosts of photos: at their pace, with patience that ends, and answers that are bounded.

Plain REST over one requests.Session, with no client library: pygbif calls requests by itself, without a session, a
time-out or a second try; pyinaturalist takes a session, but brings a cache on disk and a clock of its own that a test
cannot turn. The five kinds of request made here need neither.
"""

import http.client
import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from fishlib.errors import UserError

TRIES = 6  # so often a question is asked; between two of them 2, 4, 8, 16 and 32 seconds
PATIENCE = 900.0  # seconds that the pauses for one answer may take in all
CONNECT, SILENCE = 10.0, 30.0  # seconds until there is a connection, and between two pieces of an answer
ONE_ANSWER = 180.0  # seconds for one answer in all, however it drips
MAX_PAGE = 64 << 20  # bytes of a page of a service; 200 observations with all their comments have a few MB
MAX_PHOTO = 40 << 20  # bytes of a photo; the largest JPEGs of cameras have some 30 MB
GIVEN_UP = 3  # photos in a row without an answer
BLOCK = 1 << 16
REDIRECTS = 5
MOVED = {301, 302, 303, 307, 308}
GONE = {401, 403, 404, 410, 451}  # the hosts of iNaturalist answer 403 for what is not there
LATER = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524}
NO_PICTURE = re.compile(r"(text|audio|video|font|model|message|multipart)/|application/(?!octet-stream|binary)")
HOUR = 3600.0

Answer = TypeVar("Answer")


class Gone(Exception):
    """The photo is not there (any more)."""


class Refused(Exception):
    """What is there is no photo that is taken: too large, another kind of file, an address that leads nowhere."""


class Failed(Exception):
    """No answer for now. wait: seconds that the host asks for, None where it says nothing."""

    def __init__(self, why: str, wait: float | None = None):
        super().__init__(why)
        self.wait = wait


class ServiceDown(UserError):
    """A service does not answer, or not in the form it is known for."""


class Clock(NamedTuple):
    """Time, so that tests need not wait for it."""

    now: Callable[[], float] = time.monotonic  # seconds from any start
    sleep: Callable[[float], None] = time.sleep
    wall: Callable[[], float] = time.time  # seconds since 1970

    def today(self) -> str:
        return datetime.fromtimestamp(self.wall(), UTC).strftime("%Y-%m-%d")


class Limits(NamedTuple):
    """What iNaturalist asks of clients (API documentation and recommended practices); GBIF is asked no faster."""

    requests_a_minute: float = 60.0  # of one service
    photos_a_second: float = 1.0
    bytes_an_hour: int = 5_000_000_000


class Client:
    """Questions to services and photos of hosts, one at a time.

    session: its adapters make the connections (those of a test lead to a server of its own). headers are set here.
    """

    def __init__(
        self, session: requests.Session | None = None, clock: Clock | None = None, limits: Limits | None = None
    ):
        self.session = session or requests.Session()
        self.clock = clock or Clock()
        self.limits = limits or Limits()
        self._silent: Counter[str] = Counter()  # host -> photos in a row without an answer
        self._turns: dict[str, float] = {}  # who is asked -> not before that time
        self._received: deque[tuple[float, int]] = deque()  # (when, bytes) of the last hour, by this process

    def json(self, url: str, params: dict[str, Any] | None = None) -> Any:
        """What a service answers. ServiceDown, naming it, where there is no answer in spite of all patience."""
        service = urlsplit(url).hostname or url
        pause = 60.0 / self.limits.requests_a_minute

        def ask() -> Any:
            self._take_turn(service, pause)
            headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
            try:
                return json.loads(self._get(url, params, headers, MAX_PAGE))
            except (ValueError, RecursionError) as error:
                raise Failed("what it sent is no JSON") from error

        try:
            return self._patiently(ask)
        except (Failed, Refused, Gone) as error:
            raise ServiceDown(f"{service} does not answer ({error}); run the same command again later.") from error

    def photo(self, url: str) -> bytes:
        """The bytes of a picture file, not looked into yet. Gone, Refused or Failed where there are none to be had.

        A host that did not answer for GIVEN_UP photos in a row is not asked any more.
        """
        host = urlsplit(url).hostname or ""
        if self._silent[host] >= GIVEN_UP:
            raise Failed(f"{host} did not answer for {GIVEN_UP} photos before")

        def ask() -> bytes:
            self._hold_volume()
            self._take_turn("photos", 1.0 / self.limits.photos_a_second)
            headers = {"Accept": "image/*", "Accept-Encoding": "identity"}
            return self._get(url, None, headers, MAX_PHOTO, _hold_picture)

        try:
            data = self._patiently(ask)
        except Failed:
            self._silent[host] += 1
            raise
        self._silent[host] = 0
        return data

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        waited = 0.0
        for attempt in range(1, TRIES + 1):
            try:
                return ask()
            except Failed as error:
                pause = 2.0**attempt if error.wait is None else error.wait
                if attempt == TRIES or waited + pause > PATIENCE:
                    raise
                self.clock.sleep(pause)
                waited += pause
        raise AssertionError("the last try returns or raises")

    def _get(
        self,
        url: str,
        params: dict[str, Any] | None,
        headers: dict[str, str],
        most: int,
        hold: Callable[[requests.Response], None] = lambda reply: None,
    ) -> bytes:
        """The body behind an address, redirects followed. hold: raises for an answer that is not to be read."""
        deadline = self.clock.now() + ONE_ANSWER
        for _ in range(REDIRECTS + 1):
            with closing(self._send(url, params, headers)) as reply:
                if reply.status_code not in MOVED:
                    self._judge(reply)
                    hold(reply)
                    return self._body(reply, most, deadline)
                target = urljoin(url, reply.headers.get("Location", ""))
            if target == url:
                break
            url, params = target, None
        raise Refused("its address leads in circles, or on and on to others")

    def _send(self, url: str, params: dict | None, headers: dict[str, str]) -> requests.Response:
        """One request, its answer's body not read.

        By the session's adapter and not by session.get, which reads the whole body of a redirect, however long.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise Refused(f"{url[:200]} is no address that starts with http:// or https://")
        try:
            request = requests.Request("GET", url, params=params, headers=headers | {"User-Agent": _user_agent()})
            prepared = self.session.prepare_request(request)
            settings = self.session.merge_environment_settings(prepared.url, {}, True, None, None)
            adapter = self.session.get_adapter(prepared.url)
            return adapter.send(prepared, timeout=(CONNECT, SILENCE), **settings)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError) as error:
            raise Refused(f"{url[:200]} is no address") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise Failed(f"the connection failed ({type(error).__name__})") from error

    def _judge(self, reply: requests.Response) -> None:
        status = reply.status_code
        if status == 200:
            return
        if status in LATER:
            wait = self._asked_to_wait(reply)
            pause = f", which asks to wait {wait:.0f} seconds" if wait else ""
            raise Failed(f"answer {status}{pause}", wait)
        if status in GONE:
            raise Gone(f"answer {status}")
        raise Refused(f"answer {status}")

    def _asked_to_wait(self, reply: requests.Response) -> float | None:
        """Seconds of a Retry-After header, which states seconds or a date; None without a readable one."""
        said = reply.headers.get("Retry-After", "").strip()
        if said.isascii() and said.isdigit():
            return float(said[:9])
        try:
            return max(0.0, parsedate_to_datetime(said).timestamp() - self.clock.wall())
        except (ValueError, TypeError, OverflowError):
            return None

    def _body(self, reply: requests.Response, most: int, deadline: float) -> bytes:
        declared = reply.headers.get("Content-Length", "")
        length = int(declared) if declared.isascii() and declared.isdigit() else None
        if length is not None and length > most:
            raise Refused(f"it has {length / 1e6:,.0f} MB, more than the {most / 1e6:,.0f} MB that are taken")
        read = getattr(reply.raw, "read1", reply.raw.read)  # what is there already; read would wait for a whole block
        body = bytearray()
        try:
            while block := read(BLOCK, decode_content=True):
                body += block
                if len(body) > most:
                    raise Refused(f"it has more than the {most / 1e6:,.0f} MB that are taken")
                if self.clock.now() > deadline:
                    raise Failed(f"it took longer than {ONE_ANSWER:.0f} seconds")
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise Failed(f"the connection was cut ({type(error).__name__})") from error
        finally:
            self._received.append((self.clock.now(), len(body)))
        encoded = reply.headers.get("Content-Encoding", "identity").casefold() != "identity"
        if length is not None and not encoded and len(body) < length:
            raise Failed("the connection was cut")
        return bytes(body)

    def _take_turn(self, who: str, pause: float) -> None:
        """Wait until `pause` seconds have gone by since who was asked last."""
        wait = self._turns.get(who, 0.0) - self.clock.now()
        if wait > 0:
            self.clock.sleep(wait)
        self._turns[who] = self.clock.now() + pause

    def _hold_volume(self) -> None:
        """Wait until the bytes of the last hour leave room."""
        while True:
            while self._received and self._received[0][0] <= self.clock.now() - HOUR:
                self._received.popleft()
            if sum(size for _, size in self._received) < self.limits.bytes_an_hour:
                return
            self.clock.sleep(self._received[0][0] + HOUR - self.clock.now())


def _hold_picture(reply: requests.Response) -> None:
    kind = reply.headers.get("Content-Type", "").strip().casefold()
    if NO_PICTURE.match(kind):
        raise Refused(f"its host sends {kind.split(';')[0]}, no picture")


def _user_agent() -> str:
    try:
        number = version("fishlib")
    except PackageNotFoundError:
        number = "unknown"
    return f"fishlib/{number} (study of background removal in photos of fish; python-requests/{requests.__version__})"
