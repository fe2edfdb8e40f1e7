"""A bad network in user space: UDP forwarders on the loopback that lose, delay and reorder datagrams."""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_CANDIDATE = re.compile(r"(a=candidate:\S+ 1 udp \d+) 127\.0\.0\.1 (\d+) typ host.*", re.IGNORECASE)


@dataclass
class Path:
    """What datagrams suffer on their way: `lose` is a probability, times are in seconds; seeded, and counted."""

    lose: float
    delay_s: float
    spread_s: float
    seed: int = 3
    carried: int = 0
    lost: int = 0
    _sockets: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def to(self, port: int) -> int:
        """Open a way to a port of the loopback; returns the port at which it begins."""
        front = self._socket()
        front.bind(("127.0.0.1", 0))
        outers: dict[object, socket.socket] = {}

        def out() -> None:
            for content, source in _all(front):
                if source not in outers:
                    outers[source] = self._outer(front, source, port)
                self._carry(lambda content=content, outer=outers[source]: outer.send(content))  # type: ignore[misc]

        asyncio.get_running_loop().add_reader(front, out)
        return int(front.getsockname()[1])

    def rewritten(self, description: str) -> str:
        """Lead every candidate of a description over this path; what cannot be led is left out."""
        lines = []
        for line in description.splitlines():
            if not line.startswith("a=candidate:"):
                lines.append(line)
            elif found := _CANDIDATE.fullmatch(line):
                lines.append(f"{found[1]} 127.0.0.1 {self.to(int(found[2]))} typ host")
        return "\r\n".join(lines) + "\r\n"

    def close(self) -> None:
        """Close every way."""
        for one in self._sockets:
            asyncio.get_running_loop().remove_reader(one)
            one.close()

    def _outer(self, front: socket.socket, source: object, port: int) -> socket.socket:
        outer = self._socket()
        outer.connect(("127.0.0.1", port))

        def back() -> None:
            for content, _ in _all(outer):
                self._carry(lambda content=content: front.sendto(content, source))  # type: ignore[misc]

        asyncio.get_running_loop().add_reader(outer, back)
        return outer

    def _socket(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._sockets.append(made)
        return made

    def _carry(self, pass_on: Callable[[], object]) -> None:
        if self._chance.random() < self.lose:
            self.lost += 1
            return
        self.carried += 1

        def arrive() -> None:
            try:
                pass_on()
            except OSError:
                self.lost += 1  # nobody there any more, or no room: a network loses such datagrams too

        asyncio.get_running_loop().call_later(self.delay_s + self._chance.random() * self.spread_s, arrive)


@contextmanager
def bad_path(lose: float, delay_s: float, spread_s: float, seed: int = 3) -> Iterator[Path]:
    """Lend a path; it is closed afterwards."""
    path = Path(lose, delay_s, spread_s, seed)
    try:
        yield path
    finally:
        path.close()


def _all(from_socket: socket.socket) -> Iterator[tuple[bytes, object]]:
    for _ in range(64):  # then let others run
        try:
            yield from_socket.recvfrom(65536)
        except (BlockingIOError, ConnectionRefusedError):
            return
