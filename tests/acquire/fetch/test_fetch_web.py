from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from hostile_servers import response, scripted
from isthmus.acquire.fetch.credentials import Secrets
from isthmus.acquire.fetch.rules import Rules, Way
from isthmus.acquire.fetch.settings import Allow, EnvironmentRules
from isthmus.acquire.fetch.web import Outcome, Web
from isthmus.acquire.ports import Got

_RULES = Rules(
    EnvironmentRules(
        allow=(Allow(schemes=("http",), hosts=("*",), ports=tuple(range(1, 65536)), cidr=("127.0.0.0/8",)),)
    )
)


@contextlib.contextmanager
def _web(folder: Path, most_connections: int = 64) -> Iterator[Web]:
    web = Web(folder, most_connections=most_connections)
    try:
        yield web
    finally:
        web.close()


def _get(web: Web, *ports: int) -> list[Outcome]:
    for number, port in enumerate(ports):
        way = _RULES.way(f"http://127.0.0.1:{port}/{number}.jpg")
        assert isinstance(way, Way)
        web.begin(number, way.server, way.rest, Secrets(), 20.0)
    found: dict[object, Outcome] = {}
    while len(found) < len(ports):
        found |= dict(web.poll(20.0))
    return [found[number] for number in range(len(ports))]


def _sockets(web: Web) -> int:
    """Return for how many sockets the kernel would wake the engine."""
    lines = Path(f"/proc/self/fdinfo/{web.fileno()}").read_text().splitlines()
    handles = [line.split()[1] for line in lines if line.startswith("tfd:")]
    return sum(str(Path(f"/proc/self/fd/{handle}").readlink()).startswith("socket:") for handle in handles)


def test_a_connection_that_was_closed_while_it_rested_gives_its_number_to_another_one(tmp_path: Path) -> None:
    """The engine keeps one connection alone, so that each server's takes the place and the number of the last."""

    def answer(connection: socket.socket, head: bytes) -> None:
        connection.sendall(response(b"image"))

    with scripted(answer) as first, scripted(answer) as second, _web(tmp_path, 1) as web:
        for _ in range(20):
            for port in (first, second):
                (outcome,) = _get(web, port)
                assert isinstance(outcome, Got)
                assert _sockets(web) <= 2


def test_servers_that_end_resting_connections_wake_the_engine_once_for_each(tmp_path: Path) -> None:
    def answer(connection: socket.socket, head: bytes) -> None:
        connection.sendall(response(b"image"))
        connection.close()

    with scripted(answer) as port, _web(tmp_path) as web:
        for _ in range(5):
            outcomes = _get(web, *[port] * 8)
            assert all(isinstance(outcome, Got) for outcome in outcomes)
            for _ in range(1000):
                if not _sockets(web):
                    break
                assert web.poll(5.0) == []
            assert not _sockets(web)
