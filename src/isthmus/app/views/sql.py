"""Free SQL over the OLAP: one plain read a time, in a process of its own with limits, and what each person asked.

DuckDB reads no file, writes nothing and loads nothing here (`warehouse.query.Reading`). What it does not limit by
itself is limited by the process: some of its functions allocate without counting (`repeat`, `range`), so that the
process may not grow beyond `MEMORY_MB` (RLIMIT_DATA), and one that runs for ever is killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from isthmus.app.clock import SystemClock
from isthmus.app.console import read_console_config
from isthmus.app.views.opening import opened
from isthmus.core.errors import Busy, InputError, QueryRefused
from isthmus.core.ports import Clock
from isthmus.state.store import Store

LONGEST = 20_000
MOST_ROWS = 10_000
MOST_BYTES = 8_000_000
MEMORY_MB = 1024
WITHIN_S = 15.0
ABREAST = 2
WAIT_S = 2.0
"""How long one more statement waits for one of them to end."""
KEPT = 200
"""Statements that are remembered of each person."""

_MIGRATIONS = (
    """
    CREATE TABLE asked (
        number INTEGER PRIMARY KEY AUTOINCREMENT, person TEXT NOT NULL, sql TEXT NOT NULL, at TEXT NOT NULL,
        took_s REAL NOT NULL, rows INTEGER, error TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX asked_by_person ON asked (person, number)
    """,
)
_RUNNING = threading.BoundedSemaphore(ABREAST)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement found. `rows` has lists, texts, numbers, truths and None; `more` tells that it was cut."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool
    took_s: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement of a person's history. `rows` is None where it failed, by `error`."""

    number: int
    sql: str
    at: datetime
    took_s: float
    rows: int | None
    error: str


def run_sql(toml: Path, sql: str, limit: int = 1000, within_s: float = WITHIN_S) -> Answer:
    """Run one reading statement and return its first `limit` rows.

    Raises QueryRefused for anything but one plain read, and for one that takes too long or too much memory;
    InputError where there is no OLAP yet; Busy where as many run as may.
    """
    _check(sql)
    with opened(toml) as site:
        path = site.tables.olap.path
    limit = max(1, min(limit, MOST_ROWS))
    limits = {"limit": limit, "bytes": MOST_BYTES, "memory_mb": MEMORY_MB, "cpu_s": int(4 * within_s) + 4}
    asked = {"olap": str(path), "sql": sql, **limits}
    begun = time.monotonic()
    with _one_of_few():
        told = _told(asked, within_s)
    if error := told.get("error"):
        kind = QueryRefused if told.get("refused") else InputError
        raise kind(error, told.get("hint", ""))
    rows = tuple(tuple(row) for row in told["rows"])
    return Answer(tuple(told["columns"]), tuple(told["types"]), rows, told["more"], time.monotonic() - begun)


class SqlHistory:
    """What each person asked, newest first; belongs to the thread that opened it."""

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self._store, self._clock = store, clock or SystemClock()
        store.migrate("sql", _MIGRATIONS)

    def note(self, person: str, sql: str, took_s: float, rows: int | None, error: str = "") -> None:
        """Remember a statement; the same one as the last is not kept twice, and the oldest beyond 200 go."""
        with self._store.transaction() as tables:
            last = tables.execute(
                "SELECT number, sql FROM asked WHERE person = ? ORDER BY number DESC LIMIT 1", (person,)
            ).fetchone()
            if last and last["sql"] == sql:
                tables.execute("DELETE FROM asked WHERE number = ?", (last["number"],))
            tables.execute(
                "INSERT INTO asked (person, sql, at, took_s, rows, error) VALUES (?, ?, ?, ?, ?, ?)",
                (person, sql, self._clock.now().isoformat(), took_s, rows, error),
            )
            tables.execute(
                "DELETE FROM asked WHERE person = ?1 AND number <= (SELECT number FROM asked WHERE person = ?1 "
                "ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                (person, KEPT),
            )

    def asked(self, person: str, limit: int = 50, before: int | None = None) -> tuple[Asked, ...]:
        """List what a person asked, newest first; with `before` those older than that one."""
        rows = self._store.rows(
            "SELECT * FROM asked WHERE person = ?1 AND (?2 IS NULL OR number < ?2) ORDER BY number DESC LIMIT ?3",
            (person, before, limit),
        )
        return tuple(
            Asked(
                row["number"],
                row["sql"],
                datetime.fromisoformat(row["at"]),
                row["took_s"],
                row["rows"],
                row["error"],
            )
            for row in rows
        )

    def forget(self, person: str) -> int:
        """Forget what a person asked; returns how much that was."""
        with self._store.transaction() as tables:
            return tables.execute("DELETE FROM asked WHERE person = ?", (person,)).rowcount


@contextmanager
def history(toml: Path, clock: Clock | None = None) -> Iterator[SqlHistory]:
    """Open the history of a site's console for a moment. Raises ConfigError."""
    with Store(read_console_config(toml).state_folder / "sql.sqlite") as store:
        yield SqlHistory(store, clock)


def ask_and_note(toml: Path, person: str, sql: str, limit: int = 1000, clock: Clock | None = None) -> Answer:
    """Run a statement for a person and remember it, also where it failed. Raises as `run_sql` does."""
    _check(sql)
    begun = time.monotonic()
    try:
        found = run_sql(toml, sql, limit)
    except InputError as error:
        with history(toml, clock) as notes:
            notes.note(person, sql, time.monotonic() - begun, None, str(error))
        raise
    with history(toml, clock) as notes:
        notes.note(person, sql, found.took_s, len(found.rows))
    return found


def _check(sql: str) -> None:
    if len(sql) > LONGEST:
        raise QueryRefused(f"the statement has {len(sql)} characters, more than {LONGEST}", "shorten it")
    if not sql.isascii():
        try:
            sql.encode()
        except UnicodeEncodeError as error:
            raise QueryRefused("the statement is no text that UTF-8 can hold", "type it anew") from error


@contextmanager
def _one_of_few() -> Iterator[None]:
    if not _RUNNING.acquire(timeout=WAIT_S):
        raise Busy(f"{ABREAST} statements are running already", "try again when one of them has ended")
    try:
        yield
    finally:
        _RUNNING.release()


def _told(asked: dict[str, Any], within_s: float) -> dict[str, Any]:
    """Let a process of its own run the statement. Raises QueryRefused where it is killed or dies."""
    command: Sequence[str] = (sys.executable, "-m", "isthmus.app.views.sqlprocess")
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=within_s,
            env=_surroundings(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise QueryRefused(
            f"the statement took longer than {within_s:g} s", "ask for less, or filter first"
        ) from None
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError:  # it died in the middle, as a process out of memory does
        raise QueryRefused(
            f"the statement needed more than {MEMORY_MB} MB or broke its process", "ask for less at a time"
        ) from None
    return told


def _surroundings() -> dict[str, str]:
    """Return what the process needs of the environment: no secret that the server was started with."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "LANG", "VIRTUAL_ENV", "LD_LIBRARY_PATH") or name.startswith(("PYTHON", "LC_"))
    }
