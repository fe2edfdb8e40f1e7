"""A device: what is proven becomes active, the old version stays until then, and what is damaged never does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

import model_process
from isthmus.core.errors import Corrupt, InputError, UnknownName
from isthmus.gallery.piece import shelf
from isthmus.gallery.publication import identity
from isthmus.gallery.shelves import Shelves
from isthmus.gallery.sync.item import Ref
from isthmus.gallery.sync.mode import Mode
from isthmus.imaging.network import Network
from model_making import Road, active, embedder, told


@pytest.fixture
def road(tmp_path: Path) -> Road:
    return Road(tmp_path)


def publish(road: Road, version: str, content: bytes, **fields: object) -> None:
    road.publish(version, content, **fields)
    road.cross()


@pytest.mark.parametrize("key", [None, b"s" * 32], ids=["plain", "sealed"])
def test_a_published_model_becomes_active_on_the_device_and_runs_there(road: Road, key: bytes | None) -> None:
    publish(road, "1", embedder(1, padding=5_000_000))
    device = road.device(key=key)
    assert [one.what for one in road.sync(device)] == ["1 is active, proven here"]
    assert device.models.file(device.models.active("see"), "see.onnx") == embedder(1, padding=5_000_000)
    here, there = device.models.network("see"), Network(embedder(1), "there")
    given = there.example()
    np.testing.assert_array_equal(here.run(given)["vector"], there.run(given)["vector"])
    assert road.sync(device) == [], "nothing to do the second time"
    if key:
        files = [file.read_bytes() for file in (road.folder / "device").rglob("*") if file.is_file()]
        assert not any(embedder(1)[200:264] in content for content in files), (
            "an encrypted store keeps it encrypted"
        )


def test_a_new_version_takes_the_place_of_the_old_one_which_stays_to_fall_back_to(road: Road) -> None:
    publish(road, "1", embedder(1))
    device = road.device()
    road.sync(device)
    publish(road, "2", embedder(2))
    road.sync(device)
    assert [(one.published.version, one.state) for one in device.models.versions()] == [
        ("2", "active"),
        ("1", "earlier"),
    ]


def test_a_version_that_gives_something_else_here_never_becomes_active(road: Road) -> None:
    publish(road, "1", embedder(1))
    device = road.device()
    road.sync(device)
    publish(road, "2", embedder(2), proof=Network(embedder(3), "another").proof(), keep=1)
    (found,) = road.sync(device)
    assert not found.sound
    assert "gives another vector here" in found.what
    assert active(device) == "1", "though the server does not list it any more"
    assert device.models.network("see")
    assert road.sync(device) == [], "it is not tried again and again"
    told = [(act.act, act.gallery, act.subject) for act in road.policy.acts]
    assert told == [("model active", "models.see", "1"), ("model not proven", "models.see", "2")]
    (again,) = device.settle_models("see")
    assert not again.sound


def test_a_file_that_is_no_model_never_becomes_active(road: Road) -> None:
    road.publishing.publish("see", {"see.onnx": b"nothing"}, told("1", embedder(1)))
    road.cross()
    device = road.device()
    (found,) = road.sync(device)
    assert "no ONNX model that runs here" in found.what
    assert active(device) == ""
    with pytest.raises(UnknownName):
        device.models.network("see")


def test_a_withdrawn_version_is_left_for_the_one_before_and_then_for_none(road: Road) -> None:
    publish(road, "1", embedder(1))
    publish(road, "2", embedder(2))
    device = road.device()
    road.sync(device)
    road.publishing.withdraw("see")
    road.cross()
    assert [one.what for one in road.sync(device)] == [
        "2 is withdrawn and no longer active",
        "1 is active, proven here",
    ]
    road.publishing.withdraw("see")
    road.cross()
    road.sync(device)
    assert device.models.versions() == []
    left = {file.name for file in (road.folder / "device" / "content").glob("??/*")}
    assert left == {device.store.contents.name(Shelves(road.outer).catalogue_digest("see"))}, "its pieces are gone"


def test_what_is_taken_away_from_the_device_is_deleted_there(road: Road) -> None:
    publish(road, "1", embedder(1))
    device = road.device()
    road.sync(device)
    road.policy.table = {}
    assert [one.what for one in road.sync(device)] == ["was taken away and deleted here"]
    assert not list((road.folder / "device" / "content").glob("??/*"))


def test_a_device_whose_rule_says_vectors_gets_models_all_the_same(road: Road) -> None:
    publish(road, "1", embedder(1))
    road.policy.table = {shelf("see"): Mode.VECTORS}
    device = road.device()
    road.sync(device)
    assert active(device) == "1"


def test_rolled_back_versions_are_passed_over_until_they_are_tried_again_or_changed(road: Road) -> None:
    publish(road, "1", embedder(1))
    publish(road, "2", embedder(2))
    device = road.device()
    road.sync(device)
    assert device.roll_back_model("see").version == "1"
    assert road.sync(device) == []
    assert [one.state for one in device.models.versions()] == ["active", "rolled back here"]
    with pytest.raises(InputError, match="no version of see before 1"):
        device.roll_back_model("see")
    assert [one.what for one in device.settle_models("see")] == ["2 is active, proven here"]
    device.roll_back_model("see")
    publish(road, "3", embedder(3))
    road.sync(device)
    assert active(device) == "3"


@pytest.mark.parametrize("whose", ["active", "new", "catalogue"])
def test_damage_on_the_device_is_never_used_and_heals_by_the_next_synchronisation(road: Road, whose: str) -> None:
    publish(road, "1", embedder(1, padding=5_000_000))
    device = road.device()
    road.sync(device)
    if whose == "new":
        publish(road, "2", embedder(2, padding=5_000_000))
        road.pull(device)
    listed = Shelves(road.outer).catalogue("see").versions[-1]
    digest = Shelves(road.outer).catalogue_digest("see") if whose == "catalogue" else listed.pieces[-1]
    path = next((road.folder / "device" / "content").glob(f"??/{device.store.contents.name(digest)}"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Corrupt):
        device.store.contents.read(Ref(digest, 0))
    (found,) = device.settle_models()
    assert not found.sound
    assert "fetches it anew" in found.what
    assert active(device) == "1"
    road.sync(device)
    assert active(device) == listed.version
    assert device.models.network("see")


def test_the_active_version_makes_vectors_under_a_name_of_its_own(road: Road) -> None:
    publish(road, "1", embedder(1))
    publish(road, "2", embedder(2))
    device = road.device()
    road.sync(device)
    first, second = Shelves(road.outer).catalogue("see").versions
    assert device.models.extractor("see").model.name == identity("see", second)
    assert identity("see", first) != identity("see", second)


STEPS = [
    ("content in place", 2),
    ("in the transaction", 1),
    ("model whole", 1),
    ("model proven", 1),
    ("model in the transaction", 1),
    ("model committed", 1),
    ("before unlink", 1),
    ("model active", 1),
]


@pytest.mark.parametrize(("step", "nth"), STEPS)
def test_a_device_killed_at_a_step_has_the_old_version_or_the_new_one_whole(
    tmp_path: Path, step: str, nth: int
) -> None:
    road = Road(tmp_path)
    publish(road, "1", model_process.OLD)
    device = road.device()
    road.sync(device)
    device.close()
    publish(road, "2", model_process.NEW, keep=1)
    kill("settle", tmp_path, step, nth)
    device = Road(tmp_path).device()
    stands = device.models.active("see")
    assert stands.version in ("1", "2")
    whole = {"1": model_process.OLD, "2": model_process.NEW}[stands.version]
    assert device.models.file(stands, "see.onnx") == whole
    road.sync(device)
    assert device.models.file(device.models.active("see"), "see.onnx") == model_process.NEW
    needed = {*device.models.active("see").pieces, Shelves(road.outer).catalogue_digest("see")}
    left = {file.name for file in (tmp_path / "device" / "content").glob("??/*")}
    assert left == {device.store.contents.name(digest) for digest in needed}, "nothing else is left"


@pytest.mark.parametrize("step", ["applied", "placed", "synced", "committed"])
def test_a_publisher_killed_at_a_step_has_published_all_or_nothing(tmp_path: Path, step: str) -> None:
    road = Road(tmp_path)
    publish(road, "1", model_process.OLD)
    kill("publish", tmp_path, step, 2 if step == "applied" else 3)  # two transactions open the site
    road = Road(tmp_path)
    road.inner.tidy()
    versions = [one.published.version for one in Shelves(road.inner).list()]
    assert versions == (["2", "1"] if step == "committed" else ["1"])
    road.publish("2", model_process.NEW)
    road.cross()
    assert [(one.published.version, one.flaw) for one in Shelves(road.outer).list()] == [("2", ""), ("1", "")]


def kill(what: str, folder: Path, step: str, nth: int) -> None:
    words = [sys.executable, model_process.__file__, what, str(folder), step, str(nth)]
    environment = os.environ | {"PYTHONPATH": str(Path(model_process.__file__).parent)}
    killed = subprocess.run(words, env=environment, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


def test_hostile_catalogues_are_refused_as_a_whole(road: Road) -> None:
    publish(road, "1", embedder(1))
    catalogue = Shelves(road.outer).catalogue("see")
    one = catalogue.versions[0]
    for path in ("/etc/passwd", "../x", "a//b", "a\\b", ""):
        file = msgspec.structs.replace(one.files[0], path=path)
        bad = msgspec.structs.replace(
            catalogue, versions=(msgspec.structs.replace(one, files=(file,), onnx=path),)
        )
        with pytest.raises(Corrupt):
            type(catalogue).of_content(bad.content(), "see")
