from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from filing_pictures import arrived, encoded, photo
from isthmus.acquire.filing.pool import FilingPool
from isthmus.acquire.filing.removal import remove, restore, tidy_contents
from isthmus.acquire.filing.retention import Keeping, keep, tidy
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.image import Filed
from isthmus.acquire.ports import Asking, Settled
from isthmus.acquire.queue.sqlite import SqliteLedger
from isthmus.acquire.request import Wish

HURTING = (str(Path(__file__).with_name("hurting_worker.py")),)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def _site(tmp_path: Path, seeds: list[int]) -> tuple[SqliteLedger, FilingPool, list[Filed]]:
    """File images, one a day, each asked for by a request of its own."""
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    pool = FilingPool(FilingRules(str(tmp_path / "images")), HURTING)
    await pool.start()
    filed = []
    for day, seed in enumerate(seeds):
        now = NOW + timedelta(days=day)
        ledger.accept(Asking("ann", f"t{day}"), [Wish("http://x/y", "public", f"r{day}", place="Here")], now)
        (task,) = ledger.claim("public", "agent", 1, 60, now)
        (one,) = await pool.file([arrived(encoded(photo(seed)), task.request, record=f"r{day}", place="Here")])
        assert isinstance(one, Filed)
        ledger.settle([Settled(task.request, task.fence, one)], now)
        filed.append(one)
    return ledger, pool, filed


def test_images_go_by_age_with_their_contents_thumbnails_and_empty_folders(tmp_path: Path) -> None:
    async def run() -> None:
        ledger, pool, filed = await _site(tmp_path, [1, 2, 1, 3])
        try:
            drawn = [await pool.thumbnail(one, 64) for one in filed]
            done = await keep(ledger, pool, Keeping(days=10), NOW + timedelta(days=11, hours=1))
            assert done.requests == 2
            assert done.freed == filed[1].size, "the first one's content is still somebody's"
            root = tmp_path / "images"
            assert [(root / one.path).exists() for one in filed] == [False, False, True, True]
            assert len(list((root / ".contents").rglob("*.jpg"))) == 2
            assert [file.exists() for file in drawn] == [True, False, True, True]
            done = await keep(ledger, pool, Keeping(days=1), NOW + timedelta(days=365))
            assert done.requests == 2
            assert done.freed == filed[2].size + filed[3].size
            assert [path for path in root.iterdir() if not path.name.startswith(".")] == []
            assert (await keep(ledger, pool, Keeping(days=1), NOW + timedelta(days=365))).requests == 0
        finally:
            await pool.close()
            ledger.close()

    asyncio.run(run())


def test_images_go_by_their_total_size_the_oldest_first(tmp_path: Path) -> None:
    async def run() -> None:
        ledger, pool, filed = await _site(tmp_path, [1, 2, 3, 4])
        try:
            most = sum(one.size for one in filed[2:]) + 10
            await keep(ledger, pool, Keeping(gigabytes=most / 1e9), NOW + timedelta(days=9))
            assert [(tmp_path / "images" / one.path).exists() for one in filed] == [False, False, True, True]
            assert (await keep(ledger, pool, Keeping(), NOW)).requests == 0
        finally:
            await pool.close()
            ledger.close()

    asyncio.run(run())


def test_a_removal_that_died_half_way_is_finished_by_the_next(tmp_path: Path) -> None:
    async def run() -> None:
        ledger, pool, filed = await _site(tmp_path, [1, 2])
        root = tmp_path / "images"
        try:
            lines = ledger.removable(NOW + timedelta(hours=1), None, 10)
            await pool.remove(lines, ())  # dies before the ledger knows
            assert (await keep(ledger, pool, Keeping(days=1), NOW + timedelta(days=1, hours=1))).requests == 1
            assert len(list((root / ".contents").rglob("*.jpg"))) == 1
            lines = ledger.removable(NOW + timedelta(days=9), None, 10)
            await pool.remove(lines, ())
            ledger.removed([line.request for line in lines], NOW)  # dies before the content is unlinked
            assert await tidy(ledger, pool) == 0, "it is too young to be sure"
            (content,) = (root / ".contents").rglob("*.jpg")
            os.utime(content, (1, 1))
            assert await tidy(ledger, pool) == filed[1].size
            assert not content.exists()
        finally:
            await pool.close()
            ledger.close()

    asyncio.run(run())


def test_a_path_that_another_request_shares_is_still_found_and_linked_again(tmp_path: Path) -> None:
    async def run() -> None:
        ledger, pool, (one,) = await _site(tmp_path, [1])
        try:
            lines = ledger.removable(NOW + timedelta(days=9), None, 10)
            await pool.remove(lines, ())
            assert pool.path(one).read_bytes() == encoded(photo(1)), "by its content"
            assert restore(tmp_path / "images", one)
            assert (tmp_path / "images" / one.path).read_bytes() == encoded(photo(1))
            assert not restore(tmp_path / "images", one)
        finally:
            await pool.close()
            ledger.close()

    asyncio.run(run())


@pytest.mark.parametrize("digest", ["", "../../x", "g" * 64, "0" * 63, "*"])
def test_only_digests_are_removed(tmp_path: Path, digest: str) -> None:
    keepsake = tmp_path / ".contents" / "x"
    keepsake.parent.mkdir()
    keepsake.write_bytes(b"x")
    assert remove(tmp_path, (), [digest]) == 0
    assert keepsake.exists()


def test_contents_that_have_a_path_are_never_tidied(tmp_path: Path) -> None:
    content = tmp_path / ".contents" / "aa" / f"{'a' * 64}.jpg"
    content.parent.mkdir(parents=True)
    content.write_bytes(b"x")
    (tmp_path / "named.jpg").hardlink_to(content)
    os.utime(content, (1, 1))
    assert tidy_contents(tmp_path, lambda digest: False) == 0
    assert content.exists()
