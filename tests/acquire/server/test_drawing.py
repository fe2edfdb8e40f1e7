"""Thumbnails drawn ahead: as requests want, with nobody waiting, and nobody harmed where one fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

from acquire_making import filed
from isthmus.acquire.image import Filed
from isthmus.acquire.server.drawing import Drawing
from isthmus.core.errors import InputError


class Drawn:
    """Remembers what was drawn; an edge of 33 cannot be drawn; waits for `going` where it is not set."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, int]] = []
        self.at_once = self.most_at_once = 0
        self.going = asyncio.Event()

    async def thumbnail(self, image: Filed, edge: int) -> Path:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.going.wait()
        self.at_once -= 1
        if edge == 33:
            raise InputError("it cannot be drawn")
        self.drawn.append((image.path, edge))
        return Path("thumbnail")


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_wanted_thumbnails_are_drawn_a_few_at_a_time_and_one_that_fails_stops_no_other() -> None:
    said: list[dict[str, object]] = []

    async def work() -> Drawn:
        filing = Drawn()
        drawing = Drawing(filing, lambda event, **fields: said.append({"event": event, **fields}))  # type: ignore[arg-type]
        for number in range(4):
            drawing.want(filed(number), (64, 33))
        await settled()
        assert filing.drawn == []
        filing.going.set()
        await settled()
        return filing

    filing = asyncio.run(work())
    assert sorted(filing.drawn) == sorted((filed(number).path, 64) for number in range(4))
    assert filing.most_at_once == 2
    assert [one["event"] for one in said] == ["drawing failed"] * 4


def test_an_end_leaves_undrawn_what_waits() -> None:
    async def work() -> Drawn:
        filing = Drawn()
        drawing = Drawing(filing, lambda event, **fields: None)  # type: ignore[arg-type]
        drawing.want(filed(1), (64, 65, 66))
        await settled()
        await drawing.close()
        filing.going.set()
        await settled()
        return filing

    assert asyncio.run(work()).drawn == []
