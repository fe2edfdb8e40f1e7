from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from isthmus.core.errors import InputError, UnknownName
from isthmus.core.settings import Reader
from isthmus.loop.forecast import HISTORY, HORIZON, Forecast
from isthmus.loop.simulators.geometry import Path
from isthmus.loop.simulators.observation import Observation, PathView, leader
from isthmus.loop.simulators.policy import (
    POLICIES,
    Forecasting,
    IntelligentDriver,
    PolicySettings,
    checked,
    policy,
    search_space,
)

PATH = Path(np.array([[0.0, 0.0], [1.0, 0.0], [400.0, 0.0]]))


class Standing:
    """A world in which nobody moves."""

    def __init__(self, states: NDArray[np.float32]) -> None:
        self.states = states
        self.size = np.tile(np.array([4.8, 2.0]), (len(states), 1))

    def history(self) -> NDArray[np.float32]:
        return np.repeat(self.states[:, None], HISTORY, axis=1)


def observation(*others: tuple[float, float, float, float], **known: float) -> Observation:
    """An ego at station 0; the others are x, y, heading, speed."""
    states = np.array([(0, 0, 0, 0, 0), *[(*other, 0) for other in others]], np.float32)
    world = Standing(states)
    view = PathView.of(PATH, states[1:].astype(float), world.size[1:])
    gap, leader_speed = leader(view, 0.0, 4.8, 2.0, 0.2)
    seen = Observation(
        step=0,
        dt=0.1,
        station=0.0,
        speed=10.0,
        acceleration=0.0,
        limit=20.0,
        gap=gap,
        leader_speed=leader_speed,
        stop_gap=math.inf,
        recorded_speed=math.nan,
        length=4.8,
        width=2.0,
        path=PATH,
        others=view,
        world=world,
    )
    return replace(seen, **known)


@given(
    st.floats(0.5, 18.0),
    st.floats(0.6, 3.0),
    st.floats(0.5, 6.0),
)
def test_behind_a_leader_of_equal_speed_the_equilibrium_gap_asks_for_no_acceleration(
    speed: float, headway: float, least: float
) -> None:
    driver = IntelligentDriver(PolicySettings(headway_s=headway, min_gap_m=least))
    gap = (least + speed * headway) / math.sqrt(1 - (speed / 20.0) ** 4)
    seen = observation(speed=speed, gap=gap, leader_speed=speed)
    assert driver.wanted(seen) == pytest.approx(0.0, abs=1e-9)
    assert driver.wanted(replace(seen, gap=1.05 * gap)) > 0
    assert driver.wanted(replace(seen, gap=0.95 * gap)) < 0


@given(st.floats(0, 40), st.floats(-2, 200), st.floats(-5, 30), st.floats(-8, 2.4), st.floats(0.5, 40))
def test_whatever_is_seen_the_answer_is_finite_and_within_the_bounds(
    speed: float, gap: float, leader_speed: float, acceleration: float, limit: float
) -> None:
    settings = PolicySettings()
    seen = observation(speed=speed, gap=gap, leader_speed=leader_speed, acceleration=acceleration, limit=limit)
    answer = IntelligentDriver(settings)(seen)
    assert -settings.decel_max <= answer <= max(settings.accel_max, acceleration)


@given(st.floats(0, 30), st.floats(1, 100), st.floats(0, 30), st.floats(0.1, 50))
def test_less_gap_never_means_more_acceleration(
    speed: float, gap: float, leader_speed: float, more: float
) -> None:
    driver = IntelligentDriver()
    near = observation(speed=speed, gap=gap, leader_speed=leader_speed)
    assert driver.wanted(near) <= driver.wanted(replace(near, gap=gap + more))


def test_jerk_is_bounded_unless_braking_hard_is_needed() -> None:
    driver = IntelligentDriver(PolicySettings(jerk_max=2.0))
    near = observation(speed=10.0, gap=5.0, leader_speed=10.0)
    assert driver(near) == pytest.approx(-0.2)
    assert driver(replace(near, gap=12.0, leader_speed=0.0)) < -4.0


def test_a_red_light_is_obeyed_like_a_leader_that_stands() -> None:
    driver = IntelligentDriver()
    free = observation(speed=10.0)
    assert driver(free) > 0
    assert driver.wanted(replace(free, stop_gap=30.0)) < 0
    assert driver(replace(free, stop_gap=15.0)) < -3.0


def test_replay_takes_the_recorded_speed_and_keeps_its_own_where_there_is_none() -> None:
    drive = policy("replay")
    assert drive(observation(speed=10.0, recorded_speed=10.2)) == pytest.approx(2.0)
    assert drive(observation(speed=10.0)) == 0.0


