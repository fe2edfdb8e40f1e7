"""The server's side of the protocol in memory, over real HTTP: claims, heartbeats, deliveries, and faults."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from agent_doubles import Ledgerlet
from isthmus.acquire.agent.credential import FORMAT, Credential
from isthmus.acquire.delivery.receiving import Receiving
from isthmus.acquire.delivery.signing import PrivateKey, SharedSecret, verify
from isthmus.acquire.ports import Claimed, Held
from isthmus.core.errors import Corrupt, Refused

KEY = "agent-key-of-the-double"
STALL_S = 60.0


class Asked(msgspec.Struct):
    agent: str
    most: int = 0
    wait_s: float = 0.0
    held: list[Held] = []


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # agents are killed here, and connections cut


class AgentServer:
    """A server on a free port. `fault(path, number)` names what goes wrong with a delivery or a call:

    "503", "401", "422", "cut" (it is taken, but the answer is lost), "half" (half an answer), "stall", "early" (an
    answer before the body is read), "garbage" or "" for nothing.
    """

    def __init__(
        self, ledger: Ledgerlet, folder: Path, tls: tuple[Path, Path] | None = None, port: int = 0
    ) -> None:
        self.ledger, self.folder = ledger, folder
        self.signer: SharedSecret | PrivateKey = SharedSecret.create()
        self.fault: Callable[[str, int], str] = lambda path, number: ""
        self.calls: list[str] = []
        self.refused: list[str] = []
        self.agents: set[str] = set()
        self.connections = 0
        self.answers = threading.Event()
        self._numbers = itertools.count(1)
        server = self
        folder.mkdir(exist_ok=True)

        class Handler(_Handler):
            owner = server

        self.http = _Quiet(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.tls = tls is not None
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.http.server_address[1]}"

    def credential(self, **changes: Any) -> Credential:
        values = {"format": FORMAT, "server": self.url, "environment": "north", "key": KEY}
        return Credential(**{**values, "signing": self.signer.text(), **changes})

    def checker(self) -> Any:
        return self.signer.public if isinstance(self.signer, PrivateKey) else self.signer

    def close(self) -> None:
        self.answers.set()
        self.http.shutdown()
        self.http.server_close()

    def deliver(self, handler: _Handler, length: int) -> tuple[int, bytes]:
        number = next(self._numbers)
        given = {name.lower(): value for name, value in handler.headers.items()}
        try:
            signed = verify([self.checker()], given, datetime.now(UTC))
            with Receiving(self.folder / f"in-{number}", signed.digest, length) as receiving:
                while length and (piece := handler.rfile.read(min(length, 65536))):
                    length -= len(piece)
                    receiving.feed(piece)
                package = receiving.finish()
        except Refused as error:
            self.refused.append(str(error))
            handler.close_connection = True
            return 403, msgspec.json.encode({"title": "Refused", "detail": str(error)})
        except Corrupt as error:
            self.refused.append(str(error))
            return 422, msgspec.json.encode({"detail": str(error)})
        self.agents.add(package.agent)
        return 200, msgspec.json.encode({"verdicts": self.ledger.settle(package.parts)})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: AgentServer

    def setup(self) -> None:
        super().setup()
        self.owner.connections += 1
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_POST(self) -> None:
        owner, length = self.owner, int(self.headers["content-length"])
        owner.calls.append(self.path)
        fault = owner.fault(self.path, len(owner.calls))
        if fault == "stall":
            owner.answers.wait(STALL_S)
            self.close_connection = True
            return
        if fault == "early":
            self.close_connection = True
            self._say(401, b'{"detail": "no such key"}')
            return
        if self.path.startswith("/v1/deliveries/"):
            status, body = owner.deliver(self, length)
        else:
            status, body = self._door(self.rfile.read(length))
        if fault == "cut":
            self.close_connection = True
            return
        if fault == "half":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{")
            return
        if fault == "garbage":
            body = b"<html>it works</html>"
        elif fault:
            status, body = int(fault), b'{"detail": "as the test says"}'
        self._say(status, body)

    def _door(self, body: bytes) -> tuple[int, bytes]:
        ledger = self.owner.ledger
        if self.headers.get("authorization") != f"Bearer {KEY}":
            return 401, b'{"detail": "the key is not known"}'
        asked = msgspec.json.decode(body, type=Asked)
        self.owner.agents.add(asked.agent)
        if self.path == "/v1/agent/claim":
            tasks = ledger.claim(asked.most, asked.wait_s)
            callback = f"{self.owner.url}/v1/deliveries/token"
            return 200, msgspec.json.encode(Claimed(tuple(tasks), callback, ledger.lease_s))
        if self.path == "/v1/agent/beat":
            return 200, msgspec.json.encode(ledger.beat(asked.held))
        if self.path == "/v1/agent/release":
            return 200, msgspec.json.encode({"released": ledger.release(asked.held)})
        return 404, b"{}"

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("retry-after", "1") if status == 503 else None
        self.end_headers()
        self.wfile.write(body)
