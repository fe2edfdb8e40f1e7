"""What a site's file says of rules, metrics, simulators and core fields is checked before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.app.checking import check_site
from isthmus.app.config import ALWAYS
from isthmus.app.site import Site
from isthmus.core.errors import ConfigError, InputError
from traffic import write_site


def site_of(folder: Path, *, text: str = "", change: tuple[str, str] = ("", "")) -> Site:
    path = write_site(folder)
    path.write_text(path.read_text().replace(*change) + text)
    return Site.open(path)


def test_unknown_rules_metrics_and_simulators_are_told_with_line_and_nearest_name(tmp_path: Path) -> None:
    change = ("failures = 2", 'failures = 2\nrules = ["cut_inn"]\nmetrics = ["ADEE"]')
    site = site_of(tmp_path, change=change, text='\n[pipeline.other.simulation]\nsimulators = ["log_rplay"]\n')
    with pytest.raises(ConfigError) as told:
        check_site(site)
    messages = [mistake.what for mistake in told.value.mistakes]
    assert ["'cut_in'?" in messages[0], "'ADE'?" in messages[1], "'log_replay'?" in messages[2]] == [True] * 3
    assert all(mistake.line for mistake in told.value.mistakes)


def test_rules_that_the_core_fields_leave_out_are_noted(tmp_path: Path) -> None:
    site = site_of(tmp_path, text='\n[warehouse]\ncore_fields = ["accel_min"]\n')
    notes = check_site(site)
    assert any("rule cut_in " in note and "cut_in_gap_m" in note for note in notes)
    assert not any("rule hard_brake " in note for note in notes)


def test_what_runs_need_is_held_whatever_core_is_configured(tmp_path: Path) -> None:
    site = site_of(tmp_path, text='\n[warehouse]\ncore_fields = ["accel_min"]\n')
    assert site.config.warehouse.core_fields == (*ALWAYS, "accel_min")
    assert site_of(tmp_path / "all").config.warehouse.core_fields == ()


def test_a_byte_order_mark_is_no_mistake_and_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "isthmus.toml"
    path.write_bytes('[site]\nname = "München"\n'.encode("utf-8-sig"))
    assert Site.open(path).config.site.name == "München"
    path.write_bytes('[site]\nname = "München"\n'.encode("latin-1"))
    with pytest.raises(InputError, match="no UTF-8 text"):
        Site.open(path)


def test_rule_files_that_cannot_be_read_are_named_with_the_reason(tmp_path: Path) -> None:
    site = site_of(tmp_path, text='\n[rules]\nfiles = ["none.toml", "odd.toml"]\n')
    (tmp_path / "odd.toml").write_bytes(b"\xff\n")
    with pytest.raises(ConfigError) as told:
        check_site(site)
    assert [str(mistake).rsplit("/", 1)[-1].split(":")[0] for mistake in told.value.mistakes] == [
        "none.toml",
        "odd.toml",
    ]
    assert "No such file" in str(told.value)
    assert "no UTF-8 text" in str(told.value)


def test_settings_of_simulators_are_told_with_line_and_nearest_key(tmp_path: Path) -> None:
    text = "\n[pipeline.forecast.simulation.settings.highway_env]\nepisods = 2\nlanes = 99\n"
    with pytest.raises(ConfigError) as told:
        check_site(site_of(tmp_path, text=text))
    key, lanes = told.value.mistakes
    assert "unknown key 'episods'" in key.what and "'episodes'?" in key.what
    assert "lanes is 99; allowed: 1 to 8" in lanes.what
    assert key.line and lanes.line == key.line + 1


@pytest.mark.parametrize("name", ["Forecast", "fore-cast", "1st"])
def test_a_pipeline_whose_models_could_bear_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is no pipeline name; use lower-case letters"):
        site_of(tmp_path, text=f"\n[pipeline.{name}]\n")


@pytest.mark.parametrize("name", ["a/b", "../up", ".hidden", ""])
def test_a_source_that_could_name_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is no source name") as told:
        site_of(tmp_path, text=f'\n[source."{name}"]\njob_type = "simulation"\n')
    assert told.value.mistakes[0].line
