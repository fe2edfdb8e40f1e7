"""The floor of acquiring: what its durable steps alone cost in Python, without anything that makes it a product.

A getter fetches with bare libcurl (32 at a time), makes the digests and posts 16 images in a request over a plain
socket; a keeper reads the request, compares the digests, decodes each picture at an eighth, writes the images,
syncs once for a group of requests, renames and links them, and commits one row an image to SQLite (WAL,
synchronous=FULL). Only then it answers. Both are loops of one thread: there is no queue, lease, signature, rule,
limit, worker process, place, event or client. What the pipeline costs beyond this is what those cost.
"""

from __future__ import annotations

# Paths are plain strings here, as in the pipeline.
# ruff: noqa: PTH104
import ctypes
import os
import select
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import simplejpeg
from blake3 import blake3

from bench.acquire_site import Watched, fill, free_port, nginx, storage, wait
from bench.figure import Figure, scratch, show

SIZES = {"20 KB": (20_000, 480, 8000, 1800), "200 KB": (200_000, 1280, 2000, 600)}
TOGETHER, CONNECTIONS, AT_ONCE = 16, 6, 32
_LEAST = 32
"""The perceptual hash wants so many pixels a side."""

_HEAD = struct.Struct(">II")
"""Images of a request, bytes of its body; then for each its number, its size and its digest."""
_ITEM = struct.Struct(">II32s")


def run(scale: float = 1.0) -> Iterator[Figure]:
    """Measure; `scale` below 1 gets fewer images."""
    if nginx() is None:
        return
    with scratch("acquire-floor") as folder:
        for name, (size, edge, count, goal) in SIZES.items():
            (own := folder / name.replace(" ", "")).mkdir()
            count = max(200, int(count * scale))
            fill(own / "images", size, edge, count)
            with storage(own) as (port, process):
                used = _through(own, port, process, count)
            whole, budget = sum(used.values()), 2e3 / goal
            title, wanted = f"floor of {name}: CPU of an image", f"at most {budget:.2f} (two processors)"
            yield Figure(title, whole, "ms", goal=wanted, holds=whole <= budget)
            for who, spent in used.items():
                yield Figure(f"  {who}", spent, "ms")
            yield Figure("  two processors could do, at most", 2e3 / whole, "images/s")


def _through(folder: Path, port: int, process: int, count: int) -> dict[str, float]:
    """Carry images 0 to `count` through; return CPU milliseconds of an image by process."""
    (folder / "kept").mkdir()
    door = free_port()
    words = [sys.executable, "-m", "bench.acquire_floor"]
    keeper = subprocess.Popen([*words, "keep", str(folder / "kept"), str(door)])
    try:
        wait(lambda: _open(door), lambda: "the keeper does not start")
        watched = Watched({"nginx": process, "keeper": keeper.pid})
        before = watched.cpu_s()
        told = subprocess.run([*words, "get", str(port), str(door), str(count)], check=True, capture_output=True)
        after = watched.cpu_s()
        used = {who: (after[who] - before[who]) / count * 1e3 for who in ("nginx", "keeper")}
        return {**used, "getter": float(told.stdout) / count * 1e3}
    finally:
        keeper.terminate()
        keeper.wait(10)


def _open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _get(storage_port: int, door: int, count: int) -> None:
    """Fetch and post everything; print the processor time of that in seconds."""
    import pycurl

    multi = pycurl.CurlMulti()
    handles = [pycurl.Curl() for _ in range(AT_ONCE)]
    bodies: dict[Any, bytearray] = {}
    numbers: dict[Any, int] = {}
    left = iter(range(count))
    posts = [socket.create_connection(("127.0.0.1", door)) for _ in range(CONNECTIONS)]
    free = list(posts)
    begun = time.process_time()
    running = 0

    def start(curl: Any) -> int:
        number = next(left, None)
        if number is None:
            return 0
        bodies[curl], numbers[curl] = bytearray(), number
        curl.setopt(pycurl.URL, f"http://127.0.0.1:{storage_port}/{number}.jpg")
        curl.setopt(pycurl.WRITEFUNCTION, bodies[curl].extend)
        multi.add_handle(curl)
        return 1

    for curl in handles:
        running += start(curl)
    got: list[tuple[int, bytes]] = []
    while running or got:
        multi.perform()
        _, fine, failed = multi.info_read()
        assert not failed, failed
        for curl in fine:
            multi.remove_handle(curl)
            got.append((numbers[curl], bytes(bodies[curl])))
            running += start(curl) - 1
        while len(got) >= TOGETHER or (got and not running):
            group, got = got[:TOGETHER], got[TOGETHER:]
            if not free:
                free.append(_answered(posts))
            _post(connection := free.pop(), group)
            posts.remove(connection)
            posts.append(connection)
        if running:
            multi.select(1.0)
    for connection in [one for one in posts if one not in free]:
        connection.recv(64)
    print(time.process_time() - begun)


