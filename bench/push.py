"""Push to 500 watching clients over real sockets, and how soon after its request an image is pushed.

Counted is what clients receive, in sum: 40 events a second to each of 500 are 20,000 a second. The server runs in
a process of its own; the clients share another. Peer: a queue per client, one message sent per event and client,
encoded each time, in the same server software.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib.util
import json
import multiprocessing
import resource
import socket
import statistics
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, cast

import msgspec
from blake3 import blake3
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from bench.figure import Figure, scratch, show
from isthmus.acquire.delivery.package import pack
from isthmus.acquire.delivery.signing import SharedSecret, headers
from isthmus.acquire.failure import Failure
from isthmus.acquire.image import Arrived, Filed
from isthmus.acquire.ports import Event, Got, Key, Line, Parcel, Task
from isthmus.acquire.queue.sqlite import SqliteLedger
from isthmus.acquire.server import keys as making
from isthmus.acquire.server.hub import Hub
from isthmus.acquire.server.service import AcquireService
from isthmus.acquire.server.settings import ServerSettings
from isthmus.acquire.server.trust import FixedTrust
from isthmus.app.clock import SystemClock
from isthmus.faces.http.acquire.server import AcquireHttpServer

CLIENTS, GOAL = 500, 20_000
SECONDS = 5.0
_KEPT = 40_000
_SAMPLED = 20
_IMAGE = b"\xff\xd8" + bytes(20_000)


class _Instant:
    """A filing that takes no time: what is measured is the way to the client."""

    async def file(self, arrived: Sequence[Arrived]) -> list[Filed | Failure]:
        return [
            Filed(one.digest, one.digest, f"p/{one.request}.jpg", 20_000, "jpeg", 64, 64, "p") for one in arrived
        ]

    async def thumbnail(self, filed: Filed, edge: int) -> Path:
        return Path()

    async def remove(self, lines: Sequence[Line], contents: Sequence[str]) -> int:
        return 0

    def path(self, filed: Filed) -> Path:
        return Path()

    async def close(self) -> None:
        pass


class _Made:
    """Events made by number, as a ledger's reader would give them."""

    def __init__(self) -> None:
        self.last: list[Event] = []
        self.number = 0

    def add(self, count: int, batches: int) -> None:
        now = datetime.now(UTC)
        digest = "ab" * 32
        for _ in range(count):
            self.number += 1
            number, batch = self.number, f"b{self.number % batches}"
            path = f"stockholm/20261120/10/video_{number}.jpg"
            known = ("stockholm", "Stockholm", "exif", "SE", 59.3, 18.1, now, "exif", "Camera X", "0f" * 8)
            filed = Filed(digest, digest, path, 20_000, "jpeg", 640, 480, *known)
            about = (number, now, "done", batch, "o", number, f"r{number}", "video")
            self.last.append(Event(*about, filed=filed))
        if len(self.last) > 2 * _KEPT:
            del self.last[:-_KEPT]

    async def events(self, after: int, most: int, owner: str, batch: str) -> list[Event]:
        behind = self.number - after
        begin = max(0, len(self.last) - behind)
        if not batch:
            return self.last[begin : begin + most] if behind > 0 else []
        return [one for one in self.last[begin:] if one.batch == batch][:most] if behind > 0 else []

    async def latest(self) -> int:
        return self.number


def _serve(folder: Path, port: socket.socket, pipe: Connection, peer: bool) -> None:
    """Run the server and feed it events as the pipe says: (rate, seconds, batches); None ends it."""
    _run(_serving(folder, port, pipe, peer))


async def _serving(folder: Path, bound: socket.socket, pipe: Connection, peer: bool) -> None:
    ledger, clock, secret = SqliteLedger(folder / "ledger.sqlite"), SystemClock(), SharedSecret.create()
    texts = {}
    for name, role, where in (("operator", "operator", ""), ("agent", "agent", "video")):
        texts[name], key = making.make(name, role, where, clock.now())
        ledger.put_key(key)
    address = f"http://127.0.0.1:{bound.getsockname()[1]}"
    service = AcquireService(
        ledger,
        _Instant(),
        ServerSettings(public_url=address),
        clock,
        trust=FixedTrust({"video": [secret.text()]}),
        folder=folder,
    )
    server = AcquireHttpServer(service)
    service.own_batch = _any_batch  # type: ignore[method-assign]  # the batches of made events are in no ledger
    made = _Made()
    own = service.hub
    fed = Hub(made, service._saw, 1.0)
    queues: set[asyncio.Queue[Event]] = set()
    if peer:
        server.config.app = _plain(queues)
    serve = asyncio.ensure_future(server.serve([bound]))
    while not server.started:
        await asyncio.sleep(0.01)
    await fed.start()
    pipe.send((texts, secret.text()))
    loop = asyncio.get_running_loop()
    while (asked := await loop.run_in_executor(None, pipe.recv)) is not None:
        rate, seconds, batches = asked
        service.hub = fed if rate else own
        if rate:
            pipe.send(await _feed(made, fed, queues, rate, seconds, batches))
    server.should_exit = True
    await serve
    await fed.stop()
    ledger.close()


