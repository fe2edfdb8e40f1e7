from __future__ import annotations

import numpy as np
import pytest

from isthmus.core.errors import InputError, UnknownName
from isthmus.loop.fields import VECTOR_SIZE
from isthmus.loop.mining.similar import comparable, similar
from isthmus.loop.rules.catalogue import Catalogue
from mining_scenes import MemoryOlap, scene

VECTORS = np.random.default_rng(5).normal(size=(200, VECTOR_SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def olap() -> MemoryOlap:
    rows = [scene(n, vector=v.tolist(), source="even" if n % 2 == 0 else "odd") for n, v in enumerate(VECTORS)]
    return MemoryOlap([*rows, scene(900, vector=VECTORS[7].tolist()), scene(901)])


def test_the_nearest_come_first_and_the_scene_itself_is_left_out(olap: MemoryOlap) -> None:
    found = similar(olap, "scenes", "s007", 5)
    distance = np.linalg.norm(VECTORS - VECTORS[7], axis=1)
    order = [int(i) for i in np.argsort(distance) if i != 7][:4]
    assert found["id"].to_pylist() == ["s900", *(f"s{i:03}" for i in order)]
    assert found["_rowid"].to_pylist() == [900, *order]
    np.testing.assert_allclose(found["distance"].to_numpy(), [0, *distance[order]], rtol=1e-5)


def test_a_filter_narrows_the_search(olap: MemoryOlap, catalogue: Catalogue) -> None:
    found = similar(olap, "scenes", "s007", 300, catalogue.where("source = 'even'"))
    assert sorted(found["_rowid"].to_pylist()) == list(range(0, 200, 2))
    assert comparable(olap, "scenes", "s007", catalogue.where("source = 'even'")) == 100
    assert comparable(olap, "scenes", "s007") == 200, "neither itself nor what has no vector"


def test_equal_distances_come_in_the_order_of_their_ids() -> None:
    olap = MemoryOlap([scene(n, vector=[float(n != 5)] * VECTOR_SIZE) for n in (9, 5, 3, 7)])
    assert similar(olap, "scenes", "s005", 3)["id"].to_pylist() == ["s003", "s007", "s009"]


def test_an_unknown_scene_is_told_with_the_nearest(olap: MemoryOlap) -> None:
    with pytest.raises(UnknownName, match=r"unknown scene 's0077'; did you mean 's007'\?"):
        similar(olap, "scenes", "s0077", 3)
    with pytest.raises(UnknownName, match="the table is empty"):
        similar(MemoryOlap([]), "scenes", "s0077", 3)


def test_what_cannot_be_compared_is_refused(olap: MemoryOlap) -> None:
    with pytest.raises(InputError, match="'s901' has no vector"):
        similar(olap, "scenes", "s901", 3)
    with pytest.raises(InputError, match="ask for 1 or more"):
        similar(olap, "scenes", "s007", 0)


def test_a_quote_in_a_scene_id_is_only_a_quote(olap: MemoryOlap) -> None:
    with pytest.raises(UnknownName):
        similar(olap, "scenes", "' OR 1=1 --", 3)
