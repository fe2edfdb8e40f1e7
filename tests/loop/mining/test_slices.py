from __future__ import annotations

import pytest

from isthmus.core.errors import UnknownName
from isthmus.loop.mining.slices import slices
from isthmus.loop.rules.catalogue import Catalogue
from mining_scenes import MemoryOlap, scene


@pytest.fixture
def olap() -> MemoryOlap:
    return MemoryOlap(
        [
            scene(1, cut_in_gap_m=12.0, density=9.0, tags=["urban", "rain", "urban"]),
            scene(2, cut_in_gap_m=30.0, source="it's"),
            scene(3, density=3.0, tags=["urban"], source="sim"),
        ]
    )


def test_a_scene_belongs_to_its_rules_its_tags_and_its_source(olap: MemoryOlap, catalogue: Catalogue) -> None:
    asked = len(olap.asked)
    found = slices(olap, ["s001", "s002", "s003", "gone"], catalogue, ["dense_traffic", "cut_in"])
    assert found == {
        "s001": ("rule:dense_traffic", "rule:cut_in", "tag:urban", "tag:rain", "source:ngsim"),
        "s002": ("source:it's",),
        "s003": ("tag:urban", "source:sim"),
    }
    assert len(olap.asked) - asked == 2  # which fields there are, and one for all scenes


def test_rules_may_be_bound_or_combined(olap: MemoryOlap, catalogue: Catalogue) -> None:
    bound = catalogue.bind("cut_in", {"gap_m": 40})
    found = slices(olap, ["s002", "s003"], catalogue, [bound, "not dense_traffic"])
    assert found["s002"][0] == "rule:cut_in"
    assert found["s003"][0] == "rule:not dense_traffic"


def test_no_scenes_and_no_rules_are_fine(olap: MemoryOlap, catalogue: Catalogue) -> None:
    assert slices(olap, [], catalogue, ["cut_in"]) == {}
    assert slices(olap, ["s003"], catalogue, []) == {"s003": ("tag:urban", "source:sim")}


def test_an_unknown_rule_is_told(olap: MemoryOlap, catalogue: Catalogue) -> None:
    with pytest.raises(UnknownName, match="did you mean 'cut_in'"):
        slices(olap, ["s001"], catalogue, ["cutin"])
