from __future__ import annotations

import numpy as np
import pytest

from isthmus.loop.extract.interaction import cut_ins, lead_of
from isthmus.loop.extract.lanes import lane_changes
from isthmus.loop.extract.motion import Motion
from isthmus.loop.scene import Scene
from scripted_driving import LANE_M, changing, clock, driver, from_positions, platoon, row, seen

LENGTH = 4.8


def entering(scene: Scene, motion: Motion) -> list[tuple[str, int, float]]:
    found = cut_ins(scene, motion, lane_changes(scene, motion) or [])
    return [(scene.agent_ids[item.agent], item.step, item.gap) for item in found]


def test_gap_headway_and_time_to_collision_of_a_closing_ego_are_as_scripted() -> None:
    times = clock(6)
    scene, motion = seen(driver("ego", 20 * times), driver("slow", 60 + 15 * times))
    lead = lead_of(scene, motion)
    gap = 60 - 5 * times - LENGTH
    np.testing.assert_allclose(lead.gap, gap, atol=0.05)
    np.testing.assert_allclose(lead.headway(motion.speed[0]), gap / 20, atol=0.01)
    np.testing.assert_allclose(lead.time_to_collision(), gap / 5, atol=0.05)


def test_the_least_values_reach_the_row() -> None:
    times = clock(6)
    found = row(driver("ego", 20 * times), driver("slow", 60 + 15 * times))
    assert found["gap_min_m"] == pytest.approx(60 - 30 - LENGTH, abs=0.05)
    assert found["headway_min_s"] == pytest.approx((60 - 30 - LENGTH) / 20, abs=0.01)
    assert found["ttc_min_s"] == pytest.approx((60 - 30 - LENGTH) / 5, abs=0.05)


def test_an_ego_alone_has_no_gap_and_one_that_falls_back_never_collides() -> None:
    times = clock(4)
    alone = row(driver("ego", 10 * times))
    assert (alone["gap_min_m"], alone["headway_min_s"], alone["ttc_min_s"]) == (None, None, None)
    back = row(driver("ego", 10 * times), driver("fast", 20 + 15 * times))
    assert back["gap_min_m"] == pytest.approx(20 - LENGTH, abs=0.05)
    assert back["ttc_min_s"] is None


def test_a_standing_ego_has_a_gap_but_no_headway() -> None:
    times = clock(4)
    found = row(
        from_positions("ego", np.zeros(41), np.zeros(41), heading=0.0),
        from_positions("ahead", np.full(41, 8.0), np.zeros(41), heading=0.0),
    )
    assert found["gap_min_m"] == pytest.approx(8 - LENGTH, abs=0.01)
    assert found["headway_min_s"] is None
    assert found["stopped_s"] == pytest.approx(len(times) * 0.1)


@pytest.mark.parametrize("across", [LANE_M, -LANE_M, 3.0])
def test_the_vehicle_of_the_next_lane_is_not_ahead(across: float) -> None:
    times = clock(4)
    assert row(driver("ego", 10 * times), driver("side", 15 + 10 * times, across))["gap_min_m"] is None


def test_the_vehicle_of_the_next_lane_is_not_ahead_in_a_bend_and_the_own_lanes_is() -> None:
    times = clock(8)
    ego = driver("ego", 10 * times, radius=60)
    beside = driver("side", 25 + 10 * times, -LANE_M, radius=60)
    assert row(ego, beside)["gap_min_m"] is None
    ahead = driver("ahead", 25 + 10 * times, radius=60)
    scene, motion = seen(ego, beside, ahead)
    lead = lead_of(scene, motion)
    # Up to where the ego's own way ends, the gap is measured around the bend.
    along = np.flatnonzero(10 * times + 25 < 78)
    np.testing.assert_allclose(lead.gap[along], 25 - LENGTH, atol=0.4)


