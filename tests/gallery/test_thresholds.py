"""A gallery's own threshold is found from its vectors, kept, and known to every device after its next session."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gallery_doubles import MODEL, PEOPLE, World
from isthmus.core.errors import InputError, UnknownName
from isthmus.gallery.calibrate import calibrate
from isthmus.gallery.device.store import DeviceStore
from isthmus.gallery.record import Document
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.gallery.thresholds import Thresholds, calibrated
from isthmus.state.store import Store

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LOOSE = dataclasses.replace(MODEL, threshold=100.0)


def itself(document: Document) -> object:
    return document["_id"]


def in_pairs(document: Document) -> object:
    return int(document["_id"]) // 2


def vectors(world: World) -> list[bytes]:
    held = world.set
    found = [held.vector(record.image.digest, MODEL.name) for record in held.records(PEOPLE) if record.image]
    return [vector for vector in found if vector is not None]


def threshold_on(device: DeviceStore) -> float:
    return next(model.threshold for model in device.models(PEOPLE) if model.name == MODEL.name)


def test_a_gallery_is_calibrated_from_the_vectors_that_the_set_holds(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(40, vectors=True)
    world.add(99)  # has no vector
    found = calibrated(world.set, PEOPLE, LOOSE, itself, 0.1)
    assert found == calibrate(vectors(world), range(40), LOOSE, 0.1)
    assert found.strangers == 40
    assert calibrated(world.set, PEOPLE, LOOSE, in_pairs, 0.1).genuine == 40


def test_what_cannot_be_calibrated_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(3)
    with pytest.raises(InputError, match="has no vectors of test-16"):
        calibrated(world.set, PEOPLE, MODEL, itself)
    with pytest.raises(UnknownName, match="unknown gallery"):
        calibrated(world.set, "airport.peeple", MODEL, itself)
    with pytest.raises(InputError, match="no share"):
        calibrated(world.set, PEOPLE, MODEL, itself, 1.0)


def test_a_threshold_holds_for_its_gallery_and_its_model_alone_until_it_is_forgotten(tmp_path: Path) -> None:
    kept = Thresholds(Store(tmp_path / "state.db"))
    found = dataclasses.replace(calibrate([], [], MODEL), threshold=0.3)
    kept.keep(PEOPLE, MODEL.name, found, 0.01, NOW)
    kept.keep(PEOPLE, MODEL.name, dataclasses.replace(found, threshold=0.25), 0.01, NOW)
    again = Thresholds(Store(tmp_path / "state.db"))
    assert again.applied(PEOPLE, MODEL) == dataclasses.replace(MODEL, threshold=0.25)
    assert again.applied("airport.others", MODEL) == MODEL
    other = dataclasses.replace(MODEL, name="other")
    assert again.applied(PEOPLE, other) == other
    assert again.applied(PEOPLE, other, (MODEL.name,)) == dataclasses.replace(other, threshold=0.25)
    again.keep(PEOPLE, other.name, dataclasses.replace(found, threshold=0.2), 0.01, NOW)
    assert again.applied(PEOPLE, other, (MODEL.name,)) == dataclasses.replace(other, threshold=0.2)
    assert again.applied(PEOPLE, MODEL, (other.name,)) == dataclasses.replace(MODEL, threshold=0.25)
    told = [(one.gallery, one.model, one.threshold, one.at) for one in again.list()]
    assert told == [(PEOPLE, other.name, 0.2, NOW), (PEOPLE, MODEL.name, 0.25, NOW)]
    assert again.forget(PEOPLE) == 2
    assert again.applied(PEOPLE, MODEL) == MODEL


@pytest.mark.parametrize("changed", [False, True], ids=["nothing else", "with changes"])
def test_a_device_learns_a_changed_threshold_at_its_next_session(tmp_path: Path, changed: bool) -> None:
    world = World(tmp_path)
    kept = Thresholds(world.store)
    world.policy.table = {PEOPLE: Mode.BOTH}
    world.server.model_of = lambda gallery: kept.applied(gallery, MODEL)
    world.fill(20, vectors=True)
    device = world.device()
    world.sync(device)
    assert threshold_on(device) == MODEL.threshold
    kept.keep(PEOPLE, MODEL.name, dataclasses.replace(calibrate([], [], MODEL), threshold=0.25), 0.01, NOW)
    if changed:
        world.add(21, vectors=True)
    report = world.sync(device)
    assert report.galleries[0].tiers == [Tier.CHANGES if changed else Tier.EQUAL]
    assert report.content_bytes <= 20_000
    assert threshold_on(device) == 0.25
    kept.forget(PEOPLE)
    world.sync(device)
    assert threshold_on(device) == MODEL.threshold
