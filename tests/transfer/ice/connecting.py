"""Pairs of connected ICE channels within one process, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from isthmus.core.errors import MissingExtra
from isthmus.transfer.ice.attempt import attempt
from isthmus.transfer.ice.channel import IceChannel
from isthmus.transfer.ice.engines import chosen
from isthmus.transfer.ice.settings import EngineName, IceSettings

QUICK = IceSettings(loopback=True, gather_s=3.0, connect_s=20.0, silence_s=20.0)
"""Settings of two ends on one machine."""

Rewrite = Callable[[str], str]


def same(description: str) -> str:
    """Leave a description as it is."""
    return description


@asynccontextmanager
async def direct(
    device: EngineName,
    server: EngineName,
    settings: IceSettings = QUICK,
    offered: Rewrite = same,
    answered: Rewrite = same,
) -> AsyncIterator[tuple[IceChannel, IceChannel]]:
    """Connect two ends, whose descriptions may be rewritten on their way; both are closed afterwards."""
    for engine in (device, server):
        needs(engine)
    async with (
        attempt(replace(settings, engine=device)) as one,
        attempt(replace(settings, engine=server)) as other,
    ):
        answer = await other.answer(offered(await one.offer()))
        await one.take(answered(answer))
        here, there = await asyncio.gather(one.opened(), other.opened())
    try:
        yield here, there
    finally:
        await asyncio.gather(here.close(), there.close())


def needs(engine: EngineName) -> None:
    """Skip the test, and say so, where an engine is not installed."""
    try:
        chosen(engine)
    except MissingExtra as error:
        pytest.skip(str(error))