def test_the_nearest_agent_whose_box_reaches_into_the_corridor_is_the_leader() -> None:
    seen = observation((30.0, 0.0, 0.0, 5.0), (20.0, 2.0, 0.0, 7.0), (15.0, 3.0, 0.0, 9.0), (-10.0, 0.0, 0.0, 9.0))
    assert seen.gap == pytest.approx(20.0 - 4.8, abs=1e-5)
    assert seen.leader_speed == pytest.approx(7.0)


def test_a_crossing_agent_stands_across_the_path_with_its_width() -> None:
    seen = observation((20.0, 0.0, math.pi / 2, 5.0))
    assert seen.gap == pytest.approx(20.0 - 1.0 - 2.4, abs=1e-5)
    assert seen.leader_speed == pytest.approx(0.0, abs=1e-5)


def test_an_empty_road_has_no_leader() -> None:
    assert observation().gap == math.inf


class Foresees:
    """Forecasts that the other drives straight to a place with a given probability, and else stays."""

    name = "scripted"

    def __init__(self, x: float, y: float, probability: float = 1.0) -> None:
        self.to = np.array([x, y])
        self.probability = probability
        self.asked = 0

    def __call__(self, states: NDArray[np.float32], size: NDArray[np.float32], of: NDArray[np.intp]) -> Forecast:
        self.asked += 1
        now = states[of, -1, :2].astype(float)
        part = (np.arange(1, HORIZON + 1) / HORIZON)[None, :, None]
        goes = now[:, None] + part * (self.to - now)[:, None]
        stays = np.repeat(now[:, None], HORIZON, axis=1)
        odds = np.tile([self.probability, 1 - self.probability], (len(of), 1))
        return Forecast(np.stack([goes, stays], axis=1).astype(np.float32), odds.astype(np.float32))


CROSSING = (22.0, -8.0, math.pi / 2, 2.5)


def test_the_forecast_policy_brakes_for_one_that_will_cross_and_idm_does_not_yet() -> None:
    seen = observation(CROSSING)
    assert policy("idm")(seen) > 0
    assert Forecasting(forecaster=Foresees(22.0, 2.0))(seen) < 0


def test_it_does_not_brake_for_one_that_stays_beside_or_comes_from_behind_on_its_lane() -> None:
    assert Forecasting(forecaster=Foresees(22.0, -8.0))(observation(CROSSING)) > 0
    assert Forecasting(forecaster=Foresees(60.0, 0.0))(observation((-12.0, 0.0, 0.0, 24.0))) > 0
    assert Forecasting(forecaster=Foresees(10.0, 0.0))(observation((-12.0, 3.0, 0.0, 5.0))) > 0


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_likelier_the_crossing_the_more_it_brakes(one: float, other: float) -> None:
    less, more = sorted((one, other))
    seen = observation(CROSSING)
    unhurried = PolicySettings(jerk_max=10.0)
    braking = [Forecasting(unhurried, Foresees(22.0, 2.0, odds))(seen) for odds in (less, more)]
    assert braking[1] <= braking[0] + 1e-6


def test_without_weight_the_forecast_is_not_obeyed() -> None:
    seen = observation(CROSSING)
    deaf = Forecasting(PolicySettings(forecast_weight=0.0), Foresees(22.0, 2.0))
    assert deaf(seen) == policy("idm")(seen)


def test_a_forecast_is_asked_for_at_its_cadence_and_forgotten_at_reset() -> None:
    oracle = Foresees(22.0, 2.0)
    drive = Forecasting(PolicySettings(forecast_every_s=0.3), oracle)
    for step in range(7):
        drive(replace(observation(CROSSING), step=step))
    assert oracle.asked == 3
    drive.reset()
    drive(observation(CROSSING))
    assert oracle.asked == 4


def test_every_policy_can_be_made_and_an_unknown_one_names_the_nearest() -> None:
    assert {policy(name).name.split()[0] for name in POLICIES} == set(POLICIES)
    with pytest.raises(UnknownName, match="did you mean 'forecast'"):
        policy("forcast")


def test_the_search_space_holds_the_defaults_and_leaves_the_cadence_out() -> None:
    space = search_space()
    defaults = PolicySettings()
    assert {"speed_factor", "headway_s", "min_gap_m", "accel_max", "forecast_weight"} <= space.keys()
    assert "forecast_every_s" not in space
    assert all(low <= getattr(defaults, name) <= high and low < high for name, (low, high) in space.items())


def test_the_settings_are_read_from_toml_with_their_bounds() -> None:
    reader = Reader("headway_s = 9", "site.toml")
    reader.read(PolicySettings, reader.root, ())
    assert "headway_s is 9" in str(reader.mistakes[0])
    assert "0.6 to 3.0" in str(reader.mistakes[0])


def test_a_policy_that_answers_nonsense_is_named() -> None:
    with pytest.raises(InputError, match="'broken' chose the acceleration nan"):
        checked(math.nan, "broken")
