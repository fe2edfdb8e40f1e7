from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from isthmus.core.errors import ConditionError, ConfigError, InputError, UnknownName
from isthmus.core.evaluation import evaluate
from isthmus.loop.fields import SCENES
from isthmus.loop.rules.catalogue import Catalogue

SHIPPED = """\
close_following: headway_min_s <= 1.0
cut_in: cut_in_gap_m <= 20.0
dense_traffic: density >= 8.0
hard_acceleration: accel_max >= 2.5
hard_brake: accel_min <= -3.0
hard_slowdown: slowdown_3s > 3.0
high_speed: speed_max >= 25.0
lane_change: lane_changes >= 1.0
low_ttc: ttc_min_s <= 2.0
near_miss: ttc_min_s <= 2.0 AND accel_min <= -3.0
stop_and_go: stops >= 1.0 AND starts >= 1.0
"""

AT_THEIR_BOUNDS: list[tuple[str, Mapping[str, Any], bool | None]] = [
    ("hard_brake", {"accel_min": -3.0}, True),
    ("hard_brake", {"accel_min": -2.999}, False),
    ("hard_brake", {}, None),
    ("hard_acceleration", {"accel_max": 2.5}, True),
    ("hard_acceleration", {"accel_max": 2.499}, False),
    ("hard_slowdown", {"slowdown_3s": 3.0}, False),
    ("hard_slowdown", {"slowdown_3s": 3.001}, True),
    ("cut_in", {"cut_in_gap_m": 20.0}, True),
    ("cut_in", {"cut_in_gap_m": 20.001}, False),
    ("cut_in", {"cut_ins": 1}, None),
    ("lane_change", {"lane_changes": 1}, True),
    ("lane_change", {"lane_changes": 0}, False),
    ("low_ttc", {"ttc_min_s": 2.0}, True),
    ("low_ttc", {"ttc_min_s": 2.001}, False),
    ("low_ttc", {}, None),
    ("close_following", {"headway_min_s": 1.0}, True),
    ("close_following", {"headway_min_s": 1.001}, False),
    ("stop_and_go", {"stops": 1, "starts": 1}, True),
    ("stop_and_go", {"stops": 1, "starts": 0}, False),
    ("stop_and_go", {"stops": 0, "starts": 1}, False),
    ("dense_traffic", {"density": 8.0}, True),
    ("dense_traffic", {"density": 7.999}, False),
    ("high_speed", {"speed_max": 25.0}, True),
    ("high_speed", {"speed_max": 24.999}, False),
    ("near_miss", {"ttc_min_s": 2.0, "accel_min": -3.0}, True),
    ("near_miss", {"ttc_min_s": 2.0, "accel_min": -1.0}, False),
    ("near_miss", {"accel_min": -3.0}, None),
    ("near_miss", {"accel_min": -1.0}, False),
]


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return Catalogue.load()


def row(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys(SCENES.names), **values}


def refused(folder: Path, text: str) -> list[str]:
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        Catalogue.load([path])
    return [f"{mistake.line}: {mistake.what}" for mistake in raised.value.mistakes]


def loaded(folder: Path, text: str) -> Catalogue:
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return Catalogue.load([path])


def test_the_shipped_rules_are_these(shipped: Catalogue) -> None:
    assert "".join(f"{name}: {shipped.bind(name).expression}\n" for name in shipped.names()) == SHIPPED


def test_every_shipped_rule_and_parameter_explains_itself(shipped: Catalogue) -> None:
    for name in shipped.names():
        rule = shipped.rule(name)
        assert rule.about.endswith(".")
        assert "\n" not in rule.about
        assert all(parameter.about for parameter in rule.parameters)
        assert rule.line is not None


@pytest.mark.parametrize(("name", "values", "holds"), AT_THEIR_BOUNDS)
def test_a_shipped_rule_holds_up_to_its_bound(
    shipped: Catalogue, name: str, values: Mapping[str, Any], holds: bool | None
) -> None:
    assert evaluate(shipped.bind(name).expression, row(values)) is holds


def test_every_shipped_rule_is_tried_at_its_bounds(shipped: Catalogue) -> None:
    assert {name for name, _, _ in AT_THEIR_BOUNDS} == set(shipped.names())


