from __future__ import annotations

import asyncio
import errno
import io
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PIL import Image

from filing_pictures import arrived, encoded, photo
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.filing import pool as pool_module
from isthmus.acquire.filing.arena import Arena
from isthmus.acquire.filing.hand import Hand
from isthmus.acquire.filing.pool import FilingPool
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing_port import Filing
from isthmus.acquire.image import Filed
from isthmus.core.errors import Busy, InputError, IsthmusError
from samples import SAMPLES, needs_samples

HURTING = (str(Path(__file__).with_name("hurting_worker.py")),)


@asynccontextmanager
async def _pool(root: Path, command: tuple[str, ...] = HURTING, **rules: Any) -> AsyncIterator[FilingPool]:
    pool = FilingPool(FilingRules(str(root), **rules), command)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def test_it_is_what_the_interface_server_asks_for(tmp_path: Path) -> None:
    filing: Filing = FilingPool(FilingRules(str(tmp_path)))
    assert filing is not None


@pytest.mark.parametrize("shares", [True, False], ids=["shared memory", "socket"])
def test_contents_that_lie_in_pieces_are_filed_whole_and_in_their_order(
    tmp_path: Path, shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shares:
        monkeypatch.setattr(Arena, "lay", lambda self, number, contents: -1)
    contents = [encoded(photo(seed)) for seed in range(6)]

    async def run() -> None:
        async with _pool(tmp_path) as pool:
            calls = [arrived(content, number) for number, content in enumerate(contents)]
            for number, cut in ((1, 1), (2, 2000), (4, len(contents[4]) // 2)):
                view = memoryview(contents[number])
                calls[number] = replace(calls[number], content=(view[:cut], view[cut : cut + 9], view[cut + 9 :]))
            for filed, content in zip(await pool.file(calls), contents, strict=True):
                assert isinstance(filed, Filed)
                assert pool.path(filed).read_bytes() == content

    asyncio.run(run())


def test_many_calls_at_once_get_their_own_results_in_order(tmp_path: Path) -> None:
    contents = [encoded(photo(seed)) for seed in range(12)]

    async def run() -> None:
        async with _pool(tmp_path, workers=2) as pool:
            calls = [[arrived(contents[(n + k) % 12], 100 * n + k) for k in range(n % 7)] for n in range(20)]
            calls.append([arrived(contents[k % 12], 5000 + k) for k in range(70)])
            results = await asyncio.gather(*map(pool.file, calls))
            for call, result in zip(calls, results, strict=True):
                assert [type(one) for one in result] == [Filed] * len(call)
                for came, filed in zip(call, result, strict=True):
                    assert isinstance(filed, Filed)
                    assert filed.source_digest == came.digest
                    assert f"_{came.wish.record}_" in filed.path
                    assert pool.path(filed).read_bytes() == came.content

    asyncio.run(run())
    assert len(list((tmp_path / ".contents").rglob("*.jpg"))) == 12
    assert not list((tmp_path / ".parts").iterdir())


def _filing(pool: FilingPool) -> list[Hand]:
    return [hand for hand in pool._at if not hand.draws]


def test_another_worker_starts_where_the_first_has_much_to_do(tmp_path: Path) -> None:
    content = encoded()

    async def run() -> None:
        async with _pool(tmp_path, workers=3) as pool:
            assert len(_filing(pool)) == 1
            await pool.file([arrived(content, n) for n in range(40)])
            assert len(_filing(pool)) == 1
            number = 0
            while len(_filing(pool)) < 3 or not all(hand.ready.is_set() for hand in _filing(pool)):
                calls = [[arrived(content, number + 100 * n + k) for k in range(9)] for n in range(12)]
                number += 2000
                for filed in await asyncio.gather(*map(pool.file, calls)):
                    assert [type(one) for one in filed] == [Filed] * 9
            await asyncio.gather(*(pool.file([arrived(content, n)]) for n in range(60)))
            assert len(_filing(pool)) == 3

    asyncio.run(run())


def test_where_no_other_worker_can_start_the_first_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    async def refused(*of: object) -> Hand:
        asked.append(True)
        raise OSError(errno.EAGAIN, "no more processes")

    async def run() -> None:
        async with _pool(tmp_path, workers=2) as pool:
            monkeypatch.setattr(Hand, "start", refused)
            for _ in range(3):
                filed = await asyncio.gather(*(pool.file([arrived(encoded(), n)]) for n in range(20)))
                assert [type(one) for (one,) in filed] == [Filed] * 20
            assert len(_filing(pool)) == 1
            assert asked == [True]

    asyncio.run(run())


def test_a_second_worker_that_dies_at_its_start_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Hand] = []
    real = Hand.start

    async def dying(rules: FilingRules, command: Sequence[str], *more: Any) -> Hand:
        started.append(await real(rules, ("-c", "raise SystemExit(3)"), *more))
        return started[-1]

    async def run() -> None:
        async with _pool(tmp_path, workers=2) as pool:
            monkeypatch.setattr(Hand, "start", dying)
            while not started or started[0] in pool._at:
                filed = await asyncio.gather(*(pool.file([arrived(encoded(), n)]) for n in range(20)))
                assert [type(one) for (one,) in filed] == [Filed] * 20
            assert [hand.ready.is_set() for hand in _filing(pool)] == [True]
            assert len(started) == 1

    asyncio.run(run())


def test_a_worker_that_hangs_at_its_start_is_ended_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "START_S", 0.0)

    async def run() -> None:
        pool = FilingPool(FilingRules(str(tmp_path), patience_s=1.0), ("-c", "import time; time.sleep(3600)"))
        with pytest.raises(IsthmusError, match="did not begin to work"):
            await pool.start()

    asyncio.run(run())


def test_what_a_dead_worker_had_goes_to_the_others_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        monkeypatch.setenv("HURTING_FLAG", str(tmp_path / "died"))
        async with _pool(tmp_path / "root", workers=2) as pool:
            while not (len(_filing(pool)) == 2 and all(hand.ready.is_set() for hand in _filing(pool))):
                await asyncio.gather(*(pool.file([arrived(encoded(), n)]) for n in range(40)))
            replaced = asyncio.Event()
            monkeypatch.setattr(pool, "_replace", lambda draws: replaced.wait())
            came = arrived(encoded(), 1, record="killed-once")  # and by others' hands: the image is not blamed
            (filed,) = await asyncio.wait_for(pool.file([came]), 30)
            assert isinstance(filed, Filed)
            assert len(_filing(pool)) == 1
            replaced.set()

    asyncio.run(run())


def test_as_many_workers_as_processors_and_three_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors, workers in ((1, 1), (2, 2), (3, 3), (64, 3)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=processors: set(range(n)))
        assert FilingRules().most_workers == workers
        assert FilingRules(workers=8).most_workers == 8


def test_unfit_images_fail_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with _pool(tmp_path) as pool:
            good = encoded()
            results = await pool.file(
                [arrived(good, 1), arrived(b"<html>", 2), arrived(good[:-99], 3), arrived(good, 4)]
            )
            assert [one.kind if isinstance(one, Failure) else "filed" for one in results] == [
                "filed",
                Kind.NOT_AN_IMAGE,
                Kind.NOT_AN_IMAGE,
                "filed",
            ]

    asyncio.run(run())


def test_content_may_come_as_a_file(tmp_path: Path) -> None:
    async def run() -> None:
        came = tmp_path / "came"
        came.write_bytes(encoded())
        async with _pool(tmp_path / "root") as pool:
            first, second = await pool.file([arrived(came, 1), arrived(encoded(photo(2)), 2)])
            assert isinstance(first, Filed)
            assert isinstance(second, Filed)
            assert pool.path(first).read_bytes() == encoded()
            assert pool.path(second).read_bytes() == encoded(photo(2))

    asyncio.run(run())


@pytest.mark.parametrize("way", ["segfault", "abort", "hang"])
def test_only_the_image_that_kills_its_worker_suffers(tmp_path: Path, way: str) -> None:
    async def run() -> None:
        async with _pool(tmp_path, patience_s=2.0) as pool:
            batch = [arrived(encoded(photo(n)), n) for n in range(6)]
            batch[3] = arrived(encoded(photo(3)), 3, record=way)
            others = [pool.file([arrived(encoded(photo(n)), n)]) for n in range(20, 26)]
            results, *rest = await asyncio.gather(pool.file(batch), *others)
            kinds = [one.kind if isinstance(one, Failure) else "filed" for one in results]
            assert kinds == ["filed"] * 3 + [Kind.CRASHED] + ["filed"] * 2
            assert isinstance(results[3], Failure)
            assert {"segfault": "SIGSEGV", "abort": "SIGABRT", "hang": "longer than 2 s"}[way] in results[3].reason
            assert all(isinstance(one, Filed) for (one,) in rest)

    asyncio.run(run())
    assert not list((tmp_path / ".parts").rglob("*.part"))


def test_an_image_that_wants_more_memory_than_a_worker_has_is_refused_or_crashes_and_others_go_on(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with _pool(tmp_path, memory_mb=1024) as pool:
            one, hungry, other = await pool.file(
                [arrived(encoded(), 1), arrived(encoded(), 2, record="eat"), arrived(encoded(), 3)]
            )
            assert isinstance(one, Filed)
            assert isinstance(other, Filed)
            assert isinstance(hungry, Failure)
            assert hungry.kind in (Kind.CRASHED, Kind.REFUSED)

    asyncio.run(run())


def test_an_innocent_image_whose_worker_is_killed_from_outside_is_filed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HURTING_FLAG", str(tmp_path / "flag"))

    async def run() -> None:
        async with _pool(tmp_path / "root") as pool:
            results = await pool.file([arrived(encoded(), n, record=f"killed-once-{n}") for n in range(5)])
            assert [type(one) for one in results] == [Filed] * 5

    asyncio.run(run())


def test_workers_killed_again_and_again_while_images_come_lose_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with _pool(tmp_path, workers=2) as pool:
            contents = [encoded(photo(seed)) for seed in range(5)]
            filing = asyncio.gather(
                *(pool.file([arrived(contents[n % 5], 10 * n + k) for k in range(4)]) for n in range(40))
            )
            for _ in range(4):
                await asyncio.sleep(0)
                hand = next((hand for hand, held in pool._at.items() if held and hand.usable), None)
                if hand is not None:
                    os.kill(hand._process.pid, signal.SIGKILL)
                    await hand._gone.wait()
                while not any(hand.usable and hand.ready.is_set() for hand in pool._at) and not filing.done():
                    await asyncio.sleep(0.01)
            for result in await filing:
                assert [type(one) for one in result] == [Filed] * 4

    asyncio.run(run())


def test_a_full_disk_fails_images_so_that_they_are_tried_again(tmp_path: Path) -> None:
    root = tmp_path / "root"

    async def run() -> None:
        async with _pool(root) as pool:
            (root / ".contents").write_text("a file where a folder should be")
            (failed,) = await pool.file([arrived(encoded())])
            assert isinstance(failed, Failure)
            assert failed.kind == Kind.DISK
            (root / ".contents").unlink()
            (filed,) = await pool.file([arrived(encoded())])
            assert isinstance(filed, Filed)

    asyncio.run(run())


def test_thumbnails_are_made_once_upright_small_and_without_metadata(tmp_path: Path) -> None:
    async def run() -> None:
        exif = Image.Exif()
        exif[0x0112], exif[0x010E] = 6, "SECRET"
        async with _pool(tmp_path) as pool:
            (filed,) = await pool.file([arrived(encoded(photo(1, 640, 480), exif=exif.tobytes(), quality=90))])
            assert isinstance(filed, Filed)
            first, again, other = await asyncio.gather(
                pool.thumbnail(filed, 128), pool.thumbnail(filed, 128), pool.thumbnail(filed, 64)
            )
            assert first == again
            image = Image.open(io.BytesIO(first.read_bytes()))
            assert (image.format, image.size) == ("JPEG", (96, 128))
            assert Image.open(other).size == (48, 64)
            assert b"SECRET" not in first.read_bytes()
            assert not image.getexif()
            before = first.stat().st_mtime_ns
            assert (await pool.thumbnail(filed, 128)).stat().st_mtime_ns == before
            first.write_bytes(b"")
            assert (await pool.thumbnail(filed, 128)).stat().st_size > 0, "an empty file is none"
            with pytest.raises(InputError, match="edge"):
                await pool.thumbnail(filed, 5000)
            pool.path(filed).unlink()
            next((tmp_path / ".contents").rglob("*.jpg")).unlink()
            with pytest.raises(InputError, match="gone"):
                await pool.thumbnail(filed, 200)

    asyncio.run(run())


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_transparent_pictures_are_drawn_over_white(tmp_path: Path, format: str) -> None:
    async def run() -> None:
        image = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
        async with _pool(tmp_path) as pool:
            (filed,) = await pool.file([arrived(encoded(image, format))])
            assert isinstance(filed, Filed)
            drawn = Image.open(await pool.thumbnail(filed, 64))
            assert drawn.size == (64, 32)
            assert drawn.getpixel((5, 5)) == (255, 255, 255)

    asyncio.run(run())


def test_a_pool_that_is_not_under_way_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        pool = FilingPool(FilingRules(str(tmp_path)), HURTING)
        with pytest.raises(Busy):
            await pool.file([arrived(encoded())])
        await pool.start()
        assert await pool.file([]) == []
        await pool.close()
        with pytest.raises(Busy):
            await pool.file([arrived(encoded())])

    asyncio.run(run())


def test_workers_that_cannot_start_are_told_and_not_started_for_ever(tmp_path: Path) -> None:
    async def run() -> None:
        pool = FilingPool(FilingRules(str(tmp_path)), ("-c", "raise SystemExit(3)"))
        with pytest.raises(IsthmusError, match="code 3"):
            await pool.start()
        with pytest.raises(IsthmusError):
            await pool.file([arrived(encoded())])

    asyncio.run(run())


def test_closing_finishes_what_is_under_way(tmp_path: Path) -> None:
    async def run() -> None:
        pool = FilingPool(FilingRules(str(tmp_path)), HURTING)
        await pool.start()
        filing = asyncio.create_task(pool.file([arrived(encoded(photo(n)), n) for n in range(40)]))
        await asyncio.sleep(0)
        processes = [hand._process for hand in pool._at]
        await pool.close()
        assert [type(one) for one in await filing] == [Filed] * 40
        assert all(process.poll() is not None for process in processes)

    asyncio.run(run())


@needs_samples
def test_real_photos_go_end_to_end_to_their_places(tmp_path: Path) -> None:
    pytest.importorskip("reverse_geocode")

    async def run() -> None:
        files = sorted((SAMPLES / "photos").rglob("*.jpg"))
        pool = FilingPool(FilingRules(str(tmp_path)))
        await pool.start()
        try:
            results = await pool.file([arrived(file, number) for number, file in enumerate(files)])
        finally:
            await pool.close()
        by_name = {file.name: result for file, result in zip(files, results, strict=True)}
        failed = {name for name, result in by_name.items() if isinstance(result, Failure)}
        assert failed == {
            "35_empty.jpg",
            "36_memory_error.jpg",
            "42_indexerror.jpg",
            "corrupted.jpg",
            "mutant_123.jpg",
        }
        walk = {one.place for name, one in by_name.items() if name.startswith("dscn") and isinstance(one, Filed)}
        assert walk == {"it-arezzo"}
        lund = {one.place for name, one in by_name.items() if name[0] in "012" and isinstance(one, Filed)}
        assert "se-lund" in lund
        for result in results:
            if isinstance(result, Filed):
                assert (tmp_path / result.path).stat().st_size == result.size

    asyncio.run(run())
