"""One worker process as the pool sees it: started, fed, watched, ended."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from isthmus.acquire.filing.arena import Arena
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing.wire import MARK, PREFIX, Answer, Batch, Drawing, Item, Order, decode_answer, encode
from isthmus.acquire.filing.worker import Start

_END_S = 10.0
_ARENA_BYTES = 48 << 20
"""Twice what is on its way to one worker at most, so that there is room in one piece."""


class Hand(asyncio.Protocol):
    """A worker process and the connection to it. Told by callbacks of its answers and of its death, once."""

    def __init__(
        self,
        draws: bool,
        answered: Callable[[Hand, Answer], None],
        died: Callable[[Hand], None],
        process: subprocess.Popen[bytes],
        marker: mmap.mmap,
        arena: Arena | None,
    ) -> None:
        self.draws = draws
        self.ready = asyncio.Event()
        self.ended = False
        self.usable = True
        self._answered, self._died = answered, died
        self._process, self._marker, self._arena = process, marker, arena
        self._transport: asyncio.Transport | None = None
        self._came = bytearray()
        self._heard = time.monotonic()
        self._reason = ""
        self._gone = asyncio.Event()

    @classmethod
    async def start(
        cls,
        rules: FilingRules,
        command: Sequence[str],
        draws: bool,
        answered: Callable[[Hand, Answer], None],
        died: Callable[[Hand], None],
    ) -> Hand:
        """Start a worker. Raises OSError."""
        ours, theirs = socket.socketpair()
        arena = None if draws else Arena(_ARENA_BYTES)
        with tempfile.TemporaryFile() as marker, theirs:
            marker.truncate(MARK.size)
            memory = arena.handle if arena is not None else -1
            start = Start(rules, theirs.fileno(), marker.fileno(), memory, draws)
            handles = [one for one in (start.connection, start.marker, start.arena) if one >= 0]
            process = await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, *command, msgspec.json.encode(start).decode()],
                stdin=subprocess.DEVNULL,
                pass_fds=handles,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            shared = mmap.mmap(marker.fileno(), MARK.size)
        hand = cls(draws, answered, died, process, shared, arena)
        ours.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: hand, sock=ours)
        return hand

    def file(self, number: int, items: list[Item], contents: Sequence[bytes | memoryview]) -> None:
        """Have images filed; their contents are copied to where the worker finds them."""
        at = self._arena.lay(number, contents) if self._arena is not None else -1
        self._send(Batch(number, items, at), contents if at < 0 else ())

    def draw(self, order: Drawing) -> None:
        """Have a thumbnail drawn."""
        self._send(order, ())

    def _send(self, order: Order, bodies: Sequence[bytes | memoryview]) -> None:
        head = encode(order)
        self._heard = time.monotonic()
        if self._transport is not None:
            self._transport.writelines([PREFIX.pack(len(head), sum(map(len, bodies))), head, *bodies])

    def silent_s(self) -> float:
        """Tell for how long nothing was sent or heard."""
        return time.monotonic() - self._heard

    def kill(self, reason: str) -> None:
        """End the worker at once; what it had is put back by `died`."""
        self._reason = reason
        self._process.kill()

    def marked(self) -> tuple[int, int]:
        """Tell at which batch and place the worker was when it died; batch 0: at none."""
        number, place = MARK.unpack_from(self._marker, 0)
        return number, place

    @property
    def outside(self) -> bool:
        """Tell whether the worker was ended by somebody else, so that no image is to blame."""
        return not self._reason and self._process.poll() in (-signal.SIGKILL, -signal.SIGTERM)

    def why(self) -> str:
        """Say how the worker ended, in few words."""
        code = self._process.poll()
        if self._reason:
            return self._reason
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"it ended by {signal.Signals(-code).name}"
        return f"it ended with code {code}"

    async def end(self) -> None:
        """Let the worker finish and end; kill it where it does not."""
        self.ended = True
        self.usable = False
        if self._transport is not None and not self._gone.is_set():
            self._transport.write_eof()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), _END_S)
        if not self._gone.is_set():
            self._process.kill()
        await asyncio.to_thread(self._process.wait)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the worker."""
        self._transport = cast(asyncio.Transport, transport)  # other loops' transports are none by name

    def data_received(self, data: bytes) -> None:
        """Gather answers and hand them on."""
        self._heard = time.monotonic()
        self._came += data
        while len(self._came) >= PREFIX.size:
            end = PREFIX.size + PREFIX.unpack_from(self._came)[0]
            if len(self._came) < end:
                break
            answer = decode_answer(bytes(self._came[PREFIX.size : end]))
            del self._came[:end]
            if not answer.number and not answer.error:
                self.ready.set()
            elif self._arena is not None:
                self._arena.give_back(answer.number)
            self._answered(self, answer)

    def connection_lost(self, error: Exception | None) -> None:
        """The worker has gone, or is going: wait for its end, then tell."""
        self.usable = False
        self._gone.set()
        if self._arena is not None:
            self._arena.close()
            self._arena = None
        task = asyncio.get_running_loop().create_task(self._buried())
        task.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)

    async def _buried(self) -> None:
        try:
            await asyncio.to_thread(self._process.wait, _END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._died(self)
