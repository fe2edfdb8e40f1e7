"""Faults around whole sites of acquiring, and the one oracle that judges what they left behind."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import struct
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from blake3 import blake3

from acquire_sites import AgentSite, Hub, Process
from filing_pictures import encoded, photo
from gallery_sites import until
from isthmus.acquire.client import Client, Told
from isthmus.acquire.delivery.package import INLINE_BYTES
from isthmus.acquire.filing.contents import content_path
from isthmus.acquire.ports import Event, Line, Which
from isthmus.acquire.states import LIVE, State

PATIENCE_S = 180.0
WORKER = b"isthmus.acquire.filing.worker"
_BASE = encoded(photo(7, 40, 30))
_LONGEST = 65_000


def picture(number: int, large: bool = False) -> bytes:
    """Return a JPEG that no other number has: one picture, with the number in a comment (T.81, B.2.4.5).

    A large one has so many comments that it is delivered by itself, in a file; others have a kilobyte.
    """
    told = f"picture {number}".encode()
    comments = [told, *([bytes(_LONGEST)] * (INLINE_BYTES // _LONGEST + 1) if large else ())]
    written = b"".join(b"\xff\xfe" + struct.pack(">H", len(one) + 2) + one for one in comments)
    return _BASE[:2] + written + _BASE[2:]


def pictures(folder: Path, count: int, large_every: int = 0) -> dict[str, bytes]:
    """Lay so many pictures into a folder, of which every so many-th is large; returns content by name."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        f"{number}.jpg": picture(number, large=bool(large_every) and number % large_every == 0)
        for number in range(count)
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return made


def slowly(rate: float, **more: object) -> str:
    """Return TOML that lets an agent begin so many requests a second, so that a batch lasts a while."""
    lines = "".join(f"{name} = {value}\n" for name, value in more.items())
    return f'[[agent.storage]]\nhosts = ["*"]\nrate = {rate}\nburst = 4\n{lines}'


def asked(base: str, names: Collection[str], label: str, **more: Any) -> list[dict[str, Any]]:
    """Make a wish for each name at a storage server; the name is the record."""
    return [{"address": f"{base}/{name}", "environment": label, "record": name, **more} for name in names]


class Watch:
    """A client that watches from the beginning and comes back by Last-Event-ID; keeps all that it is told."""

    def __init__(self, client: Client, batch: str) -> None:
        self._client, self._batch, self._stop = client, batch, threading.Event()
        self.told: list[Told] = []
        self.reconnected = 0
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(_Enough):
            for told in self._client.events(self._batch, waiting=self._wait):
                self.told.append(told)

    def _wait(self, seconds: float) -> None:
        self.reconnected += 1
        if self._stop.wait(min(seconds, 0.2)):
            raise _Enough

    def until(self, count: int, patience_s: float = PATIENCE_S) -> None:
        """Wait until so many events were told."""
        until(lambda: len(self.told) >= count, f"{count} events are told", patience_s)

    def stop(self) -> None:
        """End once the connection ends."""
        self._stop.set()


class _Enough(Exception):
    """Nobody watches any more."""


def lines_of(hub: Hub, batch: str = "", *states: State) -> list[Line]:
    """Read all requests, of a batch or of all."""
    found: list[Line] = []
    with hub.opened() as ledger:
        while more := ledger.lines(Which(batch=batch, states=states), found[-1].request if found else 0, 1000):
            found += more
    return found


def events_of(hub: Hub, batch: str) -> list[Event]:
    """Read all events of a batch."""
    found: list[Event] = []
    with hub.opened() as ledger:
        while more := ledger.events(found[-1].number if found else 0, 1000, batch=batch):
            found += more
    return found


def judge(
    hub: Hub, batch: str, contents: Mapping[str, bytes], watch: Watch, again: Collection[int] = ()
) -> Counter[str]:
    """Prove what holds of a batch that has ended, whatever happened meanwhile; return how many ended how.

    1. Each request has ended, and has one event of its end; those in `again` had failed before and have two.
    2. Who watched was told each event once, in order, across all reconnections.
    3. Each image that came is whole, is what lies at its address (`contents` by record), and is one file with the
       content that is stored once. Nothing else is among the images.
    """
    lines = lines_of(hub, batch)
    assert not [line.request for line in lines if line.state in LIVE]
    events = events_of(hub, batch)
    expected = Counter(line.request for line in lines) + Counter(again)
    assert Counter(event.request for event in events) == expected
    last = {event.request: event.kind for event in events}
    assert last == {line.request: line.state.word for line in lines}
    watch.until(len(events))
    assert [told.number for told in watch.told] == [event.number for event in events]
    assert [told.facts["request"] for told in watch.told] == [event.request for event in events]
    for line in lines:
        if line.state is State.DONE:
            whole(hub.images, line, contents[line.wish.record])
    everything_belongs(hub)
    return Counter(line.state.word for line in lines)