def _answered(posts: Sequence[socket.socket]) -> socket.socket:
    """Wait for the answer to the oldest request."""
    assert posts[0].recv(64)
    return posts[0]


def _post(connection: socket.socket, group: Sequence[tuple[int, bytes]]) -> None:
    items = b"".join(_ITEM.pack(number, len(body), blake3(body).digest()) for number, body in group)
    size = len(items) + sum(len(body) for _, body in group)
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (size + _HEAD.size)
    left = [head + _HEAD.pack(len(group), size) + items, *(body for _, body in group)]
    while left:
        sent = connection.sendmsg(left)
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if sent:
            left[0] = memoryview(left[0])[sent:].tobytes()


def _keep(folder: Path, door: int) -> None:
    """Take requests until the end of the process."""
    base = str(folder)
    for place in range(256):
        (folder / f"{place:02x}").mkdir()
    (folder / "shown").mkdir()
    ledger = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
    ledger.execute("PRAGMA journal_mode = WAL")
    ledger.execute("PRAGMA synchronous = FULL")
    ledger.execute("CREATE TABLE image (number INTEGER PRIMARY KEY, digest TEXT, size INTEGER, path TEXT)")
    disk = os.open(folder, os.O_RDONLY)
    syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    listening = socket.create_server(("127.0.0.1", door))
    poll = select.epoll()
    poll.register(listening, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        group: list[tuple[int, str, int, str]] = []
        who: list[socket.socket] = []
        for at, _ in poll.poll():
            if at == listening.fileno():
                came, _ = listening.accept()
                connections[came.fileno()] = came
                poll.register(came, select.EPOLLIN)
                continue
            if (items := _received(connections[at])) is None:
                poll.unregister(at)
                connections.pop(at).close()
                continue
            who.append(connections[at])
            group += [_written(base, number, body, digest) for number, body, digest in items]
        if not group:
            continue
        assert syncfs(disk) == 0
        for number, digest, _, path in group:
            os.rename(f"{base}/{number}.part", f"{base}/{digest[:2]}/{digest}.jpg")
            os.link(f"{base}/{digest[:2]}/{digest}.jpg", path)
        assert syncfs(disk) == 0
        ledger.execute("BEGIN")
        ledger.executemany("INSERT INTO image VALUES (?, ?, ?, ?)", group)
        ledger.execute("COMMIT")
        for connection in who:
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def _received(connection: socket.socket) -> list[tuple[int, memoryview, bytes]] | None:
    """Read one request; None where the other end has closed. For each image: its number, content, digest."""
    start = connection.recv(4096)
    if not start:
        return None
    head = start.index(b"\r\n\r\n") + 4
    count, size = _HEAD.unpack_from(start, head)
    body = bytearray(size)
    have = len(start) - head - _HEAD.size
    body[:have] = start[head + _HEAD.size :]
    view = memoryview(body)
    while have < size:
        have += connection.recv_into(view[have:])
    items, at = [], count * _ITEM.size
    for number, length, digest in _ITEM.iter_unpack(view[:at]):
        items.append((number, view[at : at + length], digest))
        at += length
    return items


def _written(base: str, number: int, body: memoryview, digest: bytes) -> tuple[int, str, int, str]:
    """Check, decode and write one image; return its row."""
    assert blake3(body).digest() == digest
    simplejpeg.decode_jpeg(body, "GRAY", fastdct=True, min_height=_LEAST, min_width=_LEAST, min_factor=1)
    handle = os.open(f"{base}/{number}.part", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(handle, body)
    os.close(handle)
    return number, digest.hex(), len(body), f"{base}/shown/{number}.jpg"


def _main() -> None:
    if sys.argv[1:2] == ["keep"]:
        _keep(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["get"]:
        _get(*map(int, sys.argv[2:5]))
    else:
        show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))


if __name__ == "__main__":
    _main()
