"""What is seen of scenes: filters that become typed expressions, pages without gaps, one scene, rules."""

from __future__ import annotations

import datetime
import math
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.app.site import IMAGES, Site
from isthmus.app.views import opening
from isthmus.app.views.opening import let_go, opened, reading
from isthmus.app.views.rules import count_scenes, list_rules
from isthmus.app.views.scene import draw, list_similar, show_and_draw, show_scene
from isthmus.app.views.scenes import Sought, list_choices, list_scenes, list_tables
from isthmus.core.errors import ConditionError, ConfigError, InputError, UnknownName
from isthmus.loop.scene import Scene
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from loop_site import CARS, OWN_RULE, has_samples, ready_site
from traffic import DAY, bring, write_day

FIRST = "cars.20261120.drive-000.0.0"


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ready_site(tmp_path_factory.mktemp("loop"))


def everything(toml: Path, sought: Sought, limit: int) -> list[str]:
    """Page through a list to its end."""
    found: list[str] = []
    after = None
    while True:
        page = list_scenes(toml, sought, limit, after)
        found += [str(row["scene_id"]) for row in page.rows]
        after = page.after
        if after is None:
            return found


@pytest.mark.parametrize("order", ["", "speed_mean", "ttc_min_s", "cut_in_gap_m", "day", "source", "agents"])
@pytest.mark.parametrize("descending", [False, True])
def test_pages_of_any_order_hold_every_scene_once_and_nulls_come_last(
    toml: Path, order: str, descending: bool
) -> None:
    sought = Sought(order=order, descending=descending)
    whole = list_scenes(toml, sought, 1000)
    paged = everything(toml, sought, 7)
    assert paged == [row["scene_id"] for row in whole.rows]
    assert len(set(paged)) == len(paged) == whole.total == whole.matched >= CARS
    if order:
        with opened(toml) as site, reading(site) as view:
            known = {
                row["scene_id"]: row[order]
                for row in view.query(f"SELECT scene_id, {order} FROM scenes").to_pylist()
            }
        values = [known[one] for one in paged]
        there = [value for value in values if value is not None]
        assert values[: len(there)] == sorted(there, reverse=descending)


def test_every_part_of_a_filter_holds_and_is_told_as_one_condition(toml: Path) -> None:
    sought = Sought(
        named="cars.20261120.drive-0",
        source="cars",
        day_from=DAY,
        day_to=DAY,
        ranges={"speed_mean": (9.0, None), "agents": (None, 4.0)},
        rule="slow and agents >= 3",
        settings={"speed": "11"},
        where="accel_min < -1",
    )
    found = list_scenes(toml, sought, 1000)
    assert 0 < found.matched < CARS
    assert len(found.rows) == found.matched == count_scenes(toml, sought).found
    for row in found.rows:
        assert 9.0 <= row["speed_mean"] < 11
        assert row["accel_min"] < -1
    again = list_scenes(toml, Sought(where=found.where, rule=sought.rule, settings=sought.settings), 1000)
    assert again.rows == found.rows, "the whole filter can be handed to a command"


@pytest.mark.skipif(not has_samples(), reason="real samples missing: put them in ../shared/data")
def test_real_recordings_are_found_by_their_tag_and_drawn_at_their_size(toml: Path) -> None:
    found = list_scenes(toml, Sought(tag="turtlesim"))
    assert found.matched > 2
    assert {row["source"] for row in found.rows} == {"turtles"}
    assert list_choices(toml).tags == ("toy", "turtlesim")
    drawing = draw(toml, str(found.rows[0]["scene_id"]))
    ego = drawing.agents[0]
    assert (ego.role, ego.length, ego.width, len(ego.x)) == ("ego", 0.5, 0.5, drawing.steps)


def test_what_is_drawn_is_the_scene_itself_turned_to_the_right(toml: Path) -> None:
    shown, drawing = show_and_draw(toml, FIRST)
    with opened(toml) as site:
        (row,) = [
            row for batch in site.tables.scenes.scan(where=f"scene_id = '{FIRST}'") for row in batch.to_pylist()
        ]
    scene = Scene.unpack(row, row["complex"])
    assert (drawing.steps, drawing.dt, len(drawing.agents)) == (scene.steps, scene.dt, len(scene.agent_ids))
    ego = drawing.agents[0]
    assert (ego.role, ego.x[drawing.moment], ego.y[drawing.moment]) == ("ego", 0.0, 0.0)
    assert ego.heading[drawing.moment] == 0.0
    for one, states in zip(drawing.agents, scene.states, strict=True):
        assert one.first + len(one.x) <= drawing.steps
        for at, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
            true = states[one.first + at]
            if x is None or y is None:
                assert math.isnan(true[0])
                continue
            far = math.dist((x, y), (0, 0))
            assert far == pytest.approx(math.dist(true[:2], scene.states[0, drawing.moment, :2]), abs=0.05)
    assert {one.name: one.value for one in shown.fields}["speed_mean"] == pytest.approx(row["speed_mean"])
    assert "vector" not in {one.name for one in shown.fields}
    assert show_scene(toml, FIRST) == shown


