"""The command line on wrong input: one line that says what is wrong and what to do, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isthmus.faces.cli.main import run
from traffic import write_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_site(folder)
    assert run(["--site", str(folder), "ingest", "--source", "cars", "--day", "2026-11-20"]) == 0
    return folder


def said(capfd: pytest.CaptureFixture[str], site: Path, *words: str) -> tuple[int, list[str]]:
    capfd.readouterr()
    code = run(["--site", str(site), *words])
    lines = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("{")]
    return code, lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ingst"], "unknown command 'ingst'; did you mean 'ingest'?"),
        (["ingest", "--source", "car", "--day", "2026-11-20"], "unknown source 'car'; did you mean 'cars'?"),
        (["mine", "cut_inn"], "did you mean 'cut_in'?"),
        (["mine", "cut_in", "--set", "gap=3"], "did you mean 'gap_m'?"),
        (["mine", "cut_in", "--set", "gap_m=near"], "gap_m"),
        (["mine", "cut_in", "--set", "gap_m"], "--set 'gap_m' is not NAME=VALUE"),
        (["mine", "--where", "sped_mean > 3"], "did you mean 'speed_mean'?"),
        (["mine", "--where", "speed_mean >"], "speed_mean >"),
        (["mine"], "there is nothing to mine by"),
        (["mine", "--like", "cars.20261120.drive-00.0.0"], "did you mean 'cars.20261120.drive-00"),
        (["scenes", "show", "nothing"], "unknown scene 'nothing'"),
        (["query", "SELECT * FROM scnes"], "scenes"),
        (["query", "SELECT speed_men FROM scenes"], "speed_me"),
        (["query", "DELETE FROM scenes"], "DELETE is no plain read"),
        (["query", "SELECT 1; SELECT 2"], "one"),
        (["query", "SELECT 1", "--format", "parquet"], "name a file with --out"),
        (["loop", "run", "forcast"], "unknown pipeline 'forcast'; did you mean 'forecast'?"),
        (["loop", "resume", "forecast-1"], "unknown run 'forecast-1'"),
        (["loop", "release", "forecast-20261120-9"], "forecast-20261120-9"),
        (["loop", "rollback"], "has no champion"),
        (["keys", "sitte"], "unknown table 'sitte'; did you mean 'site'?"),
    ],
)
def test_a_wrong_command_ends_with_one_line_and_code_two(
    capfd: pytest.CaptureFixture[str], site: Path, words: list[str], message: str
) -> None:
    code, lines = said(capfd, site, *words)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("isthmus: ")
    assert message in lines[0]


def test_an_empty_day_is_told_by_code_three_and_changes_nothing(
    capfd: pytest.CaptureFixture[str], site: Path
) -> None:
    code, _ = said(capfd, site, "ingest", "--source", "cars", "--day", "2026-11-30")
    assert code == 3
    capfd.readouterr()
    run(["--site", str(site), "query", "SELECT reason FROM rejects", "--format", "csv"])
    assert capfd.readouterr().out == '"reason"\n"empty"\n'


def test_every_mistake_of_a_site_is_told_with_its_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "isthmus.toml").write_text(
        '[site]\nname = "x"\nworkers = 0\n[warehous]\n[source.a]\njob_type = "bach"\n'
        '[trigger.t]\ncron = "0 99 * * *"\npipeline = "none"\n'
    )
    code, lines = said(capfd, tmp_path, "check")
    assert code == 2
    found = [line.removeprefix("isthmus: ").split("isthmus.toml:")[1] for line in lines]
    assert [line.split(":")[0] for line in found] == ["3", "4", "6", "8", "9"]
    assert "did you mean [" not in found[1]
    assert "did you mean 'warehouse'?" in found[1]
    assert "did you mean 'batch'?" in found[2]


def test_a_rule_with_a_syntax_error_is_refused_with_file_and_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write_site(tmp_path)
    path.write_text(path.read_text() + '\n[rules]\nfiles = ["mine.toml"]\n')
    (tmp_path / "mine.toml").write_text('[rule.odd]\nabout = "odd"\nwhen = "speed_mean > > 3"\n')
    code, lines = said(capfd, tmp_path, "check")
    assert code == 2
    assert "mine.toml:3:" in lines[0]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_results_are_written_in_every_form(
    capfd: pytest.CaptureFixture[str], site: Path, tmp_path: Path, form: str
) -> None:
    out = tmp_path / f"out.{form}"
    sql = "SELECT scene_id, day, tags, speed_profile FROM scenes ORDER BY 1 LIMIT 3"
    assert run(["--site", str(site), "query", sql, "--format", form, "--out", str(out)]) == 0
    if form == "parquet":
        import pyarrow.parquet as pq

        assert pq.read_table(out).num_rows == 3
    elif form == "jsonl":
        assert [json.loads(line)["day"] for line in out.read_text().splitlines()] == ["2026-11-20"] * 3
    else:
        assert out.read_text().splitlines()[0] == '"scene_id","day","tags","speed_profile"'


def test_a_new_site_is_sound_and_never_written_over(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["init", str(tmp_path / "new")]) == 0
    assert said(capfd, tmp_path / "new", "check")[0] == 0
    code, lines = said(capfd, tmp_path, "init", str(tmp_path / "new"))
    assert (code, "is there already" in lines[0]) == (2, True)


def test_every_key_is_explained(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "pipeline"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) > 60
    assert all(line.count("\t") == 3 and not line.endswith("\t") for line in lines)


def test_progress_in_a_pipe_is_json_lines(capfd: pytest.CaptureFixture[str], site: Path) -> None:
    run(["--site", str(site), "ingest", "--source", "cars", "--day", "2026-11-20"])
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {"stage": "ingest cars", "done": 1, "total": 1, "unit": "units"} in lines
