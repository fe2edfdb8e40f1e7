"""A model is published with its pieces or not at all, crosses with the galleries, and is withdrawn everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from gallery_making import alter, carried, content
from isthmus.core.errors import Corrupt, InputError, UnknownName
from isthmus.gallery.piece import MAGIC, PIECE_BYTES, shelf, shelved, wrapped
from isthmus.gallery.shelves import Shelves
from model_making import Road, embedder, told


@pytest.fixture
def road(tmp_path: Path) -> Road:
    return Road(tmp_path)


def test_a_published_model_stands_at_the_outer_site_byte_for_byte(road: Road) -> None:
    large = embedder(1, padding=2 * PIECE_BYTES)
    done = road.publish("1", large, metrics={"recall": 0.9}, lineage={"run": "r7"})
    road.cross()
    (found,) = Shelves(road.outer).list()
    assert (found.name, found.published, found.latest, found.flaw) == ("see", done, True, "")
    assert len(found.published.files[0].pieces) == 3
    assert Shelves(road.outer).file(found.published, "see.onnx") == large
    assert road.outer.position() == road.inner.position(), "equal digests: the models count in them"
    assert content(road.outer) == content(road.inner)
    assert all(one.refused == 0 for one in road.outer.galleries()), "pieces are no refused images"


def test_a_snapshot_brings_the_models_too(road: Road) -> None:
    road.publish("1", embedder(1))
    road.target.apply(carried(road.source, road.source.snapshot()))
    assert [one.flaw for one in Shelves(road.outer).list()] == [""]


def test_pieces_that_versions_share_are_there_once_and_only_what_is_needed_stays(road: Road) -> None:
    weights = embedder(1)
    for version, notes in (("1", b"first"), ("2", b"second"), ("3", b"third")):
        road.publishing.publish("see", {"see.onnx": weights, "notes": notes}, told(version, weights), keep=2)
    catalogue = road.publishing.shelves.catalogue("see")
    assert [one.version for one in catalogue.versions] == ["2", "3"]
    assert len(list(road.inner.records(shelf("see")))) == 1 + 1 + 2, "the catalogue, the weights, two notes"


def test_a_published_version_never_changes_but_may_count_again(road: Road) -> None:
    road.publish("1", embedder(1))
    road.publish("2", embedder(2))
    with pytest.raises(InputError, match="published already, with other files"):
        road.publish("1", embedder(3))
    road.publish("1", embedder(1))
    assert [one.version for one in road.publishing.shelves.catalogue("see").versions] == ["2", "1"]


def test_a_withdrawn_version_is_gone_from_both_sites_with_its_pieces(road: Road) -> None:
    road.publish("1", embedder(1))
    road.publish("2", embedder(2))
    left = road.publishing.withdraw("see", why="it sees ghosts")
    road.cross()
    found = Shelves(road.outer).catalogue("see")
    assert found == left
    assert [one.version for one in found.versions] == ["1"]
    assert [(one.version, one.why) for one in found.withdrawn] == [("2", "it sees ghosts")]
    assert content(road.outer) == content(road.inner)
    with pytest.raises(UnknownName):
        road.publishing.withdraw("see", "2")
    assert road.publishing.withdraw("see").latest is None
    with pytest.raises(InputError, match="no version"):
        road.publishing.withdraw("see")


def test_damage_on_the_disk_is_told_and_publishing_again_heals_it_at_both_sites(road: Road) -> None:
    done = road.publish("1", embedder(1))
    road.cross()
    for held in (road.inner, road.outer):
        alter(held, done.pieces[0], held.files.read(done.pieces[0])[:-1] + b"!")
        (found,) = Shelves(held).list()
        assert "changed on the disk" in found.flaw
        with pytest.raises(Corrupt):
            Shelves(held).file(done, "see.onnx")
    assert Shelves(road.outer).sound("see") is None, "a damaged model makes no vectors"
    road.publish("1", embedder(1))
    road.cross()
    assert [one.flaw for held in (road.inner, road.outer) for one in Shelves(held).list()] == ["", ""]


def test_a_damaged_catalogue_at_the_inner_site_is_healed_by_the_next_publication(road: Road) -> None:
    road.publish("1", embedder(1))
    road.cross()
    path = road.inner.files.path(road.publishing.shelves.catalogue_digest("see"))
    path.write_bytes(b"nothing")
    with pytest.raises(Corrupt):
        road.publishing.shelves.catalogue("see")
    road.publish("2", embedder(2))
    road.cross()
    assert [one.version for one in Shelves(road.outer).catalogue("see").versions] == ["2"]
    assert [one.flaw for one in Shelves(road.outer).list()] == [""]


def test_a_failed_publication_leaves_nothing(road: Road) -> None:
    road.publish("1", embedder(1))
    before = content(road.inner)
    with pytest.raises(InputError, match="shorten the notes"):
        road.publish("2", embedder(2), proof=(), lineage={str(n): "x" * 2000 for n in range(3000)})
    assert content(road.inner) == before


@pytest.mark.parametrize("version", ["", "..", "a/b", "-x", "a" * 81])
def test_a_version_has_a_plain_name(road: Road, version: str) -> None:
    with pytest.raises(InputError):
        road.publish(version, embedder(1))


def test_an_image_that_pretends_to_be_a_piece_is_bounded_and_no_shelf_but_models() -> None:
    assert shelved("models.see") == "see"
    assert shelved("galleries.see") is None
    assert shelved("models.No") is None
    assert wrapped(b"x").startswith(MAGIC)