def test_rules_of_the_house_and_of_the_site_are_counted_as_mining_counts(toml: Path) -> None:
    rules = {one.name: one for one in list_rules(toml)}
    assert rules["slow"].own
    assert not rules["hard_brake"].own
    for name, one in rules.items():
        counted = count_scenes(toml, Sought(rule=name))
        assert (one.found, one.of) == (counted.found, counted.of)
        with opened(toml) as site:
            held = [show_scene(toml, f"cars.20261120.drive-00{n}.1.0").rules for n in (1, 2)]
        assert all(len(found) == len(rules) for found in held)
        assert site.catalogue.rule(name).about == one.about
    looser = count_scenes(toml, Sought(rule="hard_brake", settings={"deceleration": "0.5"}))
    assert looser.found > (rules["hard_brake"].found or 0)
    assert "ego brakes hard" in looser.explanation


def test_similar_scenes_come_nearest_first_and_never_the_scene_itself(toml: Path) -> None:
    found = list_similar(toml, FIRST, 5)
    assert len(found) == 5
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    assert FIRST not in {one.scene_id for one in found}
    with pytest.raises(UnknownName, match="did you mean"):
        list_similar(toml, FIRST + "x")


@pytest.mark.parametrize(
    "sought",
    [
        Sought(where="speed_mean > 1; DROP TABLE scenes"),
        Sought(where="(SELECT 1) = 1"),
        Sought(where="read_text('/etc/passwd') = ''"),
        Sought(where="speed_mean > 'a'"),
        Sought(where="(" * 300 + "agents > 1" + ")" * 300),
        Sought(where="nosuch > 1"),
        Sought(rule="nosuch"),
        Sought(rule="hard_brake", settings={"nosuch": "1"}),
        Sought(rule="hard_brake", settings={"deceleration": "1e999"}),
        Sought(settings={"deceleration": "1"}),
        Sought(order="vector"),
        Sought(order='speed_mean" DESC; --'),
        Sought(ranges={"source": (1.0, None)}),
        Sought(ranges={"speed_mean": (math.nan, None)}),
        Sought(table="nosuch"),
        Sought(table="_isthmus.position"),
        Sought(table="rejects", rule="hard_brake"),
        Sought(table="rejects", tag="rain"),
    ],
)
def test_what_cannot_be_sought_is_refused_in_words(toml: Path, sought: Sought) -> None:
    with pytest.raises(InputError) as refused:
        list_scenes(toml, sought)
    assert str(refused.value)
    assert list_scenes(toml, Sought()).total >= CARS, "nothing was harmed"


@given(text=st.text(max_size=40))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_sought_as_itself_or_refused(toml: Path, text: str) -> None:
    for sought in (
        Sought(named=text),
        Sought(source=text),
        Sought(tag=text),
        Sought(where=text),
        Sought(order=text),
    ):
        try:
            found = list_scenes(toml, sought, 3)
        except InputError:
            continue
        if sought.named:
            assert all(str(row["scene_id"]).startswith(text) for row in found.rows)
        if sought.source:
            assert all(row["source"] == text for row in found.rows)
    try:
        show_scene(toml, text)
    except UnknownName:
        pass
    else:
        raise AssertionError("no such scene")


@pytest.mark.parametrize(
    "after",
    [
        [],
        ["", False],
        ["speed_mean", False, 1.0, 3],
        ["", True, None, 3],
        ["", False, None, -1],
        ["", False, None, "3"],
        ["", False, None, 2**64],
        [[], {}, None, None],
    ],
)
def test_a_page_that_begins_nowhere_is_refused(toml: Path, after: list[object]) -> None:
    with pytest.raises(InputError, match="first page"):
        list_scenes(toml, Sought(), 5, after)


def test_a_value_of_another_type_in_a_cursor_is_refused(toml: Path) -> None:
    for value in ("abc", {}, []):
        with pytest.raises(InputError):
            list_scenes(toml, Sought(order="speed_mean"), 5, ["speed_mean", False, value, 3])


def test_a_site_without_a_day_shows_nothing_and_makes_nothing(tmp_path: Path) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "new"\n')
    assert list_tables(toml) == ()
    assert (list_scenes(toml, Sought()).version, list_scenes(toml, Sought()).rows) == (0, ())
    assert list_choices(toml).sources == ()
    assert {one.of for one in list_rules(toml)} == {0}
    assert count_scenes(toml, Sought(rule="cut_in")).found == 0
    with pytest.raises(InputError, match="ingest"):
        show_scene(toml, FIRST)
    with pytest.raises(InputError, match="ingest"):
        list_similar(toml, FIRST)
    assert [one.name for one in tmp_path.iterdir()] == ["isthmus.toml"]


