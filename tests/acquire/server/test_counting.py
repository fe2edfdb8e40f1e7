from __future__ import annotations

import asyncio
import errno
import io
import json
import math
import os
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.image import Filed
from isthmus.acquire.log import Log
from isthmus.acquire.ports import Depth, Event
from isthmus.acquire.server.gathering import Gathering
from isthmus.acquire.server.journal import Journal
from isthmus.acquire.server.metrics import WINDOW_S, Counts, Durations, families
from isthmus.app.clock import SystemClock
from isthmus.core.prometheus import exposition

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@given(st.lists(st.floats(0.0011, 90_000), min_size=1, max_size=200), st.floats(0.01, 1))
def test_quantiles_are_right_within_a_tenth(durations: list[float], share: float) -> None:
    counted = Durations(lambda: 0.0)
    for one in durations:
        counted.add(one)
    right = sorted(durations)[max(0, math.ceil(share * len(durations)) - 1)]
    assert right / 1.11 <= counted.quantile(share) <= right * 1.11
    assert counted.count == len(durations)


def test_quantiles_forget_what_is_long_past() -> None:
    time = [0.0]
    counted = Durations(lambda: time[0])
    assert math.isnan(counted.quantile(0.5))
    counted.add(100)
    time[0] += WINDOW_S
    counted.add(1)
    assert counted.quantile(0.99) > 50
    time[0] += WINDOW_S
    assert counted.quantile(0.99) < 2
    time[0] += 3 * WINDOW_S
    assert math.isnan(counted.quantile(0.99))
    assert (counted.count, counted.sum_s) == (2, 101)


def test_the_exposition_is_one_that_prometheus_reads() -> None:
    counts = Counts()
    filed = Filed("d", "d", "p", 123, "jpeg", 1, 1, "p")
    done = Event(1, NOW, "done", "b", "o", 1, "r", "video", filed=filed)
    failed = Event(2, NOW, "failed", "b", "o", 2, "s", "video", failure=Failure(Kind.GONE, "x"))
    counts.saw([done, failed], {"b": NOW - timedelta(seconds=0.25)})
    counts.leased("video", 0.1)
    counts.errors["video", Kind.GONE] += 1
    counts.heard["video", 'a"1\n'] = NOW - timedelta(seconds=5)
    text = exposition(families(counts, [Depth("video", {"queued": 7}, 3.5)], {"watchers": 2.0}, NOW))
    line = re.compile(r'[a-z_]+(\{[a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*\})? (NaN|[-+0-9.e]+)')
    for one in text.splitlines():
        assert one.startswith("# ") or line.fullmatch(one), one
    assert 'isthmus_acquire_requests{environment="video",state="queued"} 7' in text
    assert 'isthmus_acquire_images_total{environment="video"} 1' in text
    assert 'isthmus_acquire_image_bytes_total{environment="video"} 123' in text
    assert 'isthmus_acquire_errors_total{environment="video",kind="gone"} 1' in text
    assert 'isthmus_acquire_ended_total{environment="video",kind="failed"} 1' in text
    assert 'isthmus_acquire_request_seconds_count{environment="video"} 1' in text
    assert 'agent_silent_seconds{environment="video",agent="a\\"1\\n"} 5.0' in text
    assert "isthmus_acquire_watchers 2.0" in text
    names = re.findall(r"# TYPE (\S+)", text)
    assert len(set(names)) == len(names)


def test_calls_that_come_together_go_together_and_everybody_gets_its_own_answer() -> None:
    async def main() -> None:
        calls: list[int] = []

        async def work(things: list[int]) -> Sequence[int]:
            calls.append(len(things))
            await asyncio.sleep(0)
            if 13 in things:
                raise OSError("unlucky")
            return [thing * 2 for thing in things]

        gathering: Gathering[int, int] = Gathering(work, most=8)
        dice = random.Random(7)
        asked = [[dice.randrange(14, 99) for _ in range(dice.randrange(5))] for _ in range(50)]
        answers = await asyncio.gather(*map(gathering, asked))
        assert answers == [[one * 2 for one in some] for some in asked]
        assert max(calls) <= 8
        assert len(calls) < 50
        assert await gathering([3]) == [6]
        with pytest.raises(OSError, match="unlucky"):
            await gathering([13])
        assert await gathering(list(range(14, 40))) == [one * 2 for one in range(14, 40)]

    asyncio.run(main())


def test_a_call_after_a_pause_goes_at_once_and_what_comes_within_it_goes_together() -> None:
    async def main() -> None:
        calls: list[list[int]] = []

        async def work(things: list[int]) -> Sequence[int]:
            calls.append(things)
            return things

        full: Gathering[int, int] = Gathering(work, most=4, pause_s=3600)
        assert await full([1]) == [1]
        waiting = [asyncio.ensure_future(full([number])) for number in (2, 3, 4)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert calls == [[1]]
        assert await full([5]) == [5]
        assert [await one for one in waiting] == [[2], [3], [4]]
        assert calls == [[1], [2, 3, 4, 5]]
        calls.clear()
        soon: Gathering[int, int] = Gathering(work, pause_s=0.01)
        assert await asyncio.gather(soon([1]), soon([2])) == [[1], [2]]
        assert await asyncio.gather(soon([3]), soon([4])) == [[3], [4]]
        assert calls == [[1, 2], [3, 4]]

    asyncio.run(main())


def test_a_caller_who_gave_up_does_not_hurt_the_others() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def work(things: list[int]) -> Sequence[int]:
            await gate.wait()
            return things

        gathering: Gathering[int, int] = Gathering(work)
        gone, stays = asyncio.ensure_future(gathering([1])), asyncio.ensure_future(gathering([2]))
        await asyncio.sleep(0)
        gone.cancel()
        gate.set()
        assert await stays == [2]

    asyncio.run(main())


def test_acts_are_written_down_and_read_again(tmp_path: Path) -> None:
    async def main() -> None:
        journal = Journal(tmp_path / "audit.sqlite", SystemClock())
        await asyncio.gather(*(journal.note("alice", "ask", f"b{number}") for number in range(50)))
        journal.close()
        again = Journal(tmp_path / "audit.sqlite", SystemClock())
        assert {one.subject for one in await again.entries(0, 100)} == {f"b{number}" for number in range(50)}
        assert len(await again.entries(48, 100)) == 2
        again.close()

    asyncio.run(main())


def test_the_log_is_one_json_object_a_line() -> None:
    stream = io.StringIO()
    say = Log(stream, SystemClock())
    say("delivery", trace="t\n1", path=Path("x"))
    say("ended")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["trace"], first["path"]) == ("delivery", "t\n1", "x")
    assert datetime.fromisoformat(second["at"]).tzinfo


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stream = Full()
    say = Log(stream, SystemClock())
    say("sweeping failed", level="error", error="the disk is full")
    stream.close()
    say("ended")
