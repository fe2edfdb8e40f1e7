from __future__ import annotations

import datetime
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from isthmus.core.errors import ConfigError
from isthmus.loop.record import Record
from isthmus.loop.sources.port import job_type
from isthmus.loop.sources.simulation import SimulationJob, SimulationSettings
from source_making import DAY, first_record, ingest, read_settings

SHORT = SimulationSettings(episodes=4, duration_s=4.0, vehicles=8, scenarios=("highway", "merge"))


def same(one: Record, other: Record) -> bool:
    pairs = zip(one.tracks, other.tracks, strict=True)
    return all(
        a.agent_id == b.agent_id
        and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("x", "y", "v", "lane"))
        for a, b in pairs
    )


def test_the_job_type_is_found_through_its_entry_point() -> None:
    assert job_type("simulation") is SimulationJob


def test_an_episode_is_an_ordinary_record() -> None:
    job = SimulationJob("sim", SHORT)
    record = first_record(job, job.discover(DAY)[0])
    assert record.record_id == "episode-0000"
    assert record.egos == ("ego",)
    assert {"simulation", "highway", "policy_idm", "density_normal"} <= set(record.tags)
    ego = next(track for track in record.tracks if track.agent_id == "ego")
    assert len(ego.step) == 41 and record.dt == 0.1
    assert ego.lane is not None and len(record.lanes) == 3
    driven = np.hypot(np.diff(ego.x), np.diff(ego.y)).sum()
    assert abs(driven - ego.v[:-1].sum() * 0.1) < 0.05 * driven
    assert len(record.tracks) > 3


def test_the_same_unit_twice_and_in_another_process_gives_the_same_arrays() -> None:
    job = SimulationJob("sim", SHORT)
    unit = job.discover(DAY)[1]
    first = first_record(job, unit)
    assert same(first, first_record(job, unit))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert same(first, pool.submit(first_record, job, unit).result())


def test_an_intersection_before_it_changes_no_highway() -> None:
    # that scenario writes its parameters into the class of the other vehicles
    crossing = SimulationJob(
        "s", SimulationSettings(episodes=1, duration_s=2.0, vehicles=4, scenarios=("intersection",))
    )
    job = SimulationJob("sim", SHORT)
    unit = job.discover(DAY)[0]
    first = first_record(job, unit)
    list(crossing.read(crossing.discover(DAY)[0]))
    assert same(first, first_record(job, unit))


def test_each_day_and_each_seed_has_episodes_of_its_own_and_repeats_them() -> None:
    job = SimulationJob("sim", SHORT)
    seeds = [unit.args["seed"] for unit in job.discover(DAY)]
    assert len(set(seeds)) == 4
    assert seeds == [unit.args["seed"] for unit in job.discover(DAY)]
    assert not set(seeds) & {unit.args["seed"] for unit in job.discover(DAY + datetime.timedelta(days=1))}
    other = SimulationJob("sim", SimulationSettings(episodes=4, seed=1))
    assert not set(seeds) & {unit.args["seed"] for unit in other.discover(DAY)}


def test_a_changed_setting_changes_the_fingerprint_and_more_episodes_do_not() -> None:
    units = SimulationJob("sim", SHORT).discover(DAY)
    longer = SimulationJob("sim", SimulationSettings(episodes=4, duration_s=5.0, vehicles=8)).discover(DAY)
    assert units[0].key == longer[0].key and units[0].fingerprint != longer[0].fingerprint
    more = SimulationJob("sim", SimulationSettings(episodes=9, duration_s=4.0, vehicles=8)).discover(DAY)
    assert [unit.fingerprint for unit in more[:4]] == [unit.fingerprint for unit in units]


def test_scenarios_policies_and_densities_take_turns() -> None:
    settings = SimulationSettings(episodes=8, policies=("idm", "random"), densities=(0.5, 2.0))
    turns = {
        tuple(unit.args[k] for k in ("scenario", "policy", "density"))
        for unit in SimulationJob("s", settings).discover(DAY)
    }
    assert len(turns) == 8


@pytest.mark.parametrize("scenario", ["highway", "merge", "roundabout", "intersection"])
@pytest.mark.parametrize("policy", ["idle", "idm", "random", "aggressive"])
def test_every_scenario_runs_with_every_policy(scenario: str, policy: str) -> None:
    settings = SimulationSettings(
        episodes=1,
        duration_s=3.0,
        vehicles=6,
        scenarios=(scenario,),  # type: ignore[arg-type]
        policies=(policy,),  # type: ignore[arg-type]
    )
    records, rejects = ingest(SimulationJob("sim", settings))
    assert len(records) + len(rejects) == 1
    assert all(reject.reason == "too_short" for reject in rejects)  # the ego may collide at once
    for track in (track for record in records for track in record.tracks):
        assert np.abs(track.v).max() < 45


def test_left_is_left_a_lower_lane_number_lies_at_greater_y() -> None:
    job = SimulationJob("sim", SimulationSettings(episodes=1, duration_s=2.0, scenarios=("highway",)))
    record = first_record(job, job.discover(DAY)[0])
    places = {int(track.lane[0]): float(track.y[0]) for track in record.tracks if track.lane is not None}
    assert [places[lane] for lane in sorted(places)] == sorted(places.values(), reverse=True)


def test_a_lane_that_goes_on_in_another_keeps_its_number() -> None:
    from isthmus.loop.sources.episode import MergeGenericEnv, _lane_numbers

    numbers = _lane_numbers(MergeGenericEnv(config={"lanes_count": 2}).road.network)
    assert numbers["a", "b", 0] == numbers["b", "c", 0] == numbers["c", "d", 0]
    assert numbers["j", "k", 0] == numbers["k", "b", 0] == numbers["b", "c", 2]
    assert len(set(numbers.values())) == 3


@pytest.mark.parametrize("scenario", ["highway", "merge"])
def test_neighbours_are_those_that_the_simulator_itself_finds(scenario: str) -> None:
    from isthmus.loop.sources.episode import Episode, Neighbours, _environment

    env = _environment(Episode(7, scenario, "idm", 1.0, 5.0, 12, 3, 100.0))
    env.reset(seed=7)
    neighbours = Neighbours(env.road)
    for _ in range(15):
        neighbours.forget()
        for vehicle in env.road.vehicles:
            for index in [vehicle.lane_index, *env.road.network.side_lanes(vehicle.lane_index)]:
                assert neighbours(vehicle, index) == env.road.neighbour_vehicles(vehicle, index)
        env.road.act()
        env.road.step(0.1)


def test_a_job_can_be_pickled() -> None:
    job = pickle.loads(pickle.dumps(SimulationJob("sim", SHORT)))  # noqa: S301
    assert job.settings == SHORT


def test_wrong_settings_are_told_with_their_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(SimulationSettings, 'episodes = 0\nscenarios = ["highway", "motorway"]\npolicy = "idm"\n')
    text = str(caught.value)
    assert "site.toml:1: episodes is 0" in text
    assert "site.toml:2: scenarios is 'motorway'; allowed: 'highway', 'merge'" in text
    assert "site.toml:3: unknown key 'policy' in the file; did you mean 'policies'?" in text