async def _any_batch(key: Key, batch: str) -> None:
    pass


async def _feed(
    made: _Made, hub: Hub, queues: set[asyncio.Queue[Event]], rate: float, seconds: float, batches: int
) -> float:
    """Add events at a rate; return the processor time of this process per second."""
    used, begun, done = time.process_time(), time.monotonic(), 0
    while (gone := time.monotonic() - begun) < seconds:
        due = int(gone * rate)
        if due > done:
            made.add(due - done, batches)
            for event in made.last[-(due - done) :] if queues else ():
                for waiting in queues:
                    waiting.put_nowait(event)
            done = due
            hub.stir()
        await asyncio.sleep(max(0.004, 1 / rate / 2))
    return (time.process_time() - used) / (time.monotonic() - begun)


def _plain(queues: set[asyncio.Queue[Event]]) -> Starlette:
    async def watch(request: Request) -> StreamingResponse:
        async def told() -> AsyncIterator[bytes]:
            waiting: asyncio.Queue[Event] = asyncio.Queue()
            queues.add(waiting)
            yield b": watching\n\n"
            while True:
                event = await waiting.get()
                yield b"id: %d\nevent: done\ndata: %s\n\n" % (event.number, msgspec.json.encode(event))

        return StreamingResponse(told(), media_type="text/event-stream")

    return Starlette(routes=[Route("/v1/events", watch)])


class _Watching(asyncio.Protocol):
    """One client: counts events and, where it is a sampled one, how old they are when they come."""

    counted, open = 0, 0
    late_ms: ClassVar[list[float]] = []

    def __init__(self, request: bytes, sampled: bool) -> None:
        self._request, self._sampled, self._rest = request, sampled, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, piece: bytes) -> None:
        if b": watching" in piece:
            _Watching.open += 1
        text = self._rest + piece
        _Watching.counted += text.count(b"\nevent: ")
        self._rest = text[-7:]
        if self._sampled and (at := piece.find(b'"at":"')) >= 0:
            stamp = piece[at + 6 : piece.find(b'"', at + 6)]
            with contextlib.suppress(ValueError):
                age = datetime.now(UTC) - datetime.fromisoformat(stamp.decode())
                _Watching.late_ms.append(age.total_seconds() * 1000)


def _watch(port: int, key: str, clients: int, own_batch: bool, go: Any, tell: Any) -> None:
    """Run clients in this process: tell when all are connected, and what they got when `go` says so."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in range(clients):
            where = f"/v1/events?batch=b{number}" if own_batch else "/v1/events"
            request = f"GET {where} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n".encode()
            made = _Watching(request, number < _SAMPLED)
            await loop.create_connection(lambda made=made: made, "127.0.0.1", port)  # type: ignore[misc]
        while _Watching.open < clients:
            await asyncio.sleep(0.01)
        tell.send("watching")
        await loop.run_in_executor(None, go.recv)
        count, used, begun = _Watching.counted, time.process_time(), time.monotonic()
        await loop.run_in_executor(None, go.recv)
        took = time.monotonic() - begun
        tell.send(((_Watching.counted - count) / took, _Watching.late_ms, (time.process_time() - used) / took))

    _run(main())


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run on the loop that the server would choose."""
    factory = importlib.import_module("uvloop").new_event_loop if importlib.util.find_spec("uvloop") else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


class _Server:
    """The server's process, and how to speak to it."""

    def __init__(self, folder: Path, peer: bool = False) -> None:
        self._context = multiprocessing.get_context("spawn")
        bound = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = bound.getsockname()[1]
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(folder, bound, theirs, peer), daemon=True)
        self._process.start()
        self.keys, self.secret = self._pipe.recv()
        bound.close()

    def push(
        self, rate: float, own_batch: bool, seconds: float, clients: int = CLIENTS
    ) -> tuple[float, list[float], float]:
        """Return events received per second by all clients together, their ages in ms, and processors used."""
        self._pipe.send((1e-9, 0.0, 1))
        self._pipe.recv()
        go, go_there = self._context.Pipe()
        tell, tell_there = self._context.Pipe()
        args = (self.port, self.keys["operator"], clients, own_batch, go_there, tell_there)
        watching = self._context.Process(target=_watch, args=args, daemon=True)
        watching.start()
        tell.recv()
        self._pipe.send((rate, seconds + 1.5, clients))
        time.sleep(0.75)
        go.send(1)
        time.sleep(seconds)
        go.send(2)
        received, late, _ = tell.recv()
        used: float = self._pipe.recv()
        watching.join()
        return received, late, used

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join()