def test_a_setting_reaches_the_condition_and_is_told(shipped: Catalogue) -> None:
    bound = shipped.bind("cut_in", {"gap_m": "15"})
    assert str(bound.expression) == "cut_in_gap_m <= 15.0"
    assert [str(parameter) for parameter in bound.parameters] == ["cut_in.gap_m = 15 m"]
    assert bound.parameters[0].given
    assert bound.explanation.splitlines() == [
        "cut_in: Another vehicle enters the ego's path closely ahead.",
        "where cut_in_gap_m <= 15.0 (cut_in.gap_m = 15 m)",
    ]


def test_rules_combine_with_each_other_and_with_fields(shipped: Catalogue) -> None:
    bound = shipped.bind(
        "near_miss and not dense_traffic or contains(tags, 'urban')", {"hard_brake.deceleration": 4, "ttc_s": 1.5}
    )
    assert str(bound.expression) == (
        "ttc_min_s <= 1.5 AND accel_min <= -4.0 AND NOT density >= 8.0 OR contains(tags, 'urban')"
    )
    assert [part.name for part in bound.parts] == ["near_miss", "low_ttc", "hard_brake", "dense_traffic"]
    assert {p.name: p.given for p in bound.parameters} == {
        "low_ttc.ttc_s": True,
        "hard_brake.deceleration": True,
        "dense_traffic.others": False,
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cutin", "unknown rule or field 'cutin' (column 1); did you mean 'cut_in'?"),
        ("cut_in and hard_break", "unknown rule or field 'hard_break' (column 12); did you mean 'hard_brake'?"),
    ],
)
def test_an_unknown_rule_is_told_with_the_nearest(shipped: Catalogue, text: str, told: str) -> None:
    with pytest.raises(UnknownName) as raised:
        shipped.bind(text)
    assert str(raised.value) == told


