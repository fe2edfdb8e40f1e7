from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from isthmus.app.views.looking import Boundary, End, Figure, Health
from isthmus.app.views.overview import Flow, Overview, SiteSeen, flows_of, overview_of
from isthmus.faces.console.picture import BOX, HIGH, drawn

NOW = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
NAMES = [f"site {number}" for number in range(6)]
FAR = ["beyond-gate", "devices", "lab"]


def site(name: str, *ends: End) -> SiteSeen:
    return SiteSeen(name, ends=ends)


def end(
    boundary: Boundary, gives: bool, far: str = "far", mark: str = "m", health: Health = "well", **figures: int
) -> End:
    return End(boundary, mark, gives, far, tuple(Figure(name, value) for name, value in figures.items()), health)


def test_two_ends_of_one_stream_become_one_flow_and_the_worse_of_them_tells_its_health() -> None:
    inner = site("inner", end("gate", True, waiting=3))
    outer = site("outer", end("gate", False, health="alarm", behind=2))
    (flow,) = flows_of([outer, inner])
    assert (flow.source, flow.target, flow.health, flow.far) == ("inner", "outer", "alarm", "")
    assert [(one.name, one.value) for one in flow.figures] == [("waiting", 3), ("behind", 2)]


def test_an_end_whose_other_site_is_not_shown_leads_far_away() -> None:
    (flow,) = flows_of([site("outer", end("gate", False, "beyond-gate"))])
    assert (flow.source, flow.target, flow.far) == ("beyond-gate", "outer", "source")


def test_streams_of_other_names_are_not_joined() -> None:
    flows = list(flows_of([site("a", end("gate", True, mark="x")), site("b", end("gate", False, mark="y"))]))
    assert {flow.far for flow in flows} == {"source", "target"}


def test_a_pair_is_joined_by_its_names_also_while_both_say_they_are_primary() -> None:
    pair = [site("north", end("recovery", True, "south")), site("south", end("recovery", True, "north"))]
    (flow,) = flows_of([*pair, site("third", end("recovery", False, "north"))][:2])
    assert (flow.source, flow.target) == ("north", "south")
    flows = list(flows_of([*pair, site("third", end("recovery", False, "north"))]))
    assert [flow.far for flow in flows] == ["", "source"]


def test_a_site_that_cannot_be_read_is_shown_with_the_reason_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    good = tmp_path / "good" / "isthmus.toml"
    good.write_text('[site]\nname = "good"\n')
    seen = overview_of([good, tmp_path / "gone" / "isthmus.toml"], NOW)
    assert [(one.name, one.health) for one in seen.sites] == [("good", "unknown"), ("gone", "alarm")]
    assert "there is no site" in seen.sites[1].flaws[0]
    assert seen.sites[0].own
    assert seen.flows == ()


BOUNDARY = st.sampled_from(["gate", "sync", "acquire", "recovery"])
ENDS = st.lists(
    st.builds(end, BOUNDARY, st.booleans(), st.sampled_from([*FAR, *NAMES]), st.sampled_from(["x", "y"])),
    max_size=3,
)


@given(st.lists(ENDS, min_size=1, max_size=6))
def test_boxes_never_lie_on_one_another_and_every_flow_is_drawn(all_ends: list[list[End]]) -> None:
    sites = tuple(site(name, *ends) for name, ends in zip(NAMES, all_ends, strict=False))
    flows = tuple(flows_of(sites))
    picture = drawn(Overview(NOW, sites, flows))
    assert [line.flow for line in picture.lines] == list(flows)
    assert {box.name for box in picture.boxes if box.site} == {one.name for one in sites}
    for place, one in enumerate(picture.boxes):
        assert 0 <= one.x <= picture.width - BOX
        assert 0 <= one.y <= picture.height - HIGH
        for other in picture.boxes[:place]:
            assert abs(one.x - other.x) >= BOX or abs(one.y - other.y) >= HIGH


@given(st.lists(ENDS, min_size=1, max_size=6))
def test_every_end_is_in_one_flow(all_ends: list[list[End]]) -> None:
    sites = [site(name, *ends) for name, ends in zip(NAMES, all_ends, strict=False)]
    flows = list(flows_of(sites))
    apart = sum(1 for flow in flows if flow.far)
    joined = sum(2 for flow in flows if not flow.far)
    assert apart + joined == sum(map(len, all_ends))


def test_what_follows_stands_right_of_what_it_follows() -> None:
    flows = (Flow("gate", "inner", "outer", "well"), Flow("sync", "outer", "devices", "well", (), "target"))
    picture = drawn(Overview(NOW, (site("outer"), site("inner")), flows))
    places = {box.name: box.x for box in picture.boxes}
    assert places["inner"] < places["outer"] < places["devices"]
