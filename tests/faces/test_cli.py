"""The command line on wrong input: one line that says what is wrong and what to do, and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.faces.cli.main import run
from traffic import site_with_a_day, write_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site_with_a_day(tmp_path_factory.mktemp("site")).parent


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
        (["loop", "withdraw", "forecast-20261120-9"], "forecast-20261120-9"),
        (["mine", "--table", "acquire.images", "--where", "width > 3"], "acquire.images is not there yet"),
        (["keys", "sitte"], "unknown table 'sitte'; did you mean 'site'?"),
        (["mine", "cut_in", "--set", "gap_m=3", "--set", "gap_m=4"], "--set sets gap_m twice"),
        (["mine", "--where", "speed_mean > 3", "--set", "gap_m=3"], "--set is for the parameters of a rule"),
        (["mine", "cut_in", "--out", "nowhere://a/b.parquet"], "nowhere://a/b.parquet cannot be written"),
        (["mine", "--like", "x", "--suppress", "0.1"], "--suppress and --like exclude each other"),
        (["query", "SELECT 1", "--out", "result.xlsx"], "choose --format csv, jsonl or parquet"),
        (["query", "SELECT 1 AS a, 2 AS a", "--format", "jsonl"], "two columns bear the same name"),
        (["query", "SELECT INTERVAL 3 DAY", "--out", "result.parquet"], "parquet cannot hold this result"),
        (["scenes", "show", "x", "--out", "x.jpg"], "let it end in .png"),
        (["scenes", "stats", "--where", "sped_mean > 3"], "did you mean 'speed_mean'?"),
        (["init", "new", "--samples", "."], "holds no samples"),
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


def test_json_lines_hold_null_where_a_figure_is_no_number(capfd: pytest.CaptureFixture[str], site: Path) -> None:
    capfd.readouterr()
    sql = "SELECT 'nan'::DOUBLE AS a, ['inf'::FLOAT, 1.5] AS b"
    assert run(["--site", str(site), "query", sql, "--format", "jsonl"]) == 0
    assert json.loads(capfd.readouterr().out, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5]}


def test_a_new_site_is_sound_and_never_written_over(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["init", str(tmp_path / "new"), "--role", "loop"]) == 0
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


def test_a_group_without_a_command_shows_its_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["loop"]) == 2
    said = capfd.readouterr().err
    assert "Usage: isthmus loop" in said
    assert len(said.splitlines()) > 10


GALLERIES = (["gallery"], ["gate"], ["device"], ["serve"], ["recovery"])
ACQUIRING = (["acquire"], ["acquire", "keys"], ["acquire", "environment"], ["acquire", "gate"])


def test_no_line_of_the_help_is_cut_short(capfd: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["scenes"], ["rules"], ["loop"], ["olap"], ["warehouse"], ["table"], *GALLERIES, *ACQUIRING):
        assert run([*words, "--help"]) == 0
        assert [line for line in capfd.readouterr().out.splitlines() if line[:2] == "  " and "..." in line] == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["mine", "cut_in"], "isthmus ingest --source cars"),
        (["scenes", "stats"], "isthmus ingest --source cars"),
        (["query", "SELECT * FROM scenes"], "isthmus ingest --source cars"),
        (["loop", "list"], "isthmus loop run"),
        (["loop", "models"], "isthmus loop run"),
        (["loop", "serve", "--once"], "isthmus loop triggers"),
    ],
)
def test_an_empty_site_says_what_to_do(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], hint: str
) -> None:
    write_site(tmp_path)
    code, lines = said(capfd, tmp_path, *words)
    assert code == 0
    assert hint in lines[-1]


def test_an_error_that_nobody_foresaw_is_one_line_too(
    capfd: pytest.CaptureFixture[str], site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("isthmus.app.asking.rows", broken)
    code, lines = said(capfd, site, "query", "SELECT 1")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("isthmus: unexpected ZeroDivisionError: by nothing; isthmus --debug")
    with pytest.raises(ZeroDivisionError):
        run(["--debug", "--site", str(site), "query", "SELECT 1"])


def piped(words: list[str], *, lines: int | None = None, **environment: str) -> tuple[int, bytes, bytes]:
    """Run the program with pipes; with `lines`, its reader goes away after so many lines."""
    with subprocess.Popen(
        [sys.executable, "-m", "isthmus", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        text = (
            program.stdout.read() if lines is None else b"".join(program.stdout.readline() for _ in range(lines))
        )
        program.stdout.close()
        errors = program.stderr.read()
        return program.wait(), text, errors


def test_a_reader_that_goes_away_ends_the_command_quietly(site: Path) -> None:
    sql = "SELECT scene_id FROM scenes, range(20000)"
    code, text, errors = piped(["--site", str(site), "query", sql, "--format", "csv"], lines=1)
    assert (code, text, errors) == (0, b'"scene_id"\n', b"")


def test_a_terminal_that_knows_few_signs_gets_a_question_mark(site: Path) -> None:
    code, text, errors = piped(["--site", str(site), "query", "SELECT 'é☃' AS a"], PYTHONIOENCODING="latin-1")
    assert (code, text, errors) == (0, b"a\n\xe9?\n", b"")


@pytest.mark.parametrize("part", ["pipeline.train", "pipeline.NAME.train", "pipeline.forecast.train"])
def test_the_keys_of_a_table_are_found_under_the_site_s_own_name_too(
    capfd: pytest.CaptureFixture[str], part: str
) -> None:
    assert run(["keys", part]) == 0
    tables = {line.split("\t")[0] for line in capfd.readouterr().out.splitlines()[1:]}
    assert tables == {"pipeline.NAME.train"}


def test_a_limited_list_says_how_many_match(capfd: pytest.CaptureFixture[str], site: Path) -> None:
    code, lines = said(capfd, site, "mine", "--where", "speed_mean > 0", "--limit", "2")
    assert code == 0
    assert lines[-1].startswith("2 scenes (the first of ")


def test_what_was_mined_is_shown_with_the_fields_that_were_asked_about(
    capfd: pytest.CaptureFixture[str], site: Path
) -> None:
    capfd.readouterr()
    assert run(["--site", str(site), "mine", "hard_brake", "--show", "1"]) == 0
    head, row = capfd.readouterr().out.splitlines()
    assert head.split("\t") == ["id", "source", "day", "accel_min"]
    assert float(row.split("\t")[3]) <= -3


def test_places_are_told_as_plain_paths(capfd: pytest.CaptureFixture[str], site: Path, tmp_path: Path) -> None:
    words = ("mine", "hard_brake", "--out", str(tmp_path / "list.parquet"), "--export", str(tmp_path / "fields"))
    code, lines = said(capfd, site, *words)
    assert code == 0
    assert f"ID list: {tmp_path / 'list.parquet'}" in lines
    assert not any("file://" in line for line in lines)
    assert json.loads((tmp_path / "list.json").read_text())["parameters"] == {"hard_brake.deceleration": 3.0}


def test_a_source_that_cannot_be_read_does_not_keep_the_others_out(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write_site(tmp_path)
    text = path.read_text()
    gone = text[text.index("[source.cars]") : text.index("[pipeline")].replace("source.cars", "source.absent")
    path.write_text(text + "\n" + gone.replace('"traffic"', '"nowhere"'))
    capfd.readouterr()
    assert (
        run(["--site", str(tmp_path), "ingest", "--source", "absent", "--source", "cars", "--day", "2026-11-20"])
        == 2
    )
    told = capfd.readouterr()
    assert told.out.splitlines()[1].startswith("cars\t2026-11-20\t1\t")
    assert "nowhere" in next(line for line in told.err.splitlines() if line[0] != "{")
