"""Vectors at the outer site: made of images that are what they were, and one damaged file holds up no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from gallery_doubles import scene
from gallery_making import alter, text_of
from gallery_sites import UNGATED, write
from isthmus.app.galleries.outer import Outer
from isthmus.core.digest import new_key
from isthmus.core.errors import Corrupt

G = "galleries.things"
MANY = 40


@pytest.fixture
def site(tmp_path: Path) -> Outer:
    made = Outer.open(write(tmp_path / "outer", UNGATED) / "isthmus.toml")
    with made.set.changing() as change:  # type: ignore[union-attr]
        change.begin_stream(new_key())
        for number in range(MANY):
            change.put(G, {"_id": number, "url": text_of(scene(number))})
    return made


def images(site: Outer) -> dict[bytes, bytes]:
    assert site.extractor is not None
    waiting = Outer.open(site.config.path).set.without_vector(site.extractor.model.name, 1000)
    return {digest: image.read() for digest in waiting if (image := site.set.image(digest)) is not None}


def all_made(site: Outer) -> None:
    while site.make_vectors():
        pass


def vectors(site: Outer) -> int:
    return site.set.galleries()[0].vectors


@pytest.mark.parametrize("damaged", [1, 20], ids=["one", "more than a batch"])
@pytest.mark.parametrize("gone", [False, True], ids=["altered", "gone"])
def test_a_damaged_image_holds_up_no_other_and_is_named_until_it_is_restored(
    site: Outer, damaged: int, gone: bool
) -> None:
    hurt = dict(list(images(site).items())[:damaged])
    other = scene(99)  # it can be decoded: only its digest tells that it is another image
    for digest in hurt:
        alter(site.set, digest, None if gone else other)
    for _ in range(2):
        with pytest.raises(Corrupt, match=next(iter(hurt)).hex()):
            all_made(site)
        assert vectors(site) == MANY - damaged
    for digest, content in hurt.items():
        alter(site.set, digest, content)
    all_made(site)
    assert vectors(site) == MANY
    site.close()


def test_an_image_beyond_limits_that_were_lowered_since_has_no_vector_and_holds_up_no_other(site: Outer) -> None:
    site.close()
    toml = site.config.path
    toml.write_text(toml.read_text().replace("[gallery]", "[gallery]\nmegapixels = 0.01"))
    lower = Outer.open(toml)
    assert lower.part.limits.most_pixels == 10_000
    with lower.set.changing() as change:  # type: ignore[union-attr]
        change.put(G, {"_id": "small", "url": text_of(scene(1, size=64))})
    all_made(lower)
    assert vectors(lower) == 1
    assert lower.make_vectors() == 0, "nothing is looked at again and again"
    lower.close()
