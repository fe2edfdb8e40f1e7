"""An interface server on a free loopback port in a thread, a filing that only remembers, and a small client."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from blake3 import blake3

from isthmus.acquire.delivery.package import pack
from isthmus.acquire.delivery.signing import SharedSecret, Signer, headers
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.image import Arrived, Filed, joined
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.ports import Got, Key, Line, Parcel, Task
from isthmus.acquire.queue.sqlite import SqliteLedger
from isthmus.acquire.server import keys as making
from isthmus.acquire.server.service import AcquireService
from isthmus.acquire.server.settings import ServerSettings
from isthmus.acquire.server.trust import FixedTrust
from isthmus.core.errors import InputError
from isthmus.faces.http.acquire.server import AcquireHttpServer

IMAGE = b"\xff\xd8 an image, as far as these tests care"
PATIENCE_S = 20


class Moved:
    """A clock that runs, and can be moved on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class RememberingFiling:
    """Files into memory; content that begins with `not` is no image, `disk` meets a full disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[list[Arrived]] = []
        self.removed: list[int] = []
        self.gate: threading.Event | None = None

    async def file(self, arrived: Sequence[Arrived]) -> list[Filed | Failure]:
        self.calls.append(list(arrived))
        while self.gate is not None and not self.gate.is_set():
            await asyncio.sleep(0.005)
        return [self._one(one) for one in arrived]

    def _one(self, one: Arrived) -> Filed | Failure:
        content = one.content.read_bytes() if isinstance(one.content, Path) else joined(one.content)
        assert blake3(content).hexdigest() == one.digest
        if content.startswith(b"not"):
            return Failure(Kind.NOT_AN_IMAGE, "the bytes are no image")
        if content.startswith(b"disk"):
            return Failure(Kind.DISK, "no space left on device")
        path = f"unknown-place/{one.environment}_{one.wish.record}.jpg"
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return Filed(one.digest, one.digest, path, len(content), "jpeg", 8, 8, "unknown-place")

    async def thumbnail(self, filed: Filed, edge: int) -> Path:
        if edge == 33:
            raise InputError("it cannot be drawn")
        target = self.folder / f"{edge}.jpg"
        target.write_bytes(b"\xff\xd8 small")
        return target

    async def remove(self, lines: Sequence[Line], contents: Sequence[str]) -> int:
        self.removed += [line.request for line in lines]
        return 0

    def path(self, filed: Filed) -> Path:
        return self.folder / filed.path

    async def close(self) -> None:
        pass


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """A server that runs, and keys of every role."""

    port: int
    service: AcquireService
    ledger: Ledger
    filing: RememberingFiling
    clock: Moved
    secret: SharedSecret
    log: list[dict[str, Any]]
    loop: asyncio.AbstractEventLoop
    keys: dict[str, str] = field(default_factory=dict)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        key: str = "client",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        given = dict(headers or {})
        if key:
            given.setdefault("Authorization", f"Bearer {self.keys.get(key, key)}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()

    def ask(self, *records: str, environment: str = "video", **more: Any) -> str:
        """Make a batch and return its name."""
        wishes = [
            {"address": f"http://store/{record}.jpg", "environment": environment, "record": record, **more}
            for record in records
        ]
        reply = self.call("POST", "/v1/acquisitions", wishes)
        assert reply.status == 202, reply
        return str(reply.json["batch"])

    def claim(self, most: int = 16, wait_s: float = 0.0, agent: str = "a1", key: str = "agent") -> Any:
        reply = self.call("POST", "/v1/agent/claim", {"agent": agent, "most": most, "wait_s": wait_s}, key)
        assert reply.status == 200, reply
        return reply.json

    def deliver(
        self,
        claimed: Any,
        outcomes: Sequence[bytes | Failure],
        signer: Signer | None = None,
        change: Mapping[str, str] | None = None,
        body: bytes | None = None,
        key: str = "",
    ) -> Reply:
        """Deliver outcomes for the tasks of a claim, in their order."""
        parcels = [parcel(task, outcome) for task, outcome in zip(claimed["tasks"], outcomes, strict=False)]
        packed = pack("a1", parcels)
        signed = {**headers(signer or self.secret, packed.digest, self.clock.now()), **(change or {})}
        path = claimed["callback"].partition("/v1/")[2]
        return self.call("POST", f"/v1/{path}", body or b"".join(packed.stretches()), key, signed)

    def states(self, batch: str) -> dict[str, int]:
        return dict(self.call("GET", f"/v1/batches/{batch}").json["counts"])


def parcel(task: Mapping[str, Any], outcome: bytes | Failure) -> Parcel:
    """Make the parcel of a claimed task."""
    claimed = Task(task["request"], task["fence"], task["attempt"], task["address"], task["record"], task["trace"])
    if isinstance(outcome, Failure):
        return Parcel(claimed, outcome)
    return Parcel(claimed, Got(outcome, len(outcome), blake3(outcome).hexdigest()))


@contextlib.contextmanager
def serving(
    folder: Path,
    settings: ServerSettings | None = None,
    filing: RememberingFiling | None = None,
    secret: bytes = b"",
) -> Iterator[Site]:
    """Run a server until the block ends."""
    clock, log = Moved(), []
    signing = SharedSecret(secret) if secret else SharedSecret.create()
    own = SqliteLedger(folder / "ledger.sqlite")
    used_filing = filing or RememberingFiling(folder / "images")
    bound = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = bound.getsockname()[1]
    trust = FixedTrust({name: [signing.text()] for name in ("video", "intranet")})
    keys = {}
    for name, role, where in (
        ("client", "client", ""),
        ("other", "client", ""),
        ("viewer", "viewer", ""),
        ("operator", "operator", ""),
        ("agent", "agent", "video"),
        ("intranet", "agent", "intranet"),
    ):
        keys[name], key = _key(name, role, where, secret, clock.now())
        _put(own, key)
    made: list[Any] = []
    ready = threading.Event()

    def say(event: str, /, **fields: object) -> None:
        log.append({"event": event, **fields})

    def run() -> None:
        async def main() -> None:
            used = settings or ServerSettings(public_url=f"http://127.0.0.1:{port}", lease_s=30.0, poll_s=0.2)
            service = AcquireService(own, used_filing, used, clock, say, trust=trust, folder=folder, secret=secret)
            server = AcquireHttpServer(service)
            made.extend([service, server, asyncio.get_running_loop()])
            serve = asyncio.ensure_future(server.serve([bound]))
            while not server.started and not serve.done():
                await asyncio.sleep(0.005)
            ready.set()
            await serve

        asyncio.run(main())

    thread = threading.Thread(target=run, name="server")
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield Site(port, made[0], own, used_filing, clock, signing, log, made[2], keys)
    finally:
        if len(made) > 1:
            made[1].should_exit = True
        thread.join(PATIENCE_S)
        own.close()
        bound.close()
    assert not thread.is_alive()


def _key(name: str, role: str, where: str, secret: bytes, now: datetime) -> tuple[str, Key]:
    """Make a key; with a secret the same one each time, so that it outlives the process."""
    if not secret:
        return making.make(name, role, where, now)
    text = f"isk_{name}"
    return text, Key(name, role, making.digest_of(text), where, now)


def _put(ledger: Ledger, key: Key) -> None:
    with contextlib.suppress(InputError):
        ledger.put_key(key)