def test_the_nearest_of_two_ahead_counts_and_crossing_traffic_does_not() -> None:
    times = clock(4)
    crossing = from_positions("cross", np.full(41, 30.0), -20 + 10 * times)
    scene, motion = seen(
        driver("ego", 5 * times), driver("far", 50 + 5 * times), driver("near", 40 + 5 * times), crossing
    )
    lead = lead_of(scene, motion)
    assert {scene.agent_ids[agent] for agent in lead.agent} == {"near"}


def test_one_that_drives_close_beside_is_not_in_front() -> None:
    times = clock(4)
    assert row(driver("ego", 10 * times), driver("beside", 2 + 10 * times, 2.2))["gap_min_m"] is None


def test_a_cut_in_is_found_with_the_gap_at_its_moment() -> None:
    times = clock(8)
    across = changing(times, LANE_M, 0.0, 4.0)
    scene, motion = seen(driver("ego", 15 * times), driver("cutter", 18 + 15 * times, across), *platoon(times))
    ((agent, step, gap),) = entering(scene, motion)
    assert agent == "cutter"
    assert step == pytest.approx(int(np.argmax(across < 2.3)), abs=1)
    assert gap == pytest.approx(18 - LENGTH, abs=0.1)


@pytest.mark.parametrize("radius", [np.inf, 250.0, -250.0])
def test_a_cut_in_is_found_with_nobody_else_around_also_in_a_bend(radius: float) -> None:
    times = clock(8)
    across = changing(times, LANE_M, 0.0, 4.0)
    scene, motion = seen(
        driver("ego", 15 * times, radius=radius), driver("cutter", 18 + 15 * times, across, radius=radius)
    )
    assert [(agent, round(gap)) for agent, _, gap in entering(scene, motion)] == [("cutter", 13)]


@pytest.mark.parametrize(
    "cutter",
    [
        pytest.param(lambda t: (60 + 15 * t, changing(t, LANE_M, 0, 4)), id="too far ahead"),
        pytest.param(lambda t: (-20 + 15 * t, changing(t, LANE_M, 0, 4)), id="behind the ego"),
        pytest.param(lambda t: (18 + 15 * t, changing(t, 0, LANE_M, 4)), id="leaves the path"),
        pytest.param(lambda t: (18 + 15 * t, 0 * t), id="was there before"),
        pytest.param(lambda t: (18 + 15 * t, LANE_M - 1.2 * np.exp(-((t - 4) ** 2))), id="only comes nearer"),
    ],
)
def test_what_is_no_cut_in(cutter: object) -> None:
    times = clock(8)
    along, across = cutter(times)  # type: ignore[operator]
    scene, motion = seen(driver("ego", 15 * times), driver("other", along, across), *platoon(times))
    assert entering(scene, motion) == []


@pytest.mark.parametrize("gap", [2.0, 8.0, 18.0, 30.0])
@pytest.mark.parametrize("others", [True, False])
def test_the_egos_own_lane_change_makes_nobody_cut_in(gap: float, others: bool) -> None:
    times = clock(8)
    around = [driver(f"p{start}", start + 15 * times, 2 * LANE_M) for start in (-30, 0, 30)] if others else []
    scene, motion = seen(
        driver("ego", 15 * times, changing(times, 0, LANE_M, 4)),
        driver("ahead", gap + 15 * times, LANE_M),
        *around,
    )
    assert entering(scene, motion) == []


def test_the_lane_numbers_decide_where_the_source_knows_them() -> None:
    times = clock(8)
    across = changing(times, LANE_M, 0.0, 4.0)
    zero = np.zeros(len(times), np.int32)
    ego = driver("ego", 15 * times, lane=zero)
    cutter = driver("cutter", 18 + 15 * times, across, lane=(across > LANE_M / 2).astype(np.int32))
    assert len(entering(*seen(ego, cutter))) == 1
    same = driver("cutter", 18 + 15 * times, across, lane=zero)  # a lane that ends: the road narrows
    assert entering(*seen(ego, same)) == []
