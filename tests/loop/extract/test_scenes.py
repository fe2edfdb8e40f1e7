from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import ConfigError
from isthmus.core.settings import Reader
from isthmus.loop.extract import ExtractSettings
from isthmus.loop.extract.scenes import id_of
from scripted_driving import DAY, clock, driver, record_of, rejects, scene_of, scenes


def test_a_long_record_is_cut_into_windows_and_a_short_rest_is_dropped() -> None:
    found = scenes(record_of(driver("ego", 10 * clock(41.5))), scene_s=20.0, min_s=2.0)
    assert [scene.steps for scene in found] == [201, 201]
    assert [float(scene.origin[0]) for scene in found] == pytest.approx([0.0, 201.0])
    found = scenes(record_of(driver("ego", 10 * clock(43))), scene_s=20.0, min_s=2.0)
    assert [scene.steps for scene in found] == [201, 201, 29]


def test_each_agent_with_enough_steps_becomes_an_ego_where_none_is_named() -> None:
    times = clock(5)
    record = record_of(
        driver("a", 10 * times), driver("b", 20 + 10 * times), driver("brief", 40 + 10 * times[:9]), egos=None
    )
    assert [scene.agent_ids for scene in scenes(record)] == [("a", "b", "brief"), ("b", "a", "brief")]


def test_a_record_without_any_scene_is_told_and_one_short_ego_is_not() -> None:
    times = clock(5)
    (reject,) = rejects(record_of(driver("ego", 10 * times[:15])))
    assert (reject.record_id, reject.reason) == ("rec", "too_short")
    assert "1.4 s" in reject.detail
    assert rejects(record_of(driver("ego", 10 * times), driver("b", times[:5]), egos=None)) == []
    assert [item.reason for item in rejects(record_of())] == ["too_short"]


def test_the_ego_is_agent_zero_and_is_there_at_every_step() -> None:
    times = clock(6)
    scene = scene_of(driver("late", 30 + 9 * times[:20], first=41), driver("ego", 10 * times))
    assert scene.agent_ids == ("ego", "late")
    assert np.isfinite(scene.ego).all()
    assert np.isnan(scene.states[1, :41]).all()


def test_tracks_of_one_agent_that_came_back_have_names_of_their_own() -> None:
    times = clock(4)
    record = record_of(driver("ego", 10 * times), driver("ego", 10 * times, 3.5, first=100))
    assert [scene.scene_id[-5:] for scene in scenes(record)] == ["ego.0", "ego.1"]


def test_only_the_part_of_the_map_near_the_way_is_kept() -> None:
    line = np.stack([np.arange(0, 2000, 10.0), np.full(200, 5.0)], axis=1).astype(np.float32)
    far = line + np.array([0, 500], np.float32)
    scene = scene_of(driver("ego", 600 + 10 * clock(5)), lanes=(line, far))
    (kept,) = scene.lanes
    assert kept.dtype == np.float32
    assert kept[0, 0] == pytest.approx(-60, abs=10)
    assert kept[-1, 0] == pytest.approx(110, abs=10)
    np.testing.assert_allclose(kept[:, 1], 5)


def test_a_long_straight_lane_of_two_points_is_near_although_its_points_are_not() -> None:
    line = np.array([[-5000, 3], [5000, 3]], np.float32)
    assert len(scene_of(driver("ego", 10 * clock(5)), lanes=(line,)).lanes) == 1


def test_plain_names_are_kept_in_the_id() -> None:
    assert id_of("ngsim", DAY, "USA_US101-19_1_T-1", "452", 3) == "ngsim.20261120.USA_US101-19_1_T-1.452.3"


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_ids_are_plain_and_different_names_never_share_one(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    first, second = (id_of(parts[0], DAY, parts[1], parts[2], 0) for parts in (one, other))
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.\d{8}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.\d+", first)
    assert (first == second) == (one == other)


def test_names_that_differ_only_in_forbidden_characters_stay_apart() -> None:
    ids = {id_of("s", DAY, record, "e", 0) for record in ("a/b", "a b", "a.b", "a_b", "")}
    assert len(ids) == 5


def test_settings_that_contradict_each_other_are_refused_with_their_line() -> None:
    reader = Reader("[extract]\nscene_s = 1.0\nmin_s = 3.0\nmax_agents = 0\n", "site.toml")
    assert reader.read(ExtractSettings, reader.root["extract"], ("extract",)) is None
    with pytest.raises(ConfigError, match=r"site.toml:4: max_agents is 0"):
        reader.finish()
    with pytest.raises(ValueError, match="min_s"):
        ExtractSettings(scene_s=1.0, min_s=3.0)
