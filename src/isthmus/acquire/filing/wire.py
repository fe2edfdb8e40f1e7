"""What the pool and its worker processes say to each other, over a pair of sockets.

A frame is u32 length of head | u32 length of body | head (MessagePack) | body: the contents of a batch, one after
the other, in the order of its items. As a rule they lie in shared memory (`arena`) instead, and there is no body.
Both ends are of one program, started together.
"""

from __future__ import annotations

import socket
import struct

import msgspec

from isthmus.acquire.failure import Failure
from isthmus.acquire.image import Filed, Told
from isthmus.acquire.request import Wish

PREFIX = struct.Struct(">II")
MARK = struct.Struct("=QI")
"""What a worker writes into its marker before it touches an image: the batch's number (0: none) and the place."""


class Item(msgspec.Struct, frozen=True, array_like=True):
    """An image of a batch. Its content is `size` bytes of the body or the arena, or lies in `file`."""

    request: int
    environment: str
    wish: Wish
    digest: str
    told: Told
    size: int
    file: str = ""


class Batch(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Images to be filed; answered once all are durable. Their contents lie `at` a place of the arena; -1: in the

    frame's body.
    """

    number: int
    items: list[Item]
    at: int = -1


class Drawing(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A thumbnail to be made of the file `source`."""

    number: int
    source: str
    target: str
    edge: int


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """One of both."""

    filed: Filed | None = None
    failure: Failure | None = None


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What became of a batch (number 0: the worker is ready), or why nothing did."""

    number: int
    outcomes: list[Outcome] = []
    error: str = ""


Order = Batch | Drawing

encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def frame(head: bytes, body: int = 0) -> bytes:
    """Return the begin of a frame whose body of so many bytes is sent behind it."""
    return PREFIX.pack(len(head), body) + head


def receive(connection: socket.socket) -> tuple[bytes, bytearray] | None:
    """Wait for a frame; None where the other end has closed."""
    prefix = _exactly(connection, PREFIX.size)
    if prefix is None:
        return None
    head_size, body_size = PREFIX.unpack(prefix)
    head, body = _exactly(connection, head_size), _exactly(connection, body_size)
    return None if head is None or body is None else (bytes(head), body)


def _exactly(connection: socket.socket, size: int) -> bytearray | None:
    whole = bytearray(size)
    rest = memoryview(whole)
    while rest:
        got = connection.recv_into(rest)
        if not got:
            return None
        rest = rest[got:]
    return whole