def test_a_rule_is_found_by_its_exact_name_alone(shipped: Catalogue) -> None:
    with pytest.raises(UnknownName, match="did you mean 'hard_brake'"):
        shipped.rule("hard_break")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"gap": 3}, "unknown parameter of 'cut_in': 'gap'; did you mean 'gap_m'?"),
        ({"cut_in.gap": 3}, "unknown parameter of 'cut_in': 'cut_in.gap'; did you mean 'cut_in.gap_m'?"),
        ({"hard_brake.deceleration": 3}, "unknown parameter of 'cut_in': 'hard_brake.deceleration'; "),
        ({"gap_m": "-1"}, "gap_m is -1 m; allowed: at least 0 m"),
        ({"gap_m": "far"}, "gap_m must be a number in m, not 'far'; for example gap_m=20"),
        ({"gap_m": ""}, "gap_m must be a number in m, not ''; "),
        ({"gap_m": "nan"}, "gap_m must be a number in m, not 'nan'; "),
        ({"gap_m": "inf"}, "gap_m must be a number in m, not 'inf'; "),
        ({"gap_m": True}, "gap_m must be a number in m, not True; "),
        ({"gap_m": 1, "cut_in.gap_m": 2}, "cut_in.gap_m is set twice; set it once"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(
    shipped: Catalogue, settings: Mapping[str, Any], told: str
) -> None:
    with pytest.raises(InputError) as raised:
        shipped.bind("cut_in", settings)
    assert str(raised.value).startswith(told)


@pytest.mark.parametrize(
    "hostile", ["1 OR 1=1", "1; DROP TABLE scenes", "1)--", "(SELECT 1)", "1'", "__import__('os')"]
)
def test_sql_in_a_setting_is_no_number(shipped: Catalogue, hostile: str) -> None:
    with pytest.raises(InputError, match="must be a number"):
        shipped.bind("cut_in", {"gap_m": hostile})
    with pytest.raises(UnknownName, match="unknown parameter"):
        shipped.bind("cut_in", {hostile: 1})


@pytest.mark.parametrize(
    "hostile",
    [
        "day >= '2026-11-01'; DROP TABLE scenes",
        "1 = 1 UNION SELECT * FROM scenes",
        "speed_max > (SELECT max(speed_max) FROM scenes)",
        "scene_id IN (SELECT scene_id FROM scenes)",
        "EXISTS (SELECT 1)",
        "read_text('/etc/passwd') = 'x'",
        "speed_max > 1 OR pg_sleep(9) IS NULL",
        "sum(speed_max) OVER () > 1",
        "scenes.speed_max > 1",
        "speed_max::VARCHAR = '1'",
        "getenv('HOME') = ''",
        "COLUMNS(*) > 1",
        "speed_max > ?",
        "source = $1",
        "CASE WHEN TRUE THEN TRUE END",
        "source LIKE 'a' ESCAPE '\\'",
        "source SIMILAR TO 'a.*'",
    ],
)
def test_what_is_not_on_the_whitelist_is_no_filter(shipped: Catalogue, hostile: str) -> None:
    with pytest.raises(ConditionError) as raised:
        shipped.where(hostile)
    assert "\n" not in str(raised.value)
    assert "column " in str(raised.value)


def test_a_quote_in_a_filter_stays_inside_of_its_text(shipped: Catalogue) -> None:
    assert str(shipped.where("source = ''' OR 1=1 --'")) == "source = ''' OR 1=1 --'"


def test_a_filter_speaks_of_fields_alone(shipped: Catalogue) -> None:
    assert str(shipped.where("day >= '2026-11-01' and source != 'ngsim'")) == (
        "day >= DATE '2026-11-01' AND source != 'ngsim'"
    )
    with pytest.raises(UnknownName, match="unknown field 'cut_in'"):
        shipped.where("cut_in")
    with pytest.raises(ConditionError, match="'vector' is a vector of float"):
        shipped.where("vector IS NULL")
    with pytest.raises(ConditionError, match="'complex' is a complex"):
        shipped.where("complex IS NULL")


def test_a_site_adds_rules_and_replaces_shipped_ones(tmp_path: Path) -> None:
    catalogue = loaded(
        tmp_path,
        """
[rule.cut_in]
about = "Another vehicle enters the ego's path very closely ahead."
when = "cut_in_gap_m < 5"

[rule.rainy_cut_in]
about = "A cut-in in the rain."
when = "cut_in and contains(tags, weather) and day >= since and accel_min < -strength"
[rule.rainy_cut_in.parameters]
weather = { default = "rain", about = "the tag" }
since = { default = 2026-11-01, about = "first day" }
strength = { default = 1, about = "least deceleration", unit = "m/s²", maximum = 10 }
""",
    )
    assert catalogue.notes == (f"{tmp_path / 'rules.toml'}:2: rule 'cut_in' replaces that of builtin.toml",)
    bound = catalogue.bind("rainy_cut_in", {"since": "2026-12-24", "weather": "it's wet'; --"})
    assert str(bound.expression) == (
        "cut_in_gap_m < 5 AND contains(tags, 'it''s wet''; --') AND day >= DATE '2026-12-24' AND accel_min < -1.0"
    )
    assert [parameter.value for parameter in bound.parameters] == [
        "it's wet'; --",
        datetime.date(2026, 12, 24),
        1.0,
    ]
    for wrong in ({"since": "tomorrow"}, {"since": "2026-02-30"}, {"weather": 3}, {"strength": 11}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            catalogue.bind("rainy_cut_in", wrong)


def test_a_parameter_that_two_rules_have_needs_its_rule(tmp_path: Path) -> None:
    catalogue = loaded(
        tmp_path,
        """
[rule.slow_cut_in]
about = "A slow cut-in."
when = "cut_in_gap_m <= gap_m and speed_max < 10"
parameters.gap_m = { default = 10.0, about = "gap", unit = "m" }
""",
    )
    with pytest.raises(InputError) as raised:
        catalogue.bind("cut_in or slow_cut_in", {"gap_m": 3})
    assert str(raised.value) == (
        "parameter 'gap_m' is ambiguous in 'cut_in or slow_cut_in'; write cut_in.gap_m or slow_cut_in.gap_m"
    )
    bound = catalogue.bind("cut_in or slow_cut_in", {"slow_cut_in.gap_m": 3})
    assert str(bound.expression) == "cut_in_gap_m <= 20.0 OR cut_in_gap_m <= 3.0 AND speed_max < 10"


def test_all_mistakes_of_a_file_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    mistakes = refused(
        tmp_path,
        """\
[rule.broken]
about = "A syntax error."
when = "speed_max >= and"

[rule.misspelt]
about = "An unknown name."
when = '''
speed_max > 3
  and speed_maxx < 9
'''

[rule.mistyped]
about = "A text against a number."
when = "source > 3"

[rule.day]
about = "A field's name."
when = "stops > 1"

[rule.bounded]
about = "A default out of bounds."
when = "stops > few"
[rule.bounded.parameters.few]
default = -1
about = "few"
minimum = 0

[rule.idle]
about = "A parameter nobody uses."
when = "stops > 1"
parameters.unused = { default = 1, about = "nothing" }

[rule.silent]
when = "stops > 1"

[rule.Upper-Case]
about = "No name that a condition can speak."
when = "stops > 1"

[rule.doubled]
about = "A parameter named as a rule."
when = "stops > cut_in"
parameters.cut_in = { default = 1, about = "few" }

[rule.number]
about = "No condition."
when = "speed_max + 1"
""",
    )
    assert mistakes == [
        "3: rule 'broken': syntax error at 'and' in 'speed_max >= and' (column 14); "
        "write one condition, such as: a <= 3 and b",
        "9: rule 'misspelt': unknown rule or field 'speed_maxx' (line 2, column 7); did you mean 'speed_max'?",
        "14: rule 'mistyped': source (a text) cannot be compared with 3 (a whole number) (column 1)",
        "16: 'day' is a field already; give the rule another name",
        "23: few is -1; allowed: at least 0",
        "31: parameter 'unused' of rule 'idle' is not used in its `when`; remove one or use it",
        "33: rule.silent lacks the key 'about': what the rule finds, in one line",
        "36: 'Upper-Case' is no rule name; use lower-case letters, digits and _, beginning with a letter, "
        "and no word of SQL",
        "43: 'cut_in' is both a rule and a parameter of rule 'doubled'; rename one of them",
        "47: rule 'number': 'speed_max + 1' is a number, no condition; compare it with something",
    ]


@pytest.mark.parametrize("word", ["case", "select", "not", "true", "null", "interval", "current_date"])
def test_a_word_of_sql_names_no_rule(tmp_path: Path, word: str) -> None:
    (mistake,) = refused(tmp_path, f'[rule.{word}]\nabout = "A."\nwhen = "stops > 1"\n')
    assert mistake.startswith(f"1: {word!r} is no rule name")


def test_a_new_rule_may_not_take_the_name_of_a_shipped_parameter(tmp_path: Path) -> None:
    mistakes = refused(tmp_path, '[rule.gap_m]\nabout = "A."\nwhen = "stops > 1"\n')
    assert mistakes == ["1: 'gap_m' is both a rule and a parameter of rule 'cut_in'; rename one of them"]


def test_rules_made_of_each_other_are_refused(tmp_path: Path) -> None:
    mistakes = refused(
        tmp_path,
        """\
[rule.one]
about = "One."
when = "two and stops > 1"
[rule.two]
about = "Two."
when = "not three"
[rule.three]
about = "Three."
when = "one or stops > 2"
[rule.self_made]
about = "Itself."
when = "self_made"
""",
    )
    assert mistakes == [
        "3: rule 'one' is made of itself: one → two → three → one; take one of them out",
        "12: rule 'self_made' is made of itself: self_made → self_made; take one of them out",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[rule.x\n", "1: not valid TOML"),
        ("rule = 3\n", "1: rule must be a table"),
        ("[rules.x]\nabout = 'A.'\n", "1: unknown key 'rules' in the file"),
        ("[rule.x]\nabout = 'A.'\nwhen = 3\n", "3: when must be a text, not 3"),
        (
            "[rule.x]\nabout = 'A.'\nwhen = 'stops > a'\nparameters.a = { default = [1], about = 'a' }\n",
            "4: [1] is none",
        ),
        ("[rule.x]\nabout = 'A.'\nwhen = ''\n", "3: rule 'x': the condition is empty"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    assert refused(tmp_path, text)[0].startswith(told)


def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError) as raised:
        Catalogue.load([tmp_path / "none.toml", tmp_path / "latin.toml"])
    assert [Path(mistake.file).name for mistake in raised.value.mistakes] == ["latin.toml", "none.toml"]
