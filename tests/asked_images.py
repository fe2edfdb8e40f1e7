"""A site with an interface server whose ledger holds batches, failures, and images filed with their places."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from blake3 import blake3

from crossed_galleries import HOSTILE_TEXT, photo
from gallery_sites import free_port, write
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.image import Filed
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.ports import Asking, Missed, Settled
from isthmus.acquire.request import Wish
from isthmus.app.acquiring.config import read_acquire_config
from isthmus.app.acquiring.ledgers import open_ledger

TOML = '[site]\nname = "hub"\n[acquire]\nport = {port}\n'
HOSTILE_RECORD = "'\"><script>alert('record')</script>"
REASON = "the server says <b>404</b>"
NOW = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
PLACES = {
    "lund": ("se-lund", "Lund, Skåne, Sweden", 55.7047, 13.191),
    "arezzo": ("it-arezzo", "Arezzo, Tuscany, Italy", 43.4632, 11.8796),
    "nowhere": ("unknown-place", "", None, None),
}


def asked(folder: Path, now: datetime = NOW) -> Path:
    """Make the site; returns its TOML.

    Batch "ended": three images (one of them not to be decoded, one with a hostile record) and a failure. Batch
    "going": one image, one request that waits because its storage server is left alone, two that are queued.
    """
    toml = write(folder, TOML.format(port=free_port())) / "isthmus.toml"
    with opened(toml) as ledger:
        first = [wish("lund"), wish("arezzo"), wish("nowhere", HOSTILE_RECORD, tags=(HOSTILE_TEXT,)), wish("gone")]
        ledger.accept(Asking("client", "t1", label="ended"), first, now - timedelta(hours=1))
        _take(folder, ledger, now - timedelta(minutes=30))
        more = [wish("lund", "lund-2"), wish("gone", "far"), wish("lund", "q1"), wish("lund", "q2", "night")]
        ledger.accept(Asking("client", "t2", label=f"going {HOSTILE_TEXT}"), more, now - timedelta(minutes=1))
        tasks = {one.record: one for one in ledger.claim("public", "agent-1", 2, 60, now - timedelta(seconds=20))}
        came, far = tasks["lund-2"], tasks["far"]
        broken = Failure(Kind.BROKEN_OFF, "it fails again and again")
        outcomes = [_settled(folder, came.request, came.fence, "lund", photo(20)),
                    Missed(far.request, far.fence, broken, 60.0)]  # fmt: skip
        ledger.settle(outcomes, now - timedelta(seconds=10))
    return toml


@contextlib.contextmanager
def opened(toml: Path) -> Iterator[Ledger]:
    with contextlib.closing(open_ledger(read_acquire_config(toml))) as ledger:
        yield ledger


def wish(name: str, record: str = "", environment: str = "public", **more: object) -> Wish:
    return Wish(f"http://store.example/{name}.jpg", environment, record or name, **more)  # type: ignore[arg-type]


def _take(folder: Path, ledger: Ledger, at: datetime) -> None:
    outcomes: list[Settled | Missed] = []
    for number, task in enumerate(ledger.claim("public", "agent-1", 10, 60, at)):
        name = task.address.rpartition("/")[2].removesuffix(".jpg")
        if name == "gone":
            outcomes.append(Missed(task.request, task.fence, Failure(Kind.GONE, REASON), None))
            continue
        content = b"GIF89a <script>alert(1)</script>" if name == "nowhere" else photo(number)
        outcomes.append(_settled(folder, task.request, task.fence, name, content))
    ledger.settle(outcomes, at)


def settled_now(folder: Path, ledger: Ledger, content: bytes, record: str) -> None:
    """Lease what is queued and file `content` for one record, as an image of the place that its address names."""
    now = datetime.now(UTC)
    for task in ledger.claim("public", "agent-1", 10, 60, now):
        if task.record == record:
            name = task.address.rpartition("/")[2].removesuffix(".jpg")
            ledger.settle([_settled(folder, task.request, task.fence, name, content)], now)


def _settled(folder: Path, request: int, fence: int, name: str, content: bytes) -> Settled:
    place, named, latitude, longitude = PLACES[name]
    path = f"{place}/{request}.jpg"
    file = folder / "images" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    digest = blake3(content).hexdigest()
    filed = Filed(
        digest, digest, path, len(content), "jpeg", 64, 64, place, named, "exif" if named else "", "", latitude,
        longitude, NOW - timedelta(days=3), "exif", "Nokia N95",
    )  # fmt: skip
    return Settled(request, fence, filed)
