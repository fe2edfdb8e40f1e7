"""The ledger of runs: every trigger makes one, and never two of one pipeline are open at a time."""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.core.errors import Busy, UnknownName
from isthmus.core.ports import Clock
from isthmus.loop.runs.states import RUN
from isthmus.state.store import Store

_MIGRATIONS = (
    """
    CREATE TABLE run (
        id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, trigger TEXT NOT NULL, state TEXT NOT NULL,
        asked TEXT NOT NULL, notes TEXT NOT NULL DEFAULT '{}', error TEXT NOT NULL DEFAULT '',
        started TEXT NOT NULL, changed TEXT NOT NULL, open INTEGER
    );
    CREATE UNIQUE INDEX run_one_open ON run (pipeline) WHERE open;
    CREATE TABLE run_step (
        run TEXT NOT NULL REFERENCES run (id), number INTEGER NOT NULL,
        event TEXT NOT NULL, state TEXT NOT NULL, at TEXT NOT NULL, why TEXT NOT NULL,
        PRIMARY KEY (run, number)
    )
    """,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a trigger asks for. `rule` is empty for all scenes; `settings` are the rule's parameters.

    `mode` is auto, full, incremental or tune; auto begins from the champion where there is one.
    """

    rule: str = ""
    settings: Mapping[str, str] | None = None
    where: str = ""
    mode: str = "auto"


@dataclass(frozen=True, slots=True)
class Step:
    """One transition of a run, and what was said about it."""

    event: str
    state: str
    at: str
    why: str


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the ledger holds it. `notes` is what its steps left for the later ones, by step."""

    id: str
    pipeline: str
    trigger: str
    state: str
    ask: Ask
    notes: Mapping[str, Any]
    error: str
    started: str
    changed: str

    @property
    def is_open(self) -> bool:
        """Whether steps are left."""
        return self.state not in RUN.terminal


class Ledger:
    """Makes and moves runs. Each move commits the new state and what the step leaves in one transaction."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        store.migrate("runs", _MIGRATIONS)

    def begin(self, pipeline: str, trigger: str, ask: Ask) -> Run:
        """Make a run. Raises Busy where one of this pipeline is open."""
        now = self._clock.now()
        asked = json.dumps({"rule": ask.rule, "settings": ask.settings, "where": ask.where, "mode": ask.mode})
        with self._store.transaction() as sql:
            day = f"{pipeline}-{now:%Y%m%d}-"
            count = sql.execute("SELECT count(*) FROM run WHERE id LIKE ?", (f"{day}%",)).fetchone()[0]
            run = f"{day}{count + 1}"
            try:
                sql.execute(
                    "INSERT INTO run (id, pipeline, trigger, state, asked, started, changed, open)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
                    (run, pipeline, trigger, RUN.initial, asked, now.isoformat(), now.isoformat()),
                )
            except sqlite3.IntegrityError as error:
                other = sql.execute(
                    "SELECT id, state FROM run WHERE pipeline = ? AND open", (pipeline,)
                ).fetchone()
                raise Busy(
                    f"run {other['id']} of {pipeline} is open ({other['state']})",
                    f"go on with: isthmus loop resume {other['id']}, or end it: isthmus loop cancel {other['id']}",
                ) from error
        return self.get(run)

    def move(self, run: str, event: str, why: str, notes: Mapping[str, Any] | None = None) -> Run:
        """Let `event` happen to a run; `notes` are added to what its steps left. Raises IllegalTransition."""
        now = self._clock.now().isoformat()
        with self._store.transaction() as sql:
            row = sql.execute("SELECT state, notes FROM run WHERE id = ?", (run,)).fetchone()
            state = RUN.next(row["state"], event)
            merged = json.loads(row["notes"]) | dict(notes or {})
            sql.execute(
                "UPDATE run SET state = ?, notes = ?, error = '', changed = ?, open = ? WHERE id = ?",
                (state, json.dumps(merged), now, None if state in RUN.terminal else 1, run),
            )
            number = sql.execute("SELECT count(*) FROM run_step WHERE run = ?", (run,)).fetchone()[0]
            sql.execute("INSERT INTO run_step VALUES (?, ?, ?, ?, ?, ?)", (run, number, event, state, now, why))
        return self.get(run)

    def fail(self, run: str, error: str) -> None:
        """Note why the present step ended; the run stays open at that step and can be resumed."""
        with self._store.transaction() as sql:
            sql.execute(
                "UPDATE run SET error = ?, changed = ? WHERE id = ?", (error, self._clock.now().isoformat(), run)
            )

    def get(self, run: str) -> Run:
        """Return a run. Raises UnknownName."""
        rows = self._store.rows("SELECT * FROM run WHERE id = ?", (run,))
        if not rows:
            raise UnknownName.among("run", run, [row["id"] for row in self._store.rows("SELECT id FROM run")])
        return _run(rows[0])

    def steps(self, run: str) -> list[Step]:
        """Return the transitions of a run, oldest first."""
        rows = self._store.rows("SELECT event, state, at, why FROM run_step WHERE run = ? ORDER BY number", (run,))
        return [Step(**dict(row)) for row in rows]

    def open_run(self, pipeline: str) -> Run | None:
        """Return the open run of a pipeline, where there is one."""
        rows = self._store.rows("SELECT * FROM run WHERE pipeline = ? AND open", (pipeline,))
        return _run(rows[0]) if rows else None

    def runs(self, pipeline: str | None = None, most: int = -1, before: str | None = None) -> list[Run]:
        """List runs, newest first: at most so many, and with `before` those that began before that one."""
        rows = self._store.rows(
            "SELECT * FROM run WHERE (?1 IS NULL OR pipeline = ?1) AND (?2 IS NULL OR (started, rowid) <"
            " (SELECT started, rowid FROM run WHERE id = ?2)) ORDER BY started DESC, rowid DESC LIMIT ?3",
            (pipeline, before, most),
        )
        return [_run(row) for row in rows]

    def last_start(self, trigger: str) -> datetime.datetime | None:
        """Return when a trigger last made a run."""
        rows = self._store.rows("SELECT max(started) AS last FROM run WHERE trigger = ?", (trigger,))
        return datetime.datetime.fromisoformat(rows[0]["last"]) if rows[0]["last"] else None


def _run(row: sqlite3.Row) -> Run:
    values = {key: row[key] for key in ("id", "pipeline", "trigger", "state", "error", "started", "changed")}
    return Run(**values, ask=Ask(**json.loads(row["asked"])), notes=json.loads(row["notes"]))
