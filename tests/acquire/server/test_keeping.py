from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from acquire_serving import RememberingFiling
from isthmus.acquire.image import Filed
from isthmus.acquire.ports import Asking, Settled, Which
from isthmus.acquire.queue.sqlite import SqliteLedger
from isthmus.acquire.request import Wish
from isthmus.acquire.server.keeping import Kept, keep
from isthmus.acquire.server.settings import ServerSettings
from isthmus.acquire.server.threads import LedgerThreads

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    made = SqliteLedger(tmp_path / "ledger.sqlite")
    yield made
    made.close()


def filed(ledger: SqliteLedger, record: str, at: datetime, digest: str) -> int:
    ledger.accept(Asking("o", "t"), [Wish("a", "video", record)], at)
    (task,) = ledger.claim("video", "a", 1, 60, at)
    image = Filed(digest, digest, f"p/{record}.jpg", 100, "jpeg", 1, 1, "p")
    assert ledger.settle([Settled(task.request, task.fence, image)], at) == ["taken"]
    return task.request


def kept(ledger: SqliteLedger, filing: RememberingFiling, settings: ServerSettings, now: datetime) -> Kept:
    threads = LedgerThreads(ledger)
    try:
        return asyncio.run(keep(threads, filing, settings, now))
    finally:
        threads.close()


def test_images_leave_by_age_and_the_list_says_so(ledger: SqliteLedger, tmp_path: Path) -> None:
    filing = RememberingFiling(tmp_path / "images")
    old = filed(ledger, "old", NOW, "a" * 64)
    young = filed(ledger, "young", NOW + timedelta(days=9), "b" * 64)
    settings = ServerSettings(keep_days=7)
    assert kept(ledger, filing, settings, NOW + timedelta(days=10)).images == 1
    assert filing.removed == [old]
    assert kept(ledger, filing, settings, NOW + timedelta(days=10)) == Kept()
    assert ledger.filed("a" * 64) is None
    assert ledger.filed("b" * 64) is not None
    assert [line.request for line in ledger.lines(Which())] == [old, young]


def test_images_leave_by_size_the_oldest_first(ledger: SqliteLedger, tmp_path: Path) -> None:
    filing = RememberingFiling(tmp_path / "images")
    numbers = [filed(ledger, f"r{at}", NOW + timedelta(hours=at), f"{at:064x}") for at in range(5)]
    assert kept(ledger, filing, ServerSettings(keep_bytes=250), NOW + timedelta(days=1)).images == 3
    assert filing.removed == numbers[:3]


def test_ended_batches_are_forgotten_and_nothing_is_by_default(ledger: SqliteLedger, tmp_path: Path) -> None:
    filing = RememberingFiling(tmp_path / "images")
    filed(ledger, "r1", NOW, "a" * 64)
    later = NOW + timedelta(days=400)
    assert kept(ledger, filing, ServerSettings(), later) == Kept()
    assert kept(ledger, filing, ServerSettings(keep_days=1, forget_days=30), later).images == 1
    kept(ledger, filing, ServerSettings(forget_days=30), later)
    assert ledger.batches() == []
