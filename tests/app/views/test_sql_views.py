"""Free SQL: reads alone, within limits of rows, time and memory, and remembered for who asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.app.views import sql
from isthmus.app.views.sql import KEPT, SqlHistory, ask_and_note, history, run_sql
from isthmus.core.errors import Busy, InputError, QueryRefused
from isthmus.state.store import Store
from loop_site import CARS, ready_site


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ready_site(tmp_path_factory.mktemp("loop"))


def test_rows_come_with_names_types_and_plain_values(toml: Path) -> None:
    found = run_sql(
        toml,
        "SELECT source, day, count(*) AS n, 1e400 AS big, [1, 2] AS l FROM scenes GROUP BY ALL ORDER BY source",
    )
    assert found.columns == ("source", "day", "n", "big", "l")
    assert found.rows[0] == ("cars", "2026-11-20", CARS, None, "[1, 2]")
    assert found.types[2] == "int64"
    assert not found.more


def test_rows_beyond_the_limit_are_cut_and_told(toml: Path) -> None:
    found = run_sql(toml, "FROM range(100)", 7)
    assert (len(found.rows), found.more) == (7, True)
    large = run_sql(toml, "SELECT repeat('x', 15000) FROM range(2000)", 5000)
    assert large.more
    assert sum(len(str(row[0])) for row in large.rows) <= sql.MOST_BYTES


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE scenes",
        "DELETE FROM scenes",
        "UPDATE scenes SET source = 'x'",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO scenes SELECT * FROM scenes",
        "ATTACH '{folder}/other.duckdb'",
        "COPY scenes TO '{folder}/stolen.csv'",
        "SELECT * FROM read_csv('{folder}/isthmus.toml')",
        "SELECT * FROM read_text('/etc/passwd')",
        "FROM glob('/*')",
        "SELECT * FROM 'http://127.0.0.1:1/x.parquet'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "PRAGMA version",
        "CALL pragma_version()",
        "EXPLAIN ANALYZE DELETE FROM scenes",
        "SELECT 1; SELECT 2",
        "EXPORT DATABASE '{folder}/out'",
        "CHECKPOINT",
        "",
        "  ",
        "SELECT",
        "SELECT '\ud800'",
        "x" * 30_000,
        "SELECT " + "+".join(["1"] * 5000),
    ],
)
def test_anything_but_a_plain_read_is_refused_and_touches_nothing(toml: Path, statement: str) -> None:
    before = sorted(toml.parent.iterdir())
    with pytest.raises(QueryRefused) as refused:
        run_sql(toml, statement.replace("{folder}", str(toml.parent)))
    assert "\n" not in str(refused.value)
    assert sorted(toml.parent.iterdir()) == before


def test_a_statement_that_runs_for_ever_is_ended(toml: Path) -> None:
    with pytest.raises(QueryRefused, match="longer than"):
        run_sql(toml, "SELECT count(*) FROM range(1000000000000) a, range(100000) b", within_s=1.5)


@pytest.mark.parametrize("statement", ["SELECT len(repeat('x', 3000000000))", "SELECT len(range(400000000))"])
def test_a_statement_that_allocates_without_counting_is_stopped(toml: Path, statement: str) -> None:
    with pytest.raises(QueryRefused):
        run_sql(toml, statement)


def test_the_process_is_given_no_secret_of_the_servers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("ISTHMUS_KEY", "x")
    assert not {"AWS_SECRET_ACCESS_KEY", "ISTHMUS_KEY"} & set(sql._surroundings())


def test_no_more_than_some_run_at_a_time(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "WAIT_S", 0.01)
    with sql._one_of_few(), sql._one_of_few(), pytest.raises(Busy):
        run_sql(toml, "SELECT 1")
    assert run_sql(toml, "SELECT 1").rows == ((1,),)


def test_before_the_first_ingest_there_is_nothing_to_ask(tmp_path: Path) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "new"\n')
    with pytest.raises(InputError, match="no OLAP"):
        run_sql(toml, "SELECT 1")


def test_each_person_has_a_history_of_their_own_failures_too(tmp_path: Path) -> None:
    toml = ready_site(tmp_path)
    ask_and_note(toml, "ada", "SELECT 1")
    ask_and_note(toml, "ada", "SELECT 1")
    with pytest.raises(QueryRefused):
        ask_and_note(toml, "ada", "DROP TABLE scenes")
    ask_and_note(toml, "bob", "SELECT 2")
    with history(toml) as notes:
        last, first = notes.asked("ada")
        assert (first.sql, first.rows, first.error) == ("SELECT 1", 1, "")
        assert (last.sql, last.rows) == ("DROP TABLE scenes", None)
        assert "no plain read" in last.error
        assert notes.asked("ada", before=last.number) == (first,)
        assert notes.forget("ada") == 2
        assert [one.sql for one in notes.asked("bob")] == ["SELECT 2"]


def test_only_the_last_statements_are_kept(tmp_path: Path) -> None:
    with Store(tmp_path / "sql.sqlite") as store:
        notes = SqlHistory(store)
        for number in range(KEPT + 5):
            notes.note("ada", f"SELECT {number}", 0.1, 1)
        kept = notes.asked("ada", 1000)
        assert len(kept) == KEPT
        assert kept[-1].sql == "SELECT 5"
