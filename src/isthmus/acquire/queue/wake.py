"""Wakes: a word that something new is there, so that nobody need ask again and again.

A wake may get lost, come twice, or come for nothing. It is never the truth: who waits looks into the ledger when
the wait ends, however it ends, and a lost wake costs no more than the wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from isthmus.core.errors import InputError, MissingExtra

if TYPE_CHECKING:
    import psycopg

_AGAIN_S = 1.0
_CONNECT_S = 5.0
_CHANNEL = "isthmus_acquire"
_SUBJECT = "isthmus.acquire.wake"


class Wake(Protocol):
    """Tells all who wait for a topic, in this process and, where it has a carrier, in others. Safe for threads."""

    def tell(self, topic: str) -> None:
        """Wake who waits for a topic. Never raises for a carrier that is away."""
        ...

    def wait(self, topic: str, wait_s: float) -> bool:
        """Wait to be told; return whether that was so. What was told while nobody waited ends the next wait."""
        ...

    def close(self) -> None:
        """End all waits and let the carrier go."""
        ...


class LocalWake:
    """Wakes within one process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._told: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._kept: set[str] = set()
        self._closed = False

    def tell(self, topic: str) -> None:
        """Wake who waits."""
        with self._changed:
            if self._waiting.get(topic):
                self._told[topic] = self._told.get(topic, 0) + 1
                self._changed.notify_all()
            else:
                self._kept.add(topic)

    def wait(self, topic: str, wait_s: float) -> bool:
        """Wait to be told."""
        until = time.monotonic() + wait_s
        with self._changed:
            if topic in self._kept:
                self._kept.remove(topic)
                return True
            before = self._told.get(topic, 0)
            self._waiting[topic] = self._waiting.get(topic, 0) + 1
            try:
                while not self._closed and self._told.get(topic, 0) == before:
                    left = until - time.monotonic()
                    if left <= 0:
                        return False
                    self._changed.wait(left)
                return not self._closed
            finally:
                self._waiting[topic] -= 1
                if not self._waiting[topic]:
                    del self._waiting[topic]
                    self._told.pop(topic, None)

    def close(self) -> None:
        """End all waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class PostgresWake:
    """Wakes between servers by LISTEN and NOTIFY. A thread listens, and connects again whenever it must."""

    def __init__(self, dsn: str) -> None:
        """Begin to listen. Raises MissingExtra; a server that is away is waited for in the background."""
        try:
            import psycopg
        except ImportError as error:
            raise MissingExtra.named("psycopg", "postgres") from error
        self._dsn, self._psycopg = dsn, psycopg
        self._local = LocalWake()
        self._sending = threading.Lock()
        self._sender: psycopg.Connection[Any] | None = None
        self._closing = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="wakes", daemon=True)
        self._thread.start()

    def ready(self, wait_s: float) -> bool:
        """Wait until it listens; return whether it does."""
        return self._listening.wait(wait_s)

    def tell(self, topic: str) -> None:
        """Wake who waits, here and elsewhere."""
        self._local.tell(topic)
        with self._sending, contextlib.suppress(self._psycopg.Error):
            try:
                if self._sender is None:
                    self._sender = self._connect()
                self._sender.execute("SELECT pg_notify(%s, %s)", [_CHANNEL, topic])
            except self._psycopg.Error:
                if self._sender is not None:
                    self._sender.close()
                self._sender = None
                raise

    def wait(self, topic: str, wait_s: float) -> bool:
        """Wait to be told."""
        return self._local.wait(topic, wait_s)

    def close(self) -> None:
        """End all waits and disconnect."""
        self._closing.set()
        self._local.close()
        self._thread.join()
        with self._sending:
            if self._sender is not None:
                self._sender.close()

    def _connect(self) -> psycopg.Connection[Any]:
        return self._psycopg.connect(self._dsn, autocommit=True, connect_timeout=int(_CONNECT_S))

    def _listen(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(self._psycopg.Error), self._connect() as connection:
                connection.execute(f"LISTEN {_CHANNEL}")
                own = self._listening
                own.set()
                while not self._closing.is_set():
                    for told in connection.notifies(timeout=_AGAIN_S / 4):
                        self._local.tell(told.payload)
            self._listening.clear()
            self._closing.wait(_AGAIN_S)


class NatsWake:
    """Wakes between servers by NATS; nothing is stored there. A thread runs its client."""

    def __init__(self, address: str) -> None:
        """Begin to connect. Raises MissingExtra, InputError where the address is none; a server that is away

        is waited for in the background.
        """
        try:
            import nats
        except ImportError as error:
            raise MissingExtra.named("nats-py", "nats") from error
        _check(address)
        self._local = LocalWake()
        self._client: Any = None
        self._subscribed = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wakes", daemon=True)
        self._thread.start()
        self._connecting = asyncio.run_coroutine_threadsafe(self._open(nats.connect, address), self._loop)

    def ready(self, wait_s: float) -> bool:
        """Wait until it listens; return whether it does."""
        return self._subscribed.wait(wait_s)

    async def _open(self, connect: Callable[..., Any], address: str) -> None:
        async def told(message: Any) -> None:
            self._local.tell(message.data.decode(errors="replace"))

        async def quiet(error: Exception) -> None:
            """Say nothing: a carrier that is away costs a wait, and it connects again by itself."""

        client = await connect(
            address, error_cb=quiet, connect_timeout=_CONNECT_S, max_reconnect_attempts=-1,
            reconnect_time_wait=_AGAIN_S, allow_reconnect=True,
        )  # fmt: skip
        await client.subscribe(_SUBJECT, cb=told)
        await client.flush()
        self._client = client
        self._subscribed.set()

    def tell(self, topic: str) -> None:
        """Wake who waits, here and elsewhere."""
        self._local.tell(topic)
        with contextlib.suppress(RuntimeError):  # closed
            asyncio.run_coroutine_threadsafe(self._publish(topic), self._loop)

    async def _publish(self, topic: str) -> None:
        import nats

        if self._client is None:
            return
        with contextlib.suppress(nats.errors.Error):
            await self._client.publish(_SUBJECT, topic.encode())

    def wait(self, topic: str, wait_s: float) -> bool:
        """Wait to be told."""
        return self._local.wait(topic, wait_s)

    def close(self) -> None:
        """End all waits and disconnect."""
        self._local.close()
        if self._loop.is_closed():
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._ended(), self._loop).result(_CONNECT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _ended(self) -> None:
        self._connecting.cancel()
        if self._client is not None:
            await self._client.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


def _check(address: str) -> None:
    try:
        parts = urllib.parse.urlsplit(address)
        known = parts.scheme in ("nats", "tls", "ws", "wss") and parts.hostname and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        raise InputError(f"{address!r} is no address of a NATS server", "write nats://host:port")
