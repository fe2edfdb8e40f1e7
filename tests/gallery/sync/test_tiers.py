"""A device is brought up to date by each tier, to the same records and the same digest."""

from __future__ import annotations

from pathlib import Path

from gallery_doubles import PEOPLE, World, held, truth
from isthmus.gallery.sync.mode import Tier


def test_a_new_gallery_comes_as_a_snapshot(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(300)
    device = world.device()
    report = world.sync(device)
    assert [found.tiers for found in report.galleries] == [[Tier.SNAPSHOT]]
    assert held(device) == truth(world)
    assert report.galleries[0].verified


def test_changes_since_the_position_are_told_and_nothing_else(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(300)
    device = world.device()
    world.sync(device)
    world.add(7, salt="new")
    world.add(1000)
    world.set.remove(PEOPLE, 8)
    report = world.sync(device)
    assert report.galleries[0].tiers == [Tier.CHANGES]
    assert (report.galleries[0].written, report.galleries[0].removed) == (2, 1)
    assert held(device) == truth(world)
    assert report.round_trips == 2


def test_an_unknown_epoch_is_reconciled(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(2000, size=200)
    device = world.device()
    world.sync(device)
    world.epochs.renew(PEOPLE)
    world.add(7, salt="new", size=200)
    world.add(5000, size=200)
    world.set.remove(PEOPLE, 8)
    report = world.sync(device)
    assert report.galleries[0].tiers == [Tier.RECONCILE]
    assert (report.galleries[0].written, report.galleries[0].removed) == (2, 1)
    assert held(device) == truth(world)
    assert report.round_trips <= 4
    assert world.sync(device).galleries[0].tiers == [Tier.EQUAL]
