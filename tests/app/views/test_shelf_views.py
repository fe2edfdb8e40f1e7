"""Published models as plain values: what is published, what crossed, and what a device makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossed_galleries import Crossed, crossed
from gallery_sites import DEVICE, INNER, here, write
from isthmus.app.views.shelves import held, held_by_name, model_of, shelves


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Crossed:
    made = crossed(tmp_path_factory.mktemp("sites"))
    here(made.outer, "device", "grant", "models.*", "--tag", "gate")
    made.publish("1", 1)
    made.publish("2", 2)
    made.cross()
    made.sync()
    return made


def test_both_sites_tell_of_the_same_versions_the_one_that_counts_first(sites: Crossed) -> None:
    (inner,), (outer,) = shelves(sites.tomls[0]), shelves(sites.tomls[1])
    assert inner.versions == outer.versions
    assert [(one.version, one.counts, one.missing, one.vectors) for one in inner.versions] == [
        ("2", True, 0, True),
        ("1", False, 0, True),
    ]
    newest = inner.versions[0]
    assert (inner.model, newest.files, newest.note, len(newest.digest)) == ("see", 1, "the embedder 2", 64)
    assert newest.at is not None and newest.size > 0
    assert (inner.crossed, outer.crossed) == ("sent", "")
    assert shelves(sites.tomls[2]) == ()


def test_a_device_says_which_version_it_uses_and_why_another_one_not(sites: Crossed) -> None:
    assert held(sites.tomls[0]) == ()
    found = held(sites.tomls[2])
    assert [(one.model, one.version, one.state) for one in found] == [
        ("see", "2", "active"),
        ("see", "1", "earlier"),
    ]
    assert found[0].since is not None
    assert held_by_name([sites.tomls[2]]) == {"handheld": found}
    here(sites.device, "device", "rollback", "see")
    after = held(sites.tomls[2])
    assert [(one.version, one.state) for one in after] == [("1", "active"), ("2", "refused")]
    assert "rolled back" in after[1].why
    here(sites.device, "device", "models", "--retry", "see")
    assert held(sites.tomls[2])[0].version == "2"


def test_what_was_published_after_the_last_sending_waits_and_a_withdrawn_version_says_why(tmp_path: Path) -> None:
    sites = crossed(tmp_path)
    sites.publish("1", 1)
    (waiting,) = shelves(sites.tomls[0])
    assert (waiting.crossed, shelves(sites.tomls[1])) == ("waiting", ())
    here(sites.inner, "model", "withdraw", "see", "--why", "it sees nothing")
    sites.cross()
    for toml, crossed_ in zip(sites.tomls[:2], ("sent", ""), strict=True):
        (one,) = shelves(toml)
        assert (one.versions, one.crossed) == ((), crossed_)
        assert [(gone.version, gone.why) for gone in one.withdrawn] == [("1", "it sees nothing")]


def test_a_piece_that_is_gone_is_counted_and_a_broken_catalogue_is_told(tmp_path: Path) -> None:
    sites = Crossed(write(tmp_path / "inner", INNER), tmp_path, tmp_path)
    sites.publish("1", 1)
    images = [
        path
        for path in (sites.inner / "state").rglob("*")
        if path.is_file() and b"isthmus model" in path.read_bytes()
    ]
    small, large = sorted((one for one in images if ".sqlite" not in one.name), key=lambda one: one.stat().st_size)
    large.unlink()
    (one,) = shelves(sites.tomls[0])
    assert one.versions[0].missing == 1
    small.write_bytes(b"x")
    (one,) = shelves(sites.tomls[0])
    assert (one.versions, bool(one.problem)) == ((), True)


def test_nothing_is_made_for_sites_that_have_not_begun(tmp_path: Path) -> None:
    inner = write(tmp_path / "inner", INNER)
    device = write(tmp_path / "device", DEVICE.format(name="d", extractor="phash"))
    assert shelves(inner / "isthmus.toml") == held(device / "isthmus.toml") == ()
    assert held_by_name([device / "isthmus.toml", inner / "isthmus.toml"]) == {}
    assert [file.name for file in (*inner.iterdir(), *device.iterdir())] == ["isthmus.toml"] * 2


def test_a_shelf_is_told_from_a_gallery() -> None:
    assert (model_of("models.see"), model_of("galleries.staff")) == ("see", "")