def test_rows_of_a_table_beside_the_scenes_are_found_by_a_condition(tmp_path: Path) -> None:
    toml = ready_site(tmp_path)
    with opened(toml) as site:
        photos(site)
        site.tables.level()
    assert [one.name for one in list_tables(toml)] == [IMAGES, "rejects", "scenes"]
    found = list_scenes(toml, Sought(table=IMAGES, where="place = 'se-lund'", order="width", descending=True))
    assert [(row["image_id"], row["width"]) for row in found.rows] == [("c", 4000), ("a", 640)]
    assert (found.matched, found.total, found.key) == (2, 3, "image_id")
    assert count_scenes(toml, Sought(table=IMAGES, named="a")).found == 1
    with pytest.raises(InputError, match="rules speak of scenes"):
        list_scenes(toml, Sought(table=IMAGES, rule="slow"))
    with pytest.raises(UnknownName, match="field 'source'"):
        list_scenes(toml, Sought(table=IMAGES, source="cars"))


def photos(site: Site) -> None:
    """Write a table of images into the site's warehouse."""
    schema = Schema(
        key="image_id",
        fields=(
            Field("image_id", FieldType.STRING, "names the image", nullable=False),
            Field("place", FieldType.STRING, "where it was taken"),
            Field("width", FieldType.INT, "pixels"),
        ),
    )
    root = site.config.folder / site.config.warehouse.root
    table = Catalog(str(root)).create(TableName.parse(f"{site.config.warehouse.database}.{IMAGES}"), schema)
    places = {"a": ("se-lund", 640), "b": ("de-berlin", 4000), "c": ("se-lund", 4000)}
    rows = [{"image_id": name, "place": place, "width": width} for name, (place, width) in places.items()]
    table.append([pa.RecordBatch.from_pylist(rows)])


def test_what_changes_is_seen_at_once_and_readers_do_not_hinder_a_writer(tmp_path: Path) -> None:
    toml = ready_site(tmp_path)
    before = list_scenes(toml, Sought(source="cars")).matched
    last = list_scenes(toml, Sought(source="cars"), 10).after
    (tmp_path / "own.toml").write_text(OWN_RULE.replace("rule.slow", "rule.crawling"))
    assert "crawling" in {one.name for one in list_rules(toml)}
    write_day(tmp_path, "2026-11-21", range(20, 22))
    site = Site.open(toml)
    bring(site, datetime.date(2026, 11, 21))
    site.store.close()
    assert list_scenes(toml, Sought(source="cars")).matched == before + 8
    assert list_choices(toml).last_day == datetime.date(2026, 11, 21)
    assert len(list_scenes(toml, Sought(source="cars"), 10, last).rows) == 10, "a page goes on where it was"
    toml.write_text(toml.read_text() + "\n[nonsense]\n")
    with pytest.raises(ConfigError, match="nonsense"):
        list_rules(toml)
    let_go()
    shutil.rmtree(tmp_path / "state")


def test_a_scene_that_the_warehouse_lost_is_told_as_such(tmp_path: Path) -> None:
    toml = ready_site(tmp_path)
    with opened(toml) as site:
        site.tables.scenes.delete(f"scene_id = '{FIRST}'")
    assert FIRST in {row["scene_id"] for row in list_scenes(toml, Sought()).rows}
    with pytest.raises(UnknownName, match="olap level"):
        show_scene(toml, FIRST)


def test_a_site_whose_olap_holds_a_core_of_fields_is_seen_as_far_as_it_goes(tmp_path: Path) -> None:
    toml = ready_site(tmp_path)
    text = toml.read_text().replace(
        "[pipeline.forecast.train]", '[warehouse]\ncore_fields = ["agents"]\n\n[pipeline.forecast.train]', 1
    )
    toml.write_text(text)
    with opened(toml) as site:
        site.tables.level()
    found = list_scenes(toml, Sought(where="agents > 3"))
    assert {one.name for one in found.columns} <= {
        "scene_id",
        "source",
        "day",
        "duration_s",
        "agents",
        "speed_mean",
    }
    rules = {one.name: one.found for one in list_rules(toml)}
    assert rules["cut_in"] is None
    assert rules["slow"] is not None
    with pytest.raises(UnknownName, match="core_fields"):
        list_scenes(toml, Sought(rule="cut_in"))
    with pytest.raises((UnknownName, ConditionError)):
        list_scenes(toml, Sought(order="ttc_min_s"))
    assert show_scene(toml, FIRST).scene_id == FIRST


def test_a_reader_is_lent_again_and_let_go_of_once_nobody_asks(toml: Path) -> None:
    let_go()
    with opened(toml) as site:
        with reading(site) as first:
            pass
        with reading(site) as second:
            assert second is first
            with reading(site) as third:
                assert third is not first, "one reader is never lent to two"
        opening._READERS.close(unused_since=0.0)
        with reading(site) as again:
            assert again in (first, third), "what was used a moment ago is kept"
        let_go()
        with reading(site) as anew:
            assert anew not in (first, third)