def whole(images: Path, line: Line, content: bytes) -> None:
    """Prove that the image of a request is there, is right, and is a link to its content."""
    filed = line.filed
    assert filed is not None
    file = images / filed.path
    stored = file.read_bytes()
    assert stored == content, line.wish.record
    assert blake3(stored).hexdigest() == filed.digest == filed.source_digest
    assert file.resolve().is_relative_to(images.resolve())
    assert file.samefile(content_path(str(images), filed))


def everything_belongs(hub: Hub) -> None:
    """Prove that among the images is nothing that no request has, and that no image lies anywhere else."""
    done = lines_of(hub, "", State.DONE)
    named = {line.filed.path for line in done if line.filed is not None}
    there = {
        str(file.relative_to(hub.images))
        for file in hub.images.rglob("*")
        if file.is_file() and not file.relative_to(hub.images).parts[0].startswith(".")
    }
    assert there == named
    for file in hub.folder.rglob("*"):
        if file.is_file() and not file.is_relative_to(hub.images):
            assert file.open("rb").read(3) != b"\xff\xd8\xff", file


def no_litter(hub: Hub, *agents: AgentSite) -> None:
    """Prove that nothing half written is left, after all have been started again."""
    parts = [file for file in hub.folder.rglob("*.part") if file.is_file()]
    assert parts == []
    assert len(list((hub.images / ".parts").glob("*"))) <= 1  # the folder of the worker that runs
    for agent in agents:
        left = [file for file in (agent.folder / "agent").rglob("*") if file.is_file() and file.name != ".lock"]
        assert left == []


def workers(hub: Hub) -> list[int]:
    """List the processes that file for a server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == hub.pid and WORKER in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def kill_worker(hub: Hub) -> None:
    """Kill what files for a server, as soon as it runs."""
    for worker in until(lambda: workers(hub), "a worker of filing runs", PATIENCE_S):
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def again(process: Process) -> None:
    """Kill a process and start it again."""
    process.kill()
    process.start()


def rss_mb(pid: int) -> float:
    """Tell how much memory a process holds now, in megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def moments(seed: str, kills: int, count: int) -> list[int]:
    """Draw after how many ends of `count` to strike, in order."""
    return sorted(random.Random(seed).sample(range(count // 20, count - count // 10), kills))


@dataclass
class Call:
    """A call that passes through a proxy."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def delivers(self) -> bool:
        return self.path.startswith("/v1/deliveries/")


@dataclass
class Answered:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Meddle = Callable[[Call, Callable[[Call], Answered]], Answered | None]
"""Gets a call and what sends one on; returns the answer, or None to break the connection off."""


def straight(call: Call, send: Callable[[Call], Answered]) -> Answered | None:
    """Send a call on as it is."""
    return send(call)


@dataclass
class Proxy:
    """Stands between agents and a server; `meddle` decides what becomes of each call."""

    port: int
    to: int = 0
    meddle: Meddle = straight
    deliveries: list[Call] = field(default_factory=list)

    @property
    def public_url(self) -> str:
        """TOML that sends agents here."""
        return f'public_url = "http://127.0.0.1:{self.port}"'

    def send(self, call: Call) -> Answered:
        """Send a call on to the server. Raises OSError, HTTPException."""
        connection = http.client.HTTPConnection("127.0.0.1", self.to, timeout=90)
        with contextlib.closing(connection):
            connection.request(call.method, call.path, call.body, call.headers)
            answer = connection.getresponse()
            return Answered(answer.status, dict(answer.getheaders()), answer.read())


@contextlib.contextmanager
def proxying() -> Iterator[Proxy]:
    """Run a proxy; its `to` is set once the server's port is known."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._pass()

        def do_GET(self) -> None:
            self._pass()

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            kept = {name.lower(): value for name, value in self.headers.items() if name.lower() != "host"}
            call = Call(self.command, self.path, kept, body)
            if call.delivers:
                proxy.deliveries.append(call)
            try:
                answer = proxy.meddle(call, proxy.send)
            except (OSError, http.client.HTTPException):
                answer = None
            if answer is None:
                self.close_connection = True
                return
            with contextlib.suppress(OSError):
                self.send_response_only(answer.status)
                self.send_header("content-type", answer.headers.get("content-type", "application/json"))
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A connection that breaks off is nothing to tell of."""

    server = Server(("127.0.0.1", 0), Handler)
    proxy = Proxy(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def kinds(lines: Sequence[Line]) -> dict[str, str]:
    """Tell how each request ended, by record: done, or the kind of its failure."""
    return {line.wish.record: line.failure.kind if line.failure else line.state.word for line in lines}
