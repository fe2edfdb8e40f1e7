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

from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing.wire import MARK, PREFIX, Answer, Order, decode_answer, encode
from isthmus.acquire.filing.worker import Start

_END_S = 10.0


class Hand(asyncio.Protocol):
    """A worker process and the connection to it. Told by callbacks of its answers and of its death, once."""

    def __init__(
        self,
        draws: bool,
        answered: Callable[[Hand, Answer], None],
        died: Callable[[Hand], None],
        process: subprocess.Popen[bytes],
        marker: mmap.mmap,
    ) -> None:
        self.draws = draws
        self.ready = asyncio.Event()
        self.ended = False
        self.usable = True
        self._answered, self._died = answered, died
        self._process, self._marker = process, marker
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
        with tempfile.TemporaryFile() as marker, theirs:
            marker.truncate(MARK.size)
            start = Start(rules, theirs.fileno(), marker.fileno(), draws)
            process = await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, *command, msgspec.json.encode(start).decode()],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), marker.fileno()),
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            shared = mmap.mmap(marker.fileno(), MARK.size)
        hand = cls(draws, answered, died, process, shared)
        ours.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: hand, sock=ours)
        return hand

    def send(self, order: Order, bodies: Sequence[bytes]) -> None:
        """Send an order with its contents."""
        head = encode(order)
        self._heard = max(self._heard, time.monotonic()) if not bodies else time.monotonic()
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
            if not answer.number:
                self.ready.set()
            self._answered(self, answer)

    def connection_lost(self, error: Exception | None) -> None:
        """The worker has gone, or is going: wait for its end, then tell."""
        self.usable = False
        self._gone.set()
        task = asyncio.get_running_loop().create_task(self._buried())
        task.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)

    async def _buried(self) -> None:
        try:
            await asyncio.to_thread(self._process.wait, _END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._died(self)
