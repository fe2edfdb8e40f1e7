from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from hostile_servers import scripted
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.addresses import Networks, networks
from isthmus.acquire.fetch.credentials import Secrets
from isthmus.acquire.fetch.files import Errand
from isthmus.acquire.fetch.judged import outcome
from isthmus.acquire.fetch.locator import Origin
from isthmus.acquire.fetch.others import Others
from isthmus.acquire.fetch.rules import Server
from isthmus.acquire.fetch.settings import Storage
from isthmus.acquire.ports import Got

LOOPBACK = Networks(networks(["127.0.0.0/8"]))
PASSWORD = "correct horse"


class Asked:
    """Others with the outcomes that they tell."""

    def __init__(self, folder: Path) -> None:
        self.came: queue.SimpleQueue[tuple[object, Got | Failure]] = queue.SimpleQueue()
        self.others = Others(folder, 1, lambda token, outcome: self.came.put((token, outcome)))

    def get(self, host: str, port: int, path: str, allowed: Networks = LOOPBACK, most_bytes: int = 1 << 20,
            until_s: float = 60.0) -> Got | Failure:  # fmt: skip
        self.begin(host, port, path, allowed, most_bytes, until_s)
        return self.came.get(timeout=90)[1]

    def begin(self, host: str, port: int, path: str, allowed: Networks, most_bytes: int, until_s: float) -> None:
        storage = Storage(hosts=("*",), user="reader", password_env="P", most_bytes=most_bytes)
        server = Server(Origin("ftp", host, port), allowed, (), storage, 0)
        errand = Errand("token", server, path, time.monotonic() + until_s)
        self.others.begin(errand, Secrets(password=PASSWORD))


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    (tmp_path / "out").mkdir()
    made = Asked(tmp_path / "out")
    yield made
    made.others.close()


@contextlib.contextmanager
def ftp_server(root: Path) -> Iterator[int]:
    pytest.importorskip("pyftpdlib")
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    people = DummyAuthorizer()
    people.add_user("reader", PASSWORD, str(root), perm="elr")
    handler = type("Handler", (FTPHandler,), {"authorizer": people, "use_sendfile": False})
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"timeout": 0.05, "handle_exit": False}, daemon=True
    )
    thread.start()
    try:
        yield server.address[1]
    finally:
        server.close_all()
        thread.join(5)


def test_content_comes_through_a_child_and_its_connections_are_judged_there(tmp_path: Path, asked: Asked) -> None:
    root = tmp_path / "root"
    root.mkdir()
    large = bytes(range(256)) * 2500
    (root / "small ü").write_bytes(b"image")
    (root / "large").write_bytes(large)
    with ftp_server(root) as port:
        small = asked.get("127.0.0.1", port, "/small%20%C3%BC")
        assert isinstance(small, Got), small
        assert small.content == b"image"
        by_name = asked.get("localhost", port, "/large")
        assert isinstance(by_name, Got), by_name
        assert isinstance(by_name.content, Path)
        assert by_name.digest == blake3(large).hexdigest() == blake3(by_name.content.read_bytes()).hexdigest()
        for came, kind in (
            (asked.get("127.0.0.1", port, "/none"), Kind.GONE),
            (asked.get("127.0.0.1", port, "/large", most_bytes=1000), Kind.TOO_LARGE),
            (asked.get("127.0.0.1", port, "/large", Networks(public=True)), Kind.FORBIDDEN),
            (asked.get("localhost", port, "/large", Networks(networks(["10.0.0.0/8"]))), Kind.FORBIDDEN),
        ):
            assert isinstance(came, Failure)
            assert came.kind is kind, came
            assert PASSWORD not in came.reason


def test_a_child_that_hangs_is_killed_at_its_time_and_the_next_request_gets_another(
    tmp_path: Path, asked: Asked
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"image")
    with scripted(lambda c, head: None) as silent, ftp_server(root) as port:
        late = asked.get("127.0.0.1", silent, "/a", until_s=1.0)
        assert isinstance(late, Failure)
        assert late.kind is Kind.TIMEOUT
        asked.begin("127.0.0.1", silent, "/a", LOOPBACK, 1000, 60.0)
        asked.others.stop("token")
        assert isinstance(asked.came.get(timeout=60)[1], Failure)
        assert isinstance(asked.get("127.0.0.1", port, "/a"), Got)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(2, "none", "/secret/path"), Kind.GONE),
        (OSError("[NtStatus 0xc000000f] 'STATUS_NO_SUCH_FILE': /secret/path"), Kind.GONE),
        (OSError("[NtStatus 0xc0000022] 'STATUS_ACCESS_DENIED': /secret/path"), Kind.DENIED),
        (PermissionError(13, "no", "/secret/path"), Kind.DENIED),
        (TimeoutError(), Kind.TIMEOUT),
        (ConnectionResetError(), Kind.CUT),
        (ModuleNotFoundError("install smbprotocol"), Kind.BAD_ADDRESS),
        (ConnectionRefusedError(111, "/secret/path"), Kind.UNREACHABLE),
        (RuntimeError("/secret/path\n"), Kind.SERVER),
    ],
)
def test_what_a_driver_raises_becomes_a_kind_without_its_text(error: Exception, kind: Kind) -> None:
    found = outcome(error, "")
    assert found.kind is kind
    assert "secret" not in found.reason
    assert outcome(error, "refused").kind is Kind.FORBIDDEN


WAYS = """
lambda: socket.create_connection(("localhost", 9))
lambda: socket.socket().connect(("127.0.0.1", 9))
lambda: socket.socket().connect_ex(("127.0.0.1", 9))
lambda: socket.socket(socket.AF_INET6).connect(("::ffff:127.0.0.1", 9))
lambda: _socket.socket().connect(("127.0.0.1", 9))
lambda: _socket.socket().connect_ex(("localhost", 9))
lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
lambda: socket.socket(socket.AF_UNIX).connect("/run/x")
lambda: asyncio.run(asyncio.open_connection("localhost", 9))
""".strip().splitlines()


def test_no_way_of_python_to_connect_passes_the_judge() -> None:
    script = f"""
import asyncio, socket, _socket
from isthmus.acquire.fetch.judged import Forbidden, Judge
Judge().installed()
for way in ({", ".join(WAYS)}):
    try:
        way()
    except OSError as error:
        print("refused" if isinstance(error, Forbidden) else repr(error))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert said.stdout.splitlines() == ["refused"] * len(WAYS), said
