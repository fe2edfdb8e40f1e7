"""MB/s through ICE channels on the loopback, both engines, each end a process of its own; the device's memory.

A transfer ends when its receiver has all of it and has said so. Each is the best of some runs, since other work on
the machine only ever takes away; the memory is the worst of them. The peer is the same bytes through one TCP
connection, in messages of the same size: what the machine can do, without ICE, DTLS and SCTP.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from bench.figure import Figure, show
from isthmus.core.errors import MissingExtra
from isthmus.transfer.channel import MOST_MESSAGE_BYTES, ChannelClosed
from isthmus.transfer.ice.attempt import attempt
from isthmus.transfer.ice.engines import MODULES, chosen
from isthmus.transfer.ice.settings import IceSettings

SIZES = {"wrtc": 256 << 20, "aiortc": 16 << 20}
GOAL_MB_S = 40.0
FLAT_MIB = 32.0
RUNS = 3


@dataclass(frozen=True, slots=True)
class Passed:
    """What one end saw: seconds of the transfer and of its own processor time, growth of its peak memory."""

    seconds: float
    cpu_s: float
    grown_mib: float


def run(scale: float = 1.0) -> list[Figure]:
    """Measure; `scale` below 1 sends less."""
    tcp = _tcp(max(8 << 20, int(SIZES["wrtc"] * scale)))
    figures = []
    for engine in MODULES:
        try:
            chosen(engine)  # type: ignore[arg-type]
        except MissingExtra as error:
            print(f"ice: {error}", file=sys.stderr)
            continue
        size = max(2 << 20, int(SIZES[engine] * scale))
        runs = [_between_processes(engine, size) for _ in range(RUNS)]
        sent, received = min(runs, key=lambda pair: pair[0].seconds)
        grown = max(received.grown_mib for _, received in runs)
        figures += _figures(engine, size, sent, replace(received, grown_mib=grown), tcp)
    return figures


def _figures(engine: str, size: int, sent: Passed, received: Passed, tcp: float) -> list[Figure]:
    rate = size / sent.seconds / 1e6
    goal = engine == "wrtc"
    title = f"ICE transfer of {size >> 20} MiB, {engine}"
    return [
        Figure(
            title,
            rate,
            "MB/s",
            "TCP, same messages",
            tcp,
            f"at least {GOAL_MB_S:g} MB/s" if goal else "",
            rate >= GOAL_MB_S if goal else None,
        ),
        Figure(f"  processor time, both ends, {engine}", (sent.cpu_s + received.cpu_s) / size * 1e9, "s/GB"),
        Figure(
            f"  growth of the device's memory, {engine}",
            received.grown_mib,
            "MiB",
            goal=f"flat: under {FLAT_MIB:g} MiB",
            holds=received.grown_mib < FLAT_MIB,
        ),
    ]


def _between_processes(engine: str, size: int) -> tuple[Passed, Passed]:
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    results = [spawn.Pipe(duplex=False) for _ in range(2)]
    ends = [
        spawn.Process(target=_end, args=(engine, size, "server", here, results[0][1])),
        spawn.Process(target=_end, args=(engine, size, "device", there, results[1][1])),
    ]
    for end in ends:
        end.start()
    try:
        return results[0][0].recv(), results[1][0].recv()
    finally:
        for end in ends:
            end.join(30)


def _end(engine: str, size: int, role: str, line: Connection, result: Connection) -> None:
    result.send(asyncio.run(_transfer(engine, size, role, line)))


async def _transfer(engine: str, size: int, role: str, line: Connection) -> Passed:
    settings = replace(IceSettings(loopback=True), engine=engine)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    hear: Callable[[], asyncio.Future[str]] = lambda: loop.run_in_executor(None, line.recv)  # noqa: E731
    async with attempt(settings) as one:
        if role == "device":
            line.send(await one.offer())
            await one.take(await hear())
        else:
            line.send(await one.answer(await hear()))
        channel = await one.opened()
    memory, cpu, begun = _peak_mib(), time.process_time(), time.perf_counter()
    if role == "server":
        message = bytes(range(256)) * (MOST_MESSAGE_BYTES // 256)
        for _ in range(size // MOST_MESSAGE_BYTES):
            await channel.send(message)
    else:
        came = 0
        try:
            while True:
                came += len(await channel.receive())
        except ChannelClosed:
            assert came == size, f"{came} of {size} bytes came"
    await channel.close()
    return Passed(time.perf_counter() - begun, time.process_time() - cpu, _peak_mib() - memory)


def _peak_mib() -> float:
    """Return this process's own peak of resident memory (getrusage would count its parent's)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def _tcp(size: int) -> float:
    """Return the MB/s of one TCP connection on the loopback, between two threads that leave the lock alone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        message = bytes(MOST_MESSAGE_BYTES)

        def talk() -> None:
            with socket.create_connection(server.getsockname()) as out:
                for _ in range(size // MOST_MESSAGE_BYTES):
                    out.sendall(message)

        talking = threading.Thread(target=talk)
        begun = time.perf_counter()
        talking.start()
        came, _ = server.accept()
        with came:
            while came.recv(MOST_MESSAGE_BYTES):
                pass
        talking.join()
        return size / (time.perf_counter() - begun) / 1e6


if __name__ == "__main__":
    show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