def _first_pushed(server: _Server, rounds: int) -> list[float]:
    """Return for how many ms requests wait for their pushed image, one after the other, on an idle system."""
    server._pipe.send((0, 0, 0))
    bearer = {"authorization": f"Bearer {server.keys['operator']}", "content-type": "application/json"}
    watching = http.client.HTTPConnection("127.0.0.1", server.port)
    watching.request("GET", "/v1/events", headers=bearer)
    stream = watching.getresponse()
    stream.readline()
    ended = threading.Event()
    agent = threading.Thread(target=_agent, args=(server, ended))
    agent.start()
    took = []
    asking = http.client.HTTPConnection("127.0.0.1", server.port)
    for number in range(rounds):
        time.sleep(0.2)
        body = json.dumps({"address": "http://s/1.jpg", "environment": "video", "record": f"r{number}"})
        begun = time.perf_counter()
        asking.request("POST", "/v1/acquisitions", body, bearer)
        asking.getresponse().read()
        while not stream.readline().startswith(b"data: "):
            pass
        took.append((time.perf_counter() - begun) * 1000)
    ended.set()
    asking.close()
    watching.close()
    agent.join()
    return took


def _agent(server: _Server, ended: threading.Event) -> None:
    signer, digest = SharedSecret.of_text(server.secret), blake3(_IMAGE).hexdigest()
    bearer = {"authorization": f"Bearer {server.keys['agent']}", "content-type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    while not ended.is_set():
        connection.request("POST", "/v1/agent/claim", '{"agent":"a","most":16,"wait_s":1}', bearer)
        claimed = json.loads(connection.getresponse().read())
        for task in claimed["tasks"]:
            one = Task(task["request"], task["fence"], 1, task["address"], task["record"], task["trace"])
            packed = pack("a", [Parcel(one, Got(_IMAGE, len(_IMAGE), digest))])
            signed = headers(signer, packed.digest, datetime.now(UTC))
            path = "/v1/" + claimed["callback"].partition("/v1/")[2]
            connection.request("POST", path, b"".join(packed.stretches()), signed)
            connection.getresponse().read()
    connection.close()


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def run(scale: float) -> Iterable[Figure]:
    """Measure. `scale` shortens the runs."""
    seconds = max(1.5, SECONDS * scale)
    with scratch("push-peer") as folder:
        peer = _Server(folder, peer=True)
        peer_received, peer_late, peer_used = peer.push(GOAL / CLIENTS, False, seconds)
        peer_most, _, _ = peer.push(200, False, seconds)
        peer.close()
    with scratch("push") as folder:
        server = _Server(folder)
        received, late, used = server.push(GOAL / CLIENTS, False, seconds)
        goal = f">= {GOAL * 0.98:,.0f}/s to {CLIENTS}"
        name = f"events to {CLIENTS} clients at 40/s each"
        yield Figure(name, received, "events/s", "a queue each", peer_received, goal, received >= GOAL * 0.98)
        yield Figure("  of it: processors used by the server", used, "cores", "a queue each", peer_used)
        yield Figure("  of it: median age when it comes", _percentile(late, 0.5), "ms", "a queue each",
                     _percentile(peer_late, 0.5))  # fmt: skip
        yield Figure("  of it: 99 % come within", _percentile(late, 0.99), "ms", "a queue each",
                     _percentile(peer_late, 0.99))  # fmt: skip
        most, late, used = server.push(200, False, seconds)
        yield Figure(f"events to {CLIENTS} clients at 200/s each", most, "events/s", "a queue each", peer_most)
        yield Figure("  of it: 99 % come within", _percentile(late, 0.99), "ms")
        most, late, used = server.push(GOAL, True, seconds)
        name = f"{GOAL:,} different events/s, each to its own of {CLIENTS}"
        yield Figure(name, most, "events/s", goal=f">= {GOAL * 0.98:,.0f}/s", holds=most >= GOAL * 0.98)
        yield Figure("  of it: 99 % come within", _percentile(late, 0.99), "ms")
        first = _first_pushed(server, max(10, int(30 * scale)))
        yield Figure("first image pushed after its request, idle: median", statistics.median(first), "ms")
        yield Figure("  slowest", max(first), "ms", goal="<= 150 ms", holds=max(first) <= 150)
        server.close()


if __name__ == "__main__":
    show(run(1.0))
