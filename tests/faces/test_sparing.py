from __future__ import annotations

import subprocess
import sys

import pytest

from gallery_sites import environment
from isthmus.faces.cli import sparing
from isthmus.faces.cli.main import ORDER
from isthmus.faces.cli.serve import serve


@pytest.mark.parametrize(
    ("words", "spared"),
    [
        (["--site", "x", "serve", "recovery"], True),
        (["serve", "console"], True),
        (["--debug", "serve", "sync"], False),
        (["--debug", "serve", "acquire"], True),
        (["gallery", "list"], False),
        (["--site", "serve", "ingest"], False),
        (["--site", "loop", "query", "SELECT 1"], True),
        (["recovery", "status"], True),
        (["loop", "serve"], False),
        ([], False),
    ],
)
def test_all_commands_are_spared_but_those_that_run_what_a_site_brings(
    monkeypatch: pytest.MonkeyPatch, words: list[str], spared: bool
) -> None:
    finders: list[object] = []
    monkeypatch.setattr(sparing.sys, "meta_path", finders)
    sparing.spare(words)
    assert bool(finders) == spared


def test_what_recovery_and_the_console_lean_on_works_without_pandas() -> None:
    code = (
        "import sys\n"
        "from isthmus.faces.cli.sparing import spare\n"
        "spare(['serve', 'recovery'])\n"
        "import isthmus.app.recovery.serving, duckdb, pyarrow as pa, datetime\n"
        "at = datetime.datetime(2026, 11, 20, tzinfo=datetime.timezone.utc)\n"
        "rows = pa.table({'at': pa.array([at], pa.timestamp('us', 'UTC')), 'n': [1]})\n"
        "assert duckdb.sql('SELECT n FROM rows').fetchall() == [(1,)]\n"
        "assert 'pandas' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment()).returncode == 0


def test_every_command_that_is_named_exists() -> None:
    assert set(ORDER) >= {words[0] for words in sparing.WITH_BROUGHT}
    assert {words[1:] for words in sparing.WITH_BROUGHT if words[0] == "serve"} == {("sync",)}
    assert "sync" in serve.commands
