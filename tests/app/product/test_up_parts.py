from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.app.product.asked import asked_for
from isthmus.app.product.parts import Known, parts_of
from isthmus.app.upconfig import NAMES, read_up_config
from isthmus.core.errors import ConfigError, UnknownName

_KNOWN = Known("video", True, 300.0)
_TABLES = st.fixed_dictionaries(
    {"site": st.just({"name": "s"})},
    optional={
        "acquire": st.just({}),
        "agent": st.sampled_from([{}, {"gate": {"environment": "north"}}, {"gate": 3}]),
        "gallery": st.sampled_from([{}, {"role": "inner"}, {"role": "outer"}, {"role": 7}, 3]),
        "gate": st.just({}),
        "sync": st.just({}),
        "recovery": st.just({}),
        "device": st.just({}),
        "trigger": st.sampled_from([{}, {"nightly": {}}, 1]),
        "console": st.just({}),
    },
)


@pytest.mark.parametrize(
    ("tables", "names"),
    [
        ({"acquire": {}}, ["acquire"]),
        ({"acquire": {"gate": {"north": {}, "south": {}}}}, ["acquire", "office-north", "office-south"]),
        ({"agent": {}}, ["agent"]),
        ({"gallery": {"role": "inner"}, "gate": {}}, ["gate-send"]),
        ({"gallery": {"role": "inner"}}, []),
        ({"gallery": {"role": "outer"}, "gate": {}}, ["gate-receive"]),
        ({"gallery": {"role": "outer"}, "gate": {}, "sync": {}}, ["sync"]),
        ({"recovery": {}, "console": {}}, ["recovery", "console"]),
        ({"trigger": {"nightly": {}}}, ["triggers"]),
        ({"trigger": {}}, []),
        ({"device": {}}, ["device"]),
    ],
)
def test_each_table_asks_for_its_part(tables: dict[str, Any], names: list[str]) -> None:
    assert [part.name for part in parts_of(tables, _KNOWN)] == names


@given(_TABLES, st.sets(st.sampled_from(NAMES)))
def test_parts_are_known_once_in_order_and_the_console_ends_them(tables: dict[str, Any], out: set[str]) -> None:
    found = [part.name for part in parts_of(tables, _KNOWN, out)]
    assert found == [name for name in NAMES if name in found]
    assert not out & set(found)
    assert ("console" in found) == ("console" in tables and "console" not in out)
    assert not {"sync", "gate-receive"} <= set(found), "two would follow one gate"


def test_the_environment_of_an_agent_comes_from_its_credential_or_its_gate() -> None:
    [by_web] = parts_of({"agent": {}}, Known("video"))
    [by_gate] = parts_of({"agent": {"gate": {"environment": "north"}}})
    [without] = parts_of({"agent": {}})
    assert by_web.words == ("agent", "--environment", "video")
    assert by_gate.words == ("agent", "--environment", "north")
    assert "agent.json is not there" in without.lacks


def test_a_device_is_brought_up_to_date_once_it_is_enrolled(tmp_path: Path) -> None:
    (tmp_path / "isthmus.toml").write_text('[site]\nname = "b12"\n[device]\n[up]\ndevice_sync_s = 60\n')
    config = read_up_config(tmp_path / "isthmus.toml")
    assert "not enrolled" in asked_for(config)[0].lacks
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "enrolment.json").write_text("{}")
    [part] = asked_for(config)
    assert (part.lacks, part.every_s, part.words) == ("", 60.0, ("device", "sync"))


def test_what_is_left_out_is_told_apart_from_what_does_not_exist(tmp_path: Path) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "s"\n[acquire]\n[recovery]\n[up]\nleave_out = ["acquire"]\n')
    config = read_up_config(toml)
    assert [part.name for part in asked_for(config)] == ["recovery"]
    assert [part.name for part in asked_for(config, every=True)] == ["acquire", "recovery"]
    assert asked_for(config, ["recovery"]) == []
    with pytest.raises(UnknownName, match="recovery"):
        asked_for(config, ["recovry"])
    toml.write_text('[site]\nname = "s"\n[up]\nleave_out = ["acquir"]\n[up.part.consol]\n')
    with pytest.raises(ConfigError) as error:
        read_up_config(toml)
    assert ["acquire" in str(one) or "console" in str(one) for one in error.value.mistakes] == [True, True]


def test_a_part_may_have_a_patience_of_its_own(tmp_path: Path) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "s"\n[up]\ntries = 3\n[up.part.recovery]\ntries = 0\n')
    config = read_up_config(toml)
    assert (config.restarting("recovery").tries, config.restarting("acquire").tries) == (0, 3)
