from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filing_pictures import arrived
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.filing.jobs import (
    MARKED,
    OUTSIDE,
    UNMARKED,
    Call,
    Job,
    blamed,
    contents_of,
    parted,
)


def _job(count: int) -> tuple[Call, Job]:
    call = Call([None] * count, count, asyncio.get_running_loop().create_future())
    return call, Job([(arrived(b"x" * (n + 1), n), call, n) for n in range(count)])


@pytest.mark.parametrize("points, deaths", [(MARKED, 2), (UNMARKED, 3), (OUTSIDE, 6)])
def test_an_image_alone_fails_after_so_many_deaths(points: int, deaths: int) -> None:
    async def work() -> None:
        call, job = _job(1)
        for _ in range(deaths - 1):
            assert blamed(job, "SIGSEGV", points) == [job]
        assert blamed(job, "SIGSEGV", points) == []
        await call.done
        (failed,) = call.results
        assert isinstance(failed, Failure)
        assert failed.kind is Kind.CRASHED
        assert "SIGSEGV" in failed.reason

    asyncio.run(work())


def test_the_image_at_which_a_worker_died_is_set_apart_and_alone_blamed() -> None:
    async def work() -> None:
        _, job = _job(5)
        rest, alone = parted(job, 3, "SIGSEGV", MARKED)
        assert [came.request for came, _, _ in rest.images] == [0, 1, 2, 4]
        assert [came.request for came, _, _ in alone.images] == [3]
        assert (rest.blame, alone.blame) == (0, MARKED)

    asyncio.run(work())


@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.sampled_from([MARKED, UNMARKED, OUTSIDE]), st.integers(0, 8)), max_size=60),
)
def test_however_workers_die_no_image_is_lost_or_told_twice(count: int, deaths: list[tuple[int, int]]) -> None:
    async def work() -> None:
        call, job = _job(count)
        jobs = [job]
        for points, at in deaths:
            if not jobs:
                break
            dead = jobs.pop(at % len(jobs))
            marked = points == MARKED
            jobs += parted(dead, at % len(dead.images), "died", points) if marked else blamed(dead, "died", points)
            waiting = sorted(came.request for each in jobs for came, _, _ in each.images)
            failed = [n for n, outcome in enumerate(call.results) if outcome is not None]
            assert sorted(waiting + failed) == list(range(count))
        assert call.left == sum(outcome is None for outcome in call.results)

    asyncio.run(work())


def test_what_lies_in_a_file_is_not_handed_over(tmp_path: Path) -> None:
    async def work() -> None:
        (large := tmp_path / "large").write_bytes(b"long")
        call, _ = _job(2)
        job = Job([(arrived(b"abc", 1), call, 0), (arrived(large, 2), call, 1)])
        assert contents_of(job) == [b"abc"]
        assert job.size == 3

    asyncio.run(work())
