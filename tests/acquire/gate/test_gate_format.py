"""What is told of requests and results at a gate is what is written."""

from __future__ import annotations

from pathlib import Path

import msgspec
from blake3 import blake3

from isthmus.acquire.delivery.package import STANDARD, pack
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.gate.framing import Record
from isthmus.acquire.ports import Parcel, Task
from isthmus.core.digest import Digest, record_hash

FORMATS = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
KEY = bytes(range(0x40, 0x60))
TASK = Task(17, 3, 1, "http://10.0.0.7/a.jpg", "a-1", "t-9")


def test_a_task_and_its_frame_are_written_as_told() -> None:
    body = msgspec.json.encode(TASK)
    assert f"    {body.decode()}\n" in FORMATS
    spaceless = FORMATS.replace(" ", "")
    put, gone = Record("17.3", False, len(body)), Record("17.3", True)
    assert f"\n{put.encoded().hex()}<{len(body)}bytes>00\n{gone.encoded().hex()}\n" in spaceless
    digest = Digest().plus(record_hash(KEY, b"17.3", blake3(body).digest()))
    assert f"`{digest}`" in FORMATS


def test_a_result_is_written_as_told() -> None:
    packed = pack("north-1", [Parcel(TASK, Failure(Kind.GONE, "404"))])
    body = b"".join(packed.stretches())
    assert f"    {body[:4].hex()} {body[4:].decode()}\n" in FORMATS
    assert all(f"`{kind}`" in FORMATS for kind in Kind)
    assert f"{STANDARD.most_body:,} bytes" in FORMATS
