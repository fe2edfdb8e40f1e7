"""What keeps an outer site from following is told, and healed without anybody starting it anew."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gallery_sites import OUTER, SYNC, until, write
from isthmus.app.galleries.config import GalleryConfig, read_gallery_config
from isthmus.app.galleries.follower import Follower
from isthmus.app.galleries.outer import Outer
from isthmus.app.galleries.serving import SyncService
from isthmus.core.errors import Busy
from isthmus.transfer.signing import SigningKey


@pytest.fixture
def config(tmp_path: Path) -> GalleryConfig:
    (tmp_path / "gate-outer").mkdir()
    text = OUTER.format(extractor="phash", trust=SigningKey.create().public) + SYNC.format(port=0)
    return read_gallery_config(write(tmp_path / "outer", text) / "isthmus.toml")


@pytest.mark.parametrize(
    "error", [Busy("held", "wait"), OSError(28, "no room"), sqlite3.OperationalError("odd")], ids=type
)
def test_a_failing_round_is_told_by_health_and_heals(
    config: GalleryConfig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    said: list[str] = []
    service = SyncService(config, said.append)
    failing = [True]
    received = Outer.received

    def rounds(site: Outer) -> list[object]:
        if failing[0]:
            raise error
        return received(site)  # type: ignore[return-value]

    monkeypatch.setattr(Outer, "received", rounds)
    service.follower.start()
    until(lambda: not asyncio.run(service.healthy())[0], "it is told")
    assert asyncio.run(service.healthy())[1]
    failing[0] = False
    until(lambda: asyncio.run(service.healthy()) == (True, ""), "it heals")
    service.follower.stop()
    assert [line.partition(":")[0] for line in said] == ["following failed", "following goes on"]


def test_a_site_that_cannot_be_opened_is_told_and_opened_later(
    config: GalleryConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(config, lambda text: None)
    opened = follower._opened
    tries = [0]

    def first_not() -> Outer:
        tries[0] += 1
        if tries[0] == 1:
            raise Busy("the state is held", "wait")
        return opened()

    monkeypatch.setattr(follower, "_opened", first_not)
    follower.start()
    until(lambda: tries[0] > 1 and not follower.failure, "it was opened")
    follower.stop()


def test_one_that_was_never_started_can_be_stopped(config: GalleryConfig) -> None:
    said: list[str] = []
    follower = Follower(config, said.append)
    follower.stop()
    assert (said, follower.failure) == ([], "")
